"""Why a request failed, in one line that is the same for equal faults, so that they count together."""

import contextlib
import html
import re
import ssl
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

import orjson

from loadgen.client.chat_chunks import Reading
from loadgen.client.http1 import Answer

_LONGEST = 300  # characters
_IDS = re.compile(
    r"(?<![\w-])(?:chatcmpl|cmpl|req|call)-(?=[\w-]*\d)[\w-]+"  # not vLLM's --tool-call-parser
    r"|\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"
    r"|\b0x[0-9a-f]+\b"
    r"|\b(?=[a-f]*\d)(?=\d*[a-f])[0-9a-f]{12,}\b",
    re.IGNORECASE,
)


class How(Enum):
    """How an exchange ended."""

    ANSWERED = auto()  # HTTP says that the answer is whole
    LOST = auto()  # the connection could not be made, or ended
    NOT_HTTP = auto()
    TIMED_OUT = auto()
    ABANDONED = auto()  # by us
    TOO_MUCH = auto()  # it reached a bound; `why` says which


@dataclass(slots=True)
class Ending:
    """How, and with LOST the error (None: the server closed in good order); `connected` at that time."""

    how: How
    error: OSError | None = None
    connected: bool = True
    limit: float = 0.0  # seconds, with TIMED_OUT
    why: str = ""  # with TOO_MUCH and ABANDONED


def explain(
    answer: Answer, reading: Reading, ending: Ending, first_byte: bool, request_id: str
) -> str | None:
    """The fault of an exchange, or None: the answer is whole, or we gave up waiting for it."""
    said = _refusal(answer, reading) or _error_event(reading)
    if said is not None:
        return tidy(said, request_id)
    if reading.finished or ending.how is How.ABANDONED:
        return None
    if ending.how is How.TOO_MUCH:
        return ending.why
    if ending.how is How.TIMED_OUT:
        return f"timed out after {ending.limit:g} s ({_waiting_for(answer, reading, ending)})"
    if ending.how is How.NOT_HTTP:
        return "the answer is not HTTP" if answer.status is None else "the answer's HTTP framing is broken"
    if ending.how is How.LOST and not (ending.error is None and answer.ends_with_connection):
        return tidy(_loss(ending, _where(answer, reading, first_byte)), request_id)
    return tidy(_shortfall(answer, reading), request_id)


def wanted(reading: Reading) -> str:
    """What was asked for."""
    return "JSON" if reading.whole else "a stream"


def malformed(count: int) -> str | None:
    """The remark on an answer that is whole but for events that could not be read."""
    return "an event in the stream was malformed" if count else None


def tidy(text: str, request_id: str) -> str:
    """One line, not too long, without what is different in each request, fit for a file."""
    text = text[: 100 * _LONGEST].encode("utf-8", "replace").decode()
    line = _IDS.sub("…", " ".join(text.split()).replace(request_id, "…") if request_id else text)
    line = " ".join(line.split())
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"


def _refusal(answer: Answer, reading: Reading) -> str | None:
    """What is wrong with an answer that is not of the wanted type."""
    status = answer.status
    if status is None or answer.is_wanted:
        return None
    target = answer.headers.get(b"location", b"").decode("latin-1")
    if 300 <= status < 400 and target:
        return f"HTTP {status}: redirects to {target}, which is not followed; give the final URL as host"
    if answer.encoding:
        encoding = answer.encoding.decode("latin-1")
        return f"HTTP {status}: the answer is compressed ({encoding}) though identity was asked for"
    message = server_words(answer.body())
    if status == 200:
        kind = "JSON" if answer.content_type == "application/json" else answer.content_type
        return f"{kind} came in place of {wanted(reading)}{': ' + message if message else ''}"
    wait = answer.headers.get(b"retry-after")
    after = f" (retry after {_seconds(wait.decode('latin-1'))})" if wait else ""
    return f"HTTP {status}{': ' + message if message else ''}{after}"


def _seconds(wait: str) -> str:
    return f"{wait} s" if wait.isdigit() else wait


def server_words(body: bytes) -> str:
    """The server's own words in an error's body: vLLM's JSON, FastAPI's, or a page."""
    with contextlib.suppress(ValueError, RecursionError):
        said = orjson.loads(body)
        if not isinstance(said, dict):
            return _shown(said)
        if "choices" in said:
            return "a whole completion"
        said = said.get("error", said)
        return _words(said)
    text = body.decode("utf-8", "replace")
    return html.unescape(re.sub(r"<[^<>]*>", " ", text)).strip()


def _words(error: Any) -> str:
    if not isinstance(error, dict):
        return _shown(error)
    return _shown(error.get("message") or error.get("detail") or error)


def _shown(said: Any) -> str:
    try:
        return str(said)
    except RecursionError:
        return "nested too deep"


def _error_event(reading: Reading) -> str | None:
    error = reading.error
    if error is None:
        return None
    code = _shown(error["code"]) if isinstance(error, dict) and error.get("code") is not None else None
    where = "in the answer" if reading.whole else "in the stream"
    return f"error {where}: {_words(error)}{f' (code {code})' if code is not None else ''}"


def _waiting_for(answer: Answer, reading: Reading, ending: Ending) -> str:
    if not ending.connected:
        return "connecting"
    if answer.status is None:
        return "waiting for headers"
    return "mid-stream" if reading.chunk_times else "waiting for the first token"


def _where(answer: Answer, reading: Reading, first_byte: bool) -> str:
    if answer.status is None:
        return "inside the headers" if first_byte else "before the headers"
    if reading.cut:
        return "inside an event"
    return "between events" if reading.events else "after the headers"


def _loss(ending: Ending, where: str) -> str:
    error = ending.error
    if error is None:
        return f"connection closed by the server {where}"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"TLS: the server's certificate is not trusted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {(error.reason or str(error)).replace('_', ' ').lower()}"
    if not ending.connected:
        return "connection refused" if isinstance(error, ConnectionRefusedError) else _no_connection(error)
    if isinstance(error, ConnectionResetError | BrokenPipeError):
        return f"connection reset {where}"
    return f"connection lost {where}: {error.strerror}"


def _no_connection(error: OSError) -> str:
    return f"cannot connect: {error.strerror or error}"


def _shortfall(answer: Answer, reading: Reading) -> str:
    """What a stream lacks that ended in good order as far as HTTP goes."""
    if reading.whole:
        return "the answer is no JSON" if reading.malformed else "the answer's JSON holds no result"
    if reading.started:
        return "the stream ended without a finish reason and without [DONE]"
    if reading.malformed:
        return "the stream held no event that could be read"
    if reading.cut:
        return f"no event came in a body of type {answer.content_type or 'unknown'}"
    return "the stream was empty"
