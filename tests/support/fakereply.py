"""What a misbehaving server may do with one request."""

import socket
import struct
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from tests.support.waiting import PATIENCE

CHUNKED = "transfer-encoding: chunked"


class Settings(Protocol):
    """What a reply needs to know of its server; times in seconds."""

    ttft: float
    tpot: float
    byte_period: float
    stopping: threading.Event
    read_each: bool
    hold_after: int | None
    go_on: threading.Event


def _under_way(ours: int, theirs: int) -> bool:
    """Whether bytes from one port of this host to another are on their way, or not read, by proc(5)."""
    ends = {(ours, theirs): 0, (theirs, ours): 1}  # what has not come there yet; what is not read there
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, remote, _, queues, *_ = line.split()
        end = ends.get((int(local[-4:], 16), int(remote[-4:], 16)))
        if end is not None and int(queues.split(":")[end], 16):
            return True
    return False


class GoneError(Exception):
    """The connection is over: reset or closed on purpose, left by the client, or the server stops."""


@dataclass
class Received:
    """A request as it came, and what was done about it; times of time.perf_counter, CLOCK_MONOTONIC.

    sent: when each piece of the answer was about to leave. left: how many of them had left.
    """

    behaviour: str
    connection: int  # number of the connection, from 0
    method: str
    path: str
    headers: dict[str, str]  # names in lower case
    body: dict[str, Any]
    read: float
    sent: list[float] = field(default_factory=list)
    left: int = 0


class Reply:
    """What a behaviour may do to the client."""

    def __init__(self, server: Settings, sock: socket.socket, request: Received) -> None:
        self.server = server
        self.request = request
        self.keep = True  # serve another request on this connection
        self._sock = sock
        self._chunked = True

    def head(self, status: str = "200 OK", *headers: str, version: str = "1.1") -> None:
        """Send the status line and headers; chunked when one of them says so."""
        self._chunked = CHUNKED in headers
        self.raw("\r\n".join([f"HTTP/{version} {status}", "server: fake", *headers, "", ""]).encode())

    def stream_head(self, *headers: str) -> None:
        self.head("200 OK", "content-type: text/event-stream; charset=utf-8", CHUNKED, *headers)

    def piece(self, data: bytes) -> None:
        """Send a part of the body, as an HTTP chunk of its own where the answer is chunked."""
        self.request.sent.append(time.perf_counter())
        self.raw(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)
        self.request.left += 1

    def end(self) -> None:
        if self._chunked:
            self.raw(b"0\r\n\r\n")
        else:
            self.keep = False

    def pieces(self, pieces: list[bytes]) -> None:
        """The body on the timetable: the first piece after ttft, each later one after tpot more."""
        for number, data in enumerate(pieces):
            if number == self.server.hold_after:
                self.server.go_on.wait(PATIENCE)
            self.wait_until(self.request.read + self.server.ttft + number * self.server.tpot)
            self.piece(data)
            if self.server.read_each:
                self.settle()

    def whole(self, status: str, body: bytes, *headers: str, content_type: str = "application/json") -> None:
        self.head(status, f"content-type: {content_type}", f"content-length: {len(body)}", *headers)
        self.raw(body)

    def raw(self, data: bytes) -> None:
        self._sock.sendall(data)

    def wait_until(self, moment: float) -> None:
        if self.server.stopping.wait(max(0.0, moment - time.perf_counter())):
            raise GoneError

    def hang(self) -> None:
        """Say nothing more until the server stops (or two minutes have gone, so that no test hangs)."""
        self.server.stopping.wait(120)
        raise GoneError

    def settle(self) -> None:
        """Until the client has read what was sent: a reset throws away what it has not."""
        ours, theirs = self._sock.getsockname()[1], self._sock.getpeername()[1]
        deadline = time.perf_counter() + PATIENCE
        while _under_way(ours, theirs) and time.perf_counter() < deadline:
            self.wait_until(time.perf_counter() + 0.002)

    def reset(self) -> None:
        """End the connection with a TCP reset."""
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._sock.close()
        raise GoneError
