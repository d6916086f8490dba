"""One HTTP/1.1 connection of the metronome: bytes in, whole requests out, bytes back."""

import select
import socket
from collections.abc import Callable
from dataclasses import dataclass, field

import httptools

_READ_SIZE = 65536
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


@dataclass(slots=True)
class Request:
    """A request that was read in full."""

    method: str
    path: str
    headers: dict[str, str]  # names in lower case
    body: bytes


@dataclass(slots=True)
class _Parts:
    url: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    body: list[bytes] = field(default_factory=list)


class Connection:
    """A non-blocking socket; hands each whole request to `on_request` and its own end to `on_close`."""

    def __init__(
        self,
        sock: socket.socket,
        poll: select.epoll,
        on_request: Callable[["Connection", Request], None],
        on_close: Callable[["Connection"], None],
    ) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.fd = sock.fileno()
        self.closed = False
        self._sock = sock
        self._poll = poll
        self._on_request = on_request
        self._on_close = on_close
        self._outgoing = b""
        self._parts = _Parts()
        self._parser = httptools.HttpRequestParser(self)
        poll.register(self.fd, select.EPOLLIN)

    def ready(self, events: int) -> None:
        """Serve what epoll reported."""
        if events & select.EPOLLOUT:
            self.send(b"")
        if events & ~select.EPOLLOUT and not self.closed:
            self._receive()

    def send(self, data: bytes) -> None:
        """Hand bytes to the kernel; what it does not take follows when it can."""
        if self.closed:
            return
        blocked = bool(self._outgoing)
        if blocked:
            data = self._outgoing + data
        try:
            sent = self._sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.close()
            return
        if sent == len(data) and not blocked:  # nearly always
            return
        self._outgoing = data[sent:]
        if bool(self._outgoing) != blocked:
            events = select.EPOLLIN | (select.EPOLLOUT if self._outgoing else 0)
            self._poll.modify(self.fd, events)

    def close(self) -> None:
        if self.closed:
            return
        self.closed = True
        self._poll.unregister(self.fd)
        self._sock.close()
        self._parser = None  # it holds this object: nothing waits for the cyclic collector
        self._on_close(self)

    def _receive(self) -> None:
        try:
            data = self._sock.recv(_READ_SIZE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.send(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            self.close()

    # What follows is called by httptools.

    def on_message_begin(self) -> None:
        self._parts = _Parts()

    def on_url(self, url: bytes) -> None:
        self._parts.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._parts.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        if self._parts.headers.get("expect", "").lower() == "100-continue":
            self.send(_CONTINUE)

    def on_body(self, data: bytes) -> None:
        self._parts.body.append(data)

    def on_message_complete(self) -> None:
        parts = self._parts
        path = httptools.parse_url(parts.url).path.decode("latin-1")
        method = self._parser.get_method().decode()
        self._on_request(self, Request(method, path, parts.headers, b"".join(parts.body)))
