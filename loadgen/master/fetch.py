"""One answer of the server's, whole or not at all: within a time for all of it, and no larger than was said.

The time covers connecting, TLS and every read: a server that drips a byte a second does not outlast it. It is
kept by gevent's event loop, which Locust's process has.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import gevent
import requests

from loadgen.master import gateway

WITHIN = 10.0  # s for one answer
LARGEST = 8 * 2**20  # bytes of an answer in JSON; 10,000 models are 5 MB of it
_PART = 65536

Keep = Callable[[bytes], bytes]


class NotFetchedError(Exception):
    """There was no answer to use; the text says why in a few words."""


@dataclass(frozen=True)
class Fetched:
    """`cut`: it was larger than it may be, and this is its beginning. `headers`: gateway.kept."""

    status: int
    body: bytes
    cut: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)

    def json(self) -> Any:
        """Raises ValueError for what is no JSON, too deep for it, or was cut."""
        try:
            return json.loads(self.body)
        except RecursionError:
            raise ValueError("nested too deep") from None

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")


class Fetcher:
    """A session with one server. No proxy is used."""

    def __init__(self, headers: dict[str, str], verify: bool | str) -> None:
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.headers.update(headers)
        self._session.headers["Accept-Encoding"] = "identity"  # what is not packed cannot unfold
        self._session.verify = verify
        self._kept = False  # whether a connection may have been

    def get(self, url: str, largest: int = LARGEST, may_cut: bool = False) -> Fetched:
        return self._fetch("GET", url, None, largest, may_cut)

    def post(self, url: str, body: dict[str, Any]) -> Fetched:
        return self._fetch("POST", url, body, LARGEST, False)

    def _fetch(self, method: str, url: str, body: Any, largest: int, may_cut: bool) -> Fetched:
        """Raises NotFetchedError, and requests.RequestException for a connection that fails."""
        answer = None
        try:
            with gevent.Timeout(WITHIN):
                # Redirects are not followed: they would take the key elsewhere, and each has its own time.
                answer = self._ask(method, url, json=body, stream=True, timeout=WITHIN, allow_redirects=False)
                return _read(answer, largest, may_cut)
        except (gevent.Timeout, requests.Timeout):
            raise NotFetchedError(f"no answer within {WITHIN:g} s") from None
        finally:
            if answer is not None:
                answer.close()

    def _ask(self, method: str, url: str, **how: Any) -> requests.Response:
        """Once more where the server closes a kept connection, as uvicorn does after each of its own 500."""
        kept, self._kept = self._kept, True
        try:
            return self._session.request(method, url, **how)
        except requests.ConnectionError:
            if not kept:
                raise
            return self._session.request(method, url, **how)


def _read(answer: requests.Response, largest: int, may_cut: bool) -> Fetched:
    packed = answer.headers.get("Content-Encoding", "identity").lower()
    if packed not in ("identity", ""):
        raise NotFetchedError(f"the answer is compressed ({packed[:20]}) though identity was asked for")
    parts, size = [], 0
    while part := answer.raw.read(_PART, decode_content=False):
        size += len(part)
        parts.append(part)
        if size > largest:
            if not may_cut:
                raise NotFetchedError(f"the answer is larger than {largest >> 20} MiB")
            return Fetched(answer.status_code, b"".join(parts)[:largest], True, gateway.kept(answer.headers))
    return Fetched(answer.status_code, b"".join(parts), headers=gateway.kept(answer.headers))
