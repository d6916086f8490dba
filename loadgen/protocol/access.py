"""Who may speak with a run's master: those who hold its token, and nobody else.

Locust's connection is ZeroMQ's, which can encrypt: CurveZMQ (https://rfc.zeromq.org/spec/26/). Both key pairs
are derived from one token. Who lacks it gets no message through, Locust's own included, and can read none.
"""

import hashlib
import os
import re
import secrets
import time
from collections.abc import Callable
from functools import cache as once
from pathlib import Path
from typing import Any

import zmq
import zmq.constants as options
from locust.exception import RPCError, RPCReceiveError
from locust.rpc import zmqrpc
from zmq.utils import z85

from common.places import cache
from common.usage import UsageError

VARIABLE = "TOKENSWARM_TOKEN"
FORM = re.compile(r"[!-~]{32,200}")
WITHIN = 10.0  # s that a worker waits for the file, where both are started at once
LARGEST = 512 * 2**20  # bytes of one message; a batch of 500 long answers with their text is 100 MiB


def default_file() -> Path:
    """Where a master leaves the token for workers of the same host."""
    return cache() / "worker-token"


def make_token() -> str:
    """One that nobody guesses: 256 bits."""
    return secrets.token_hex(32)


def find_token(is_master: bool, file: Path | None) -> str:
    """The token of --token-file, of the environment, or of the default file; a master makes a missing file.

    Raises UsageError where there is none, or it is too short to be unguessable.
    """
    if file is None and (given := os.environ.get(VARIABLE, "").strip()):
        return _checked(given, VARIABLE)
    path = file or default_file()
    if is_master:
        _make_file(path)
    deadline = time.monotonic() + WITHIN
    while not path.is_file() and time.monotonic() < deadline:
        time.sleep(0.1)
    try:
        with path.open(encoding="utf-8") as opened:
            return _checked(opened.read(1000).strip(), str(path))
    except FileNotFoundError:
        raise UsageError(
            f"{path}: no such file: copy the master's token file here (--token-file), or set {VARIABLE}"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: the token cannot be read: {error}") from None


def _make_file(path: Path) -> None:
    """For its owner's eyes only; one that is there already stays."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.{os.getpid()}.part")
        place = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(place, "w", encoding="ascii") as opened:
            opened.write(make_token() + "\n")
        try:
            os.link(part, path)
        except FileExistsError:
            pass
        finally:
            part.unlink()
    except OSError as error:
        raise UsageError(
            f"{path}: the workers' token cannot be written: {error.strerror}; "
            f"give --token-file FILE or {VARIABLE}"
        ) from None


def _checked(token: str, where: str) -> str:
    if not FORM.fullmatch(token):
        raise UsageError(
            f"{where}: a token has 32 to 200 printable characters; `openssl rand -hex 32` makes one"
        )
    return token


def master_keys(token: str) -> tuple[bytes, bytes]:
    """Public and secret key of the master."""
    return _keys(token, b"tokenswarm master\0")


def worker_keys(token: str) -> tuple[bytes, bytes]:
    """Public and secret key that all workers share."""
    return _keys(token, b"tokenswarm worker\0")


def _keys(token: str, role: bytes) -> tuple[bytes, bytes]:
    secret = z85.encode(hashlib.sha256(role + token.encode()).digest())
    return zmq.curve_public(secret), secret


def protect(socket: Any, kind: int, token: str) -> None:
    """Let a socket of Locust's speak with holders of the token only; before it binds or connects."""
    own = master_keys(token) if kind == options.ROUTER else worker_keys(token)
    socket.setsockopt(options.CURVE_PUBLICKEY, own[0])
    socket.setsockopt(options.CURVE_SECRETKEY, own[1])
    socket.setsockopt(options.MAXMSGSIZE, LARGEST)
    if kind == options.ROUTER:
        socket.setsockopt(options.CURVE_SERVER, 1)
    else:
        socket.setsockopt(options.CURVE_SERVERKEY, master_keys(token)[0])


@once
def protect_locust(token: str) -> None:
    """Every connection that Locust makes in this process, and in those forked of it, asks for the token.

    Locust binds and connects as it makes a socket, so its class is the one place to step in. What cannot be
    read is passed over there too: of Locust it would end the listening.
    """
    make: Callable[..., None] = zmqrpc.BaseSocket.__init__
    read = zmqrpc.BaseSocket.recv_from_client

    def init(self: Any, sock_type: int, ipv4_only: bool) -> None:
        make(self, sock_type, ipv4_only)
        protect(self.socket, sock_type, token)

    def recv_from_client(self: Any) -> Any:
        try:
            return read(self)
        except RPCReceiveError:
            raise RPCReceiveError("a message that cannot be read") from None  # without the sender: no reset
        except RPCError:
            raise
        except Exception as error:
            raise RPCReceiveError(f"a message that cannot be read: {type(error).__name__}") from None

    zmqrpc.BaseSocket.__init__ = init
    zmqrpc.BaseSocket.recv_from_client = recv_from_client
