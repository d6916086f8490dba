"""Waiting for a server: is its port free, is it up, did it die."""

import contextlib
import signal
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

from common.usage import UsageError
from server import log

PROBE_S = 0.5
KILLED = 128 + signal.SIGKILL


class StartFailedError(Exception):
    """The server did not become healthy; the text says why in one line."""


def require_free(port: int) -> None:
    """Raise UsageError when something listens on this port already."""
    if not 1 <= port <= 65535:
        raise UsageError(f"--port {port}: a port is a number from 1 to 65535")
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET, "0.0.0.0")):
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, port))
            except PermissionError:
                raise UsageError(f"port {port} needs root; choose another with PORT= or --port") from None
            except OSError:
                by = "".join(f" by {_name(process)}" for process in _listeners(port)[:1])
                raise UsageError(
                    f"port {port} is in use{by}; stop it, or choose another with PORT= or --port"
                ) from None


def is_healthy(url: str) -> bool:
    """Whether GET /health answers 200 within 2 seconds. No proxy is asked."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{url}/health", timeout=2) as answer:
            return int(answer.status) == 200
    except (OSError, urllib.error.URLError, ValueError):
        return False


def wait(
    url: str,
    exit_code: Callable[[], int | None],
    log_file: Path,
    within_s: float,
    show: Callable[[float, str], None],
    stopped: Callable[[], bool],
) -> float | None:
    """Wait until the server is healthy; return the seconds that it took, None when `stopped` says so.

    `show` gets the seconds elapsed and the newest line of the log. Raises StartFailedError when the
    server exits or is not healthy within `within_s` seconds.
    """
    for elapsed in _ticks():
        if stopped():
            return None
        code = exit_code()
        if code is not None:
            raise StartFailedError(f"the server {how_it_ended(code)} while it was starting")
        if is_healthy(url):
            return elapsed
        if elapsed > within_s:
            raise StartFailedError(f"the server was not healthy within {within_s:g} s")
        show(elapsed, log.newest(log.read_lines(log_file)))
        time.sleep(PROBE_S)
    raise AssertionError("unreachable")


def how_it_ended(code: int) -> str:
    """In words, from its exit code as a shell gives it."""
    if code == KILLED:
        return "was killed (SIGKILL), often by the kernel's out-of-memory killer,"
    return f"exited with code {code}"


def _ticks() -> Iterator[float]:
    start = time.monotonic()
    while True:
        yield time.monotonic() - start


def require_alone(port: int, ours: list[psutil.Process]) -> None:
    """Raise UsageError when a process that is not ours listens on the port too.

    vLLM shares its port (SO_REUSEPORT), so two servers that start at once would share the requests.
    """
    for process in _listeners(port):
        if process not in ours:
            raise UsageError(
                f"port {port} is answered by {_name(process)} too; choose another with PORT= or --port"
            )


def _listeners(port: int) -> list[psutil.Process]:
    """Whoever listens on the port, as far as this user can see it."""
    found = []
    with contextlib.suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("inet"):
            listens = connection.status == psutil.CONN_LISTEN and connection.laddr[1:2] == (port,)
            if listens and connection.pid:
                with contextlib.suppress(psutil.Error):
                    found.append(psutil.Process(connection.pid))
    return found


def _name(process: psutil.Process) -> str:
    try:
        return f"{process.name()} (process {process.pid})"
    except psutil.Error:
        return f"process {process.pid}"
