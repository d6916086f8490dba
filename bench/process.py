"""Programs that a bench starts, the metronome above all: known to answer, and surely stopped."""

import contextlib
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

from bench.truth import Truth
from common.places import ROOT
from common.ports import free_port
from common.usage import UsageError
from server.signals import unwound

_START_LIMIT = 60.0  # seconds; it takes 1, and a busy machine ten times that
_STOP_LIMIT = 60.0  # a long run's log takes a moment to write
_GROUP_LIMIT = 10.0  # s, of each of the two signals


@dataclass(frozen=True)
class Child:
    """A metronome that runs; its log is there once `stop` has been called."""

    url: str
    process: subprocess.Popen[str]
    log: Path

    def stop(self) -> Truth:
        """End it and read what it did. Raises UsageError when it did not end well."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            code = self.process.wait(_STOP_LIMIT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        if code != 0:
            raise UsageError(f"the metronome ended with code {code}: {_last_words(self.process)}")
        return Truth.load(self.log)


@dataclass(frozen=True)
class Children:
    """Metronomes that share one address."""

    each: Sequence[Child]

    @property
    def url(self) -> str:
        return self.each[0].url

    def stop(self) -> Truth:
        """End all, and read what they did together. Raises UsageError when one did not end well."""
        return Truth.joined([child.stop() for child in self.each])


@contextlib.contextmanager
def metronomes(*options: str, cpus: Sequence[int] = ()) -> Iterator[Children]:
    """One on each core of `cpus` behind one port, or a single one wherever the kernel puts it."""
    with contextlib.ExitStack() as stack:
        if len(cpus) < 2:
            yield Children([stack.enter_context(metronome(*options, cpu=next(iter(cpus), None)))])
            return
        port = free_port()
        shared = [metronome(*options, "--share-port", cpu=cpu, port=port) for cpu in cpus]
        yield Children([stack.enter_context(each) for each in shared])


@contextlib.contextmanager
def metronome(
    *options: str, cpu: int | None = None, port: int = 0, prefix: Sequence[str] = ()
) -> Iterator[Child]:
    """Run `tokenswarm bench metronome` with `options` on a free port or on `port`, on core `cpu` when given.

    prefix: words before its command. It is stopped on every way out. Raises UsageError when it does not
    start.
    """
    with unwound(), tempfile.TemporaryDirectory(prefix="metronome-") as folder:
        log = Path(folder, "truth.npz")
        command = [*prefix, sys.executable, "-m", "tokenswarm", "bench", "metronome"]
        command += ["--port", str(port), "--log", str(log), *options]
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # a Ctrl-C at the terminal is for the caller, who stops it
        )
        try:
            if cpu is not None:
                os.sched_setaffinity(process.pid, {cpu})
            yield Child(_read_url(process), process, log)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            for pipe in (process.stdout, process.stderr):
                assert pipe is not None
                pipe.close()


def _read_url(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    if select.select([process.stdout], [], [], _START_LIMIT)[0]:
        line = process.stdout.readline().split()
        if len(line) == 2:
            return line[1]
        raise UsageError(f"the metronome did not start: {_last_words(process)}")
    raise UsageError(f"the metronome did not start within {_START_LIMIT:.0f} s")


def _last_words(process: "subprocess.Popen[str]") -> str:
    assert process.stderr is not None
    return (process.stderr.read().splitlines() or ["it said nothing"])[-1]


def await_answer(process: "subprocess.Popen[bytes]", url: str, limit: float, who: str, log: Path) -> None:
    """Return once `url` answers with status 200. Raises UsageError where it has not within `limit` s, or the
    program has ended: with the last words of its log."""
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), urlopen(url, timeout=5) as answer:
            if answer.status == 200:
                return
        time.sleep(0.2)
    raise UsageError(f"{who} did not answer at {url}: {last_words(log)[:300]}")


def stop_group(process: "subprocess.Popen[bytes]") -> None:
    """End it and what it started, which share a process group of their own."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_GROUP_LIMIT)
            return


def last_words(log: Path) -> str:
    """The last line of a program's log that says something."""
    lines = log.read_text(errors="replace").splitlines()
    return next((line for line in reversed(lines) if line.strip()), "it said nothing")
