"""Peers on the workers' port that are none of the run's, and messages that are none of a worker's."""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgpack
import zmq
import zmq.constants as options

from loadgen.protocol.access import protect

HEADERS = (b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 64, b"\x00" * 64, b"SSH-2.0-x\r\n", b"\x16\x03\x01\x02\x00")


@contextlib.contextmanager
def peer(port: int, name: str = "stranger", token: str | None = None) -> Iterator[Any]:
    """A socket as a worker's, with the token of somebody or none at all."""
    context = zmq.Context()  # type: ignore[attr-defined]
    socket = context.socket(options.DEALER)
    socket.setsockopt(options.IDENTITY, name.encode())
    socket.setsockopt(options.LINGER, 0)
    if token is not None:
        protect(socket, options.DEALER, token)
    socket.connect(f"tcp://127.0.0.1:{port}")
    try:
        yield socket
    finally:
        socket.close()
        context.term()


def message(kind: str, data: Any, node: str) -> bytes:
    """As Locust writes it."""
    return bytes(msgpack.dumps((kind, data, node)))


def listening(group: int) -> dict[int, str]:
    """The TCP ports on which processes of this session listen, with their addresses (hex, as in proc(5))."""
    sockets = set()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, IndexError, ValueError):
            if int(process.joinpath("stat").read_text().rpartition(")")[2].split()[3]) == group:
                for link in process.joinpath("fd").iterdir():
                    with contextlib.suppress(OSError):
                        sockets.update(re.findall(r"socket:\[(\d+)\]", str(link.readlink())))
    found = {}
    for table in ("tcp", "tcp6"):
        for line in Path("/proc/net", table).read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == "0A" and words[9] in sockets:
                address, port = words[1].split(":")
                found[int(port, 16)] = address
    return found
