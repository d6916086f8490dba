"""A streaming server that misbehaves on purpose.

    with FakeServer() as server:
        server.url("reset-between-chunks")  # a base URL: /v1/chat/completions under it resets

The behaviour (see fakefaults) is the first part of the path, or else the request's model. One thread
serves a connection.
"""

import contextlib
import json
import os
import socket
import ssl
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import trustme

from tests.support.fakefaults import BEHAVIOURS
from tests.support.fakereply import GoneError, Received, Reply
from tests.support.waiting import PATIENCE


class FakeServer:
    """Listens on 127.0.0.1 from `with` to its end.

    ttft, tpot: seconds to the first piece of a body and between pieces. byte_period: of "slow-bytes".
    tls: serve https with a certificate that `ca_file` vouches for. gather: answer nothing until so many
    requests have been read. read_each: send no piece before the client has read the one before it.
    hold_after: so many pieces of an answer leave before the event `go_on`.
    """

    def __init__(
        self,
        ttft: float = 0.005,
        tpot: float = 0.001,
        byte_period: float = 1.0,
        tls: bool = False,
        gather: int = 1,
        read_each: bool = False,
        hold_after: int | None = None,
    ) -> None:
        self.ttft, self.tpot, self.byte_period = ttft, tpot, byte_period
        self.read_each, self.hold_after, self.go_on = read_each, hold_after, threading.Event()
        self.requests: list[Received] = []
        self.connections = 0
        self.stopping = threading.Event()
        self._gather, self._gathered = gather, threading.Event()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self._scheme = "http"
        self._tls: ssl.SSLContext | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        if tls:
            self._set_up_tls()

    def url(self, behaviour: str = "") -> str:
        """The base URL; `/v1/chat/completions` under it shows the behaviour."""
        if behaviour and behaviour not in BEHAVIOURS:
            raise ValueError(f"no behaviour {behaviour!r}")
        prefix = f"/{behaviour}" if behaviour else ""
        return f"{self._scheme}://127.0.0.1:{self._listener.getsockname()[1]}{prefix}"

    @property
    def ca_file(self) -> Path:
        """The certificate authority a client must trust; only with tls."""
        assert self._folder is not None
        return Path(self._folder.name, "ca.pem")

    def __enter__(self) -> "FakeServer":
        self._spawn(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self._gathered.set()
        self.go_on.set()
        # Wakes the thread in accept(), which close() alone does not.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for sock in self._open:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(PATIENCE)
        if self._folder is not None:
            self._folder.cleanup()

    def _set_up_tls(self) -> None:
        authority = trustme.CA()
        certificate = authority.issue_cert("127.0.0.1", "localhost")
        self._folder = tempfile.TemporaryDirectory(prefix="fakeserver-")
        authority.cert_pem.write_to_path(os.fspath(self.ca_file))
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(self._tls)
        self._scheme = "https"

    def _spawn(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self.stopping.is_set():
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            number, self.connections = self.connections, self.connections + 1
            self._spawn(self._serve, sock, number)

    def _serve(self, sock: socket.socket, number: int) -> None:
        try:
            sock.settimeout(PATIENCE)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls is not None:
                sock = self._tls.wrap_socket(sock, server_side=True)
            with self._lock:
                self._open.add(sock)
            with sock.makefile("rb") as file:
                while request := _read_request(file, number):
                    if not self._answer(sock, request):
                        return
        except (GoneError, OSError, ValueError):
            return
        finally:
            with self._lock:
                self._open.discard(sock)
            with contextlib.suppress(OSError):  # makefile's reference would keep it half open
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def _answer(self, sock: socket.socket, request: Received) -> bool:
        reply = Reply(self, sock, request)
        side = _SIDE_ANSWERS.get(request.path.removeprefix(f"/{request.behaviour}"))
        if side is not None:
            reply.whole("200 OK", json.dumps(side(request)).encode())
            return True
        if not request.headers.get("x-request-id", "").startswith("preflight-"):
            self.requests.append(request)
        if len(self.requests) >= self._gather:
            self._gathered.set()
        self._gathered.wait()
        BEHAVIOURS[request.behaviour](reply)
        return reply.keep


def _models(request: Received) -> dict[str, Any]:
    names = ["fake", *BEHAVIOURS]
    return {
        "object": "list",
        "data": [{"id": name, "object": "model", "max_model_len": 4096} for name in names],
    }


def _tokens(request: Received) -> dict[str, Any]:
    texts = [message["content"] for message in request.body.get("messages", [])] or [request.body["prompt"]]
    words = " ".join(texts).split()
    return {"count": len(words), "max_model_len": 4096, "tokens": [len(word) for word in words]}


_SIDE_ANSWERS: dict[str, Callable[[Received], dict[str, Any]]] = {
    "/health": lambda request: {},
    "/v1/models": _models,
    "/tokenize": _tokens,
}


def _read_request(file: Any, number: int) -> Received | None:
    # A TLS hello has a newline in it only by chance: readline would wait for one.
    if not file.peek(1)[:1].isalpha():
        return None
    line = file.readline()
    method, path, _ = line.decode("latin-1").split()
    headers = {}
    while (header := file.readline().strip()) != b"":
        name, _, value = header.decode("latin-1").partition(":")
        headers[name.lower()] = value.strip()
    data = file.read(int(headers.get("content-length", 0)))
    read = time.perf_counter()
    body = json.loads(data) if data else {}
    first = path.split("/")[1]
    chosen = first if first in BEHAVIOURS else str(body.get("model"))
    if chosen not in BEHAVIOURS:
        chosen = "normal"
    return Received(chosen, number, method, path, headers, body, read)


@contextlib.contextmanager
def unanswering_port() -> Iterator[str]:
    """The URL of a port whose queue is full, so that a connection is neither made nor refused."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        address = listener.getsockname()
        for _ in range(2):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(address)
        time.sleep(0.05)
        yield f"http://127.0.0.1:{address[1]}"


@contextlib.contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """The URL of a server that gives one client these bytes, whatever it asks, and keeps the connection."""
    accepted: list[socket.socket] = []

    def serve() -> None:
        sock, _ = listener.accept()
        accepted.append(sock)
        with sock:
            sock.recv(65536)
            sock.sendall(answer)
            sock.settimeout(PATIENCE)
            with contextlib.suppress(OSError):
                sock.recv(65536)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        for sock in accepted:  # a client may keep it open, too
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        thread.join(PATIENCE)
