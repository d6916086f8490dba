"""What a run loads when a cause is planted: the metronome alone, behind a gateway or on a host of its own, or
the real server on a CPU."""

import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from bench.gateways import gateway, missing
from bench.hosts import Hosts, Link, reason_against
from bench.load import TPOT, TTFT
from bench.process import Child, await_answer, metronome
from common.places import ROOT
from common.ports import free_port
from common.usage import UsageError
from server.install import python_of

_TIMETABLE = ("--ttft", str(TTFT), "--tpot", str(TPOT), "--as-vllm")
_PORT = 9000  # on a host of its own every port is free
_START_LIMIT = 400.0  # s; a machine's first start of the CPU server measures its peaks, too


@dataclass(frozen=True)
class Stand:
    """`options`: what the load is told beside its URL. `prefix`: words before the load's command."""

    url: str
    server: tuple[int, ...]  # its processes
    options: Mapping[str, object] = field(default_factory=dict)
    prefix: tuple[str, ...] = ()


@dataclass(frozen=True)
class Place:
    """Makes a stand, and says what is missing for it here. `shared`: it serves several causes."""

    stand: Callable[[], contextlib.AbstractContextManager[Stand]]
    lacks: Callable[[], str | None] = lambda: None
    shared: bool = False


def alone(*options: str) -> Place:
    """The metronome."""

    @contextlib.contextmanager
    def stand() -> Iterator[Stand]:
        with _server(*options) as server:
            yield Stand(server.url, (server.process.pid,))

    return Place(stand)


def behind(name: str, *options: str, more: str = "", own_metrics: bool = False) -> Place:
    """The metronome behind a gateway, which gets the lines or words `more`. own_metrics: the server's figures
    are had past the gateway."""

    @contextlib.contextmanager
    def stand() -> Iterator[Stand]:
        with _server(*options) as server, gateway(name, [server.url], more) as url:
            given = {"metrics-host": server.url} if own_metrics else {}
            yield Stand(url, (server.process.pid,), given)

    return Place(stand, lambda: missing(name))


def two_engines(*slow: str) -> Place:
    """Two metronomes behind HAProxy, one of them with the options `slow`. Each has its metrics read."""

    @contextlib.contextmanager
    def stand() -> Iterator[Stand]:
        with contextlib.ExitStack() as stack:
            servers = [stack.enter_context(_server(*options)) for options in ((), slow)]
            urls = [each.url for each in servers]
            url = stack.enter_context(gateway("HAProxy", urls, "option http-no-delay"))
            pids = tuple(each.process.pid for each in servers)
            yield Stand(url, pids, {"metrics-host": ",".join(urls)})

    return Place(stand, lambda: missing("HAProxy"))


def far(link: Link) -> Place:
    """The metronome and the load on hosts of their own, the server's behind a link."""

    @contextlib.contextmanager
    def stand() -> Iterator[Stand]:
        with Hosts(["server", "client"], {"server": link}) as hosts:
            place = ("--host", hosts.address("server"))
            with metronome(*_TIMETABLE, *place, port=_PORT, prefix=hosts.prefix("server")) as server:
                yield Stand(server.url, (server.process.pid,), {}, hosts.prefix("client"))

    return Place(stand, reason_against)


def on_cpu() -> Place:
    """The real vLLM on this machine's CPU, launched as `tokenswarm serve` does."""
    return Place(_cpu_server, _lacks_vllm, shared=True)


def _lacks_vllm() -> str | None:
    try:
        there = python_of("cpu").is_file()
    except UsageError as error:
        return str(error)
    return None if there else "no vLLM for CPUs (make server-setup TARGET=cpu-tiny)"


@contextlib.contextmanager
def _cpu_server() -> Iterator[Stand]:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "tokenswarm", "serve", "baseline", "--target", "cpu-tiny"]
    with tempfile.TemporaryDirectory(prefix="blame-server-") as folder:
        log = Path(folder, "log")
        with log.open("w") as output:
            process = subprocess.Popen(
                [*command, "--port", str(port), "--folder", folder], cwd=ROOT, stdout=output, stderr=output
            )
        try:
            await_answer(process, f"{url}/health", _START_LIMIT, "the CPU server", log)
            launched = psutil.Process(process.pid).children(recursive=True)
            pids = tuple(each.pid for each in launched)
            yield Stand(url, pids, {"model": "cpu-tiny", "warmup": 3, "output-tokens": 60})
        finally:
            process.terminate()
            process.wait(60)


@contextlib.contextmanager
def _server(*options: str) -> Iterator[Child]:
    with metronome(*_TIMETABLE, *options) as server:  # of an option given twice the last one counts
        yield server
