"""Who may use a page that a browser on this machine can reach: its own pages, and programs; no other site's.

A WSGI layer before a whole application, so that no route is forgotten. It refuses, with status 403 and the
reason:

- a `Host` that is not what the page listens on: a foreign name that was made to lead here (DNS rebinding);
- what another site's page asks for (`Origin`, `Sec-Fetch-Site`), but for a link that is followed;
- what changes something, without the token: a cookie that browsers send for our own pages only.

It takes away what would let other sites read the answers (CORS), and forbids them to frame our pages.
"""

import hmac
import secrets
import socket
from collections.abc import Callable, Iterable
from ipaddress import ip_address
from typing import Any
from urllib.parse import SplitResult, urlsplit

from werkzeug.wrappers import Request, Response

EVERYWHERE = ("", "*", "0.0.0.0", "::")  # addresses to listen on that stand for all of a machine's
READING = ("GET", "HEAD", "OPTIONS")
PORTS = {"http": 80, "https": 443}
ADDED = {
    "X-Frame-Options": "SAMEORIGIN",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
}

App = Callable[[dict[str, Any], Any], Iterable[bytes]]


class WebGuard:
    """Stands before a WSGI application that listens on `address`.

    allowed: names (with or without a port) under which it is reached as well, as through a proxy.
    """

    def __init__(self, app: App, address: str, allowed: Iterable[str] = ()) -> None:
        self._app = app
        self._everywhere = address in EVERYWHERE
        self._allowed = [_split(name.strip()) for name in allowed if name.strip()]
        self._names = {address.strip("[]").lower(), *(each.hostname for each in self._allowed)}
        if self._everywhere or _is_loopback(address):
            self._names |= {"localhost", "127.0.0.1", "::1"}
        if not _is_loopback(address):
            name = socket.gethostname().lower()
            self._names |= {name, name.partition(".")[0]}
        self._token = secrets.token_urlsafe(32)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        request = Request(environ)
        why = self._refusal(request)
        if why is not None:
            return Response(f"refused: {why}\n", 403)(environ, start_response)

        def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            return start_response(status, self._headers(request, headers), *rest)

        return self._app(environ, start)

    def _refusal(self, request: Request) -> str | None:
        """Why the request is refused; None where it is not."""
        host = request.headers.get("Host", "")
        if not self._is_ours(host):
            return f"this page is not served as {host!r}; if it should be, start it with --web-allowed-host"
        if self._is_foreign(request):
            return "another site's page asked for it"
        if request.method not in READING and not self._has_token(request):
            return "the token is missing; load the page again, with cookies allowed"
        return None

    def _is_ours(self, host: str) -> bool:
        name = _split(host).hostname
        return name in self._names or (self._everywhere and _is_address(name))

    def _is_foreign(self, request: Request) -> bool:
        origin = request.headers.get("Origin")
        if origin is not None and not self._is_own(urlsplit_safely(origin), request.headers["Host"]):
            return True
        site = request.headers.get("Sec-Fetch-Site", "same-origin")
        if request.method not in READING:
            return site != "same-origin"
        fetch = [request.headers.get(f"Sec-Fetch-{name}") for name in ("Mode", "Dest")]
        return site not in ("same-origin", "none") and fetch != ["navigate", "document"]

    def _is_own(self, origin: SplitResult, host: str) -> bool:
        if origin.scheme not in PORTS:
            return False
        asked = _place(origin, origin.scheme)
        return any(asked == _place(each, origin.scheme) for each in (_split(host), *self._allowed))

    def _has_token(self, request: Request) -> bool:
        given = request.cookies.get(_cookie(request), "")
        return hmac.compare_digest(given.encode(), self._token.encode())

    def _headers(self, request: Request, given: list[tuple[str, str]]) -> list[tuple[str, str]]:
        """The answer's headers: nothing for other sites, and the token for a browser that lacks it."""
        kept = [(name, value) for name, value in given if not name.lower().startswith("access-control-")]
        there = {name.lower() for name, _ in kept}
        kept += [(name, value) for name, value in ADDED.items() if name.lower() not in there]
        if not self._has_token(request):
            secure = "; Secure" if request.scheme == "https" else ""
            kept.append(
                (
                    "Set-Cookie",
                    f"{_cookie(request)}={self._token}; Path=/; HttpOnly; SameSite=Strict{secure}",
                )
            )
        return kept


def _cookie(request: Request) -> str:
    """Its name: cookies know no ports, and two pages on one host must not take each other's."""
    return f"tokenswarm-{_split(request.headers.get('Host', '')).port or 'token'}"


def _split(host: str) -> SplitResult:
    """A `Host` header as the parts of an address; empty where it is none."""
    plain = not set(host) & set("/?#@\\ \t")
    return urlsplit_safely(f"//{host}" if plain else "")


def urlsplit_safely(url: str) -> SplitResult:
    """As urlsplit; empty where it is no address."""
    try:
        found = urlsplit(url)
        found.port  # noqa: B018 - raises ValueError for one that is none
    except ValueError:
        return urlsplit("")
    return found


def _place(parts: SplitResult, scheme: str) -> tuple[str | None, int]:
    return parts.hostname, parts.port or PORTS[scheme]


def _is_address(name: str | None) -> bool:
    """Whether it is an IP address: no name server can make that lead elsewhere."""
    try:
        ip_address((name or "").partition("%")[0])
    except ValueError:
        return False
    return True


def _is_loopback(address: str) -> bool:
    bare = address.strip("[]")
    return bare == "localhost" or (_is_address(bare) and ip_address(bare.partition("%")[0]).is_loopback)
