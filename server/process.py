"""A child with a process group of its own that never outlives us: every way out ends in `stop`."""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

import psutil

from common.usage import UsageError

PR_SET_PDEATHSIG = 1
MARK = "TOKENSWARM_GROUP"  # in the environment of all that a group starts: its name, after its parents'
POLL_S = 0.1


def start(
    argv: Sequence[str],
    environment: Mapping[str, str],
    output: IO[bytes] | None = None,
    stdin: IO[bytes] | int | None = subprocess.DEVNULL,
    cwd: Path | None = None,
) -> "Group":
    """A group for a command that somebody named. Raises UsageError when it cannot be started."""
    try:
        return Group(argv, environment, output, stdin, cwd)
    except OSError as error:
        raise UsageError(f"the command {argv[0]!r} cannot be run: {error.strerror}") from None


class Group:
    """A process and all that it starts. It runs in a session of its own, so a Ctrl-C does not reach it."""

    def __init__(
        self,
        argv: Sequence[str],
        environment: Mapping[str, str],
        output: IO[bytes] | None = None,
        stdin: IO[bytes] | int | None = subprocess.DEVNULL,
        cwd: Path | None = None,
    ) -> None:
        """Start `argv`. Raises OSError when it cannot be started."""
        self._mark = uuid.uuid4().hex
        marks = f"{environment.get(MARK, '')} {self._mark}".strip()
        self._process = subprocess.Popen(
            list(argv),
            env={**environment, MARK: marks},
            stdin=stdin,
            stdout=output,
            stderr=subprocess.STDOUT if output is not None else None,
            cwd=cwd,
            start_new_session=True,
            preexec_fn=_end_with_parent(),
        )
        self.pid = self._process.pid

    @property
    def exit_code(self) -> int | None:
        """Its exit code as a shell gives it (128 + the signal's number); None while it runs."""
        code = self._process.poll()
        return code if code is None or code >= 0 else 128 - code

    def signal(self, number: int) -> None:
        """Send a signal to every process of the group."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    def stop(self, grace_s: float, hurry: Callable[[], bool] = lambda: False) -> None:
        """End every process of the group: SIGTERM, then SIGKILL after `grace_s` seconds or upon `hurry`."""
        members = self.members()
        self.signal(signal.SIGTERM)
        self._wait_for_end(members, grace_s, hurry)
        for process in [*members, *self.members()]:  # a child may have left the group, or come since
            with contextlib.suppress(psutil.Error):
                process.kill()
        self._wait_for_end(members, 5.0)

    def members(self) -> list[psutil.Process]:
        """What runs of all that the process started, also what left its session or outlived its parent."""
        return [process for process in psutil.process_iter() if self._has(process)]

    def titles(self) -> list[str]:
        """What each of its processes calls itself, or else its program's name."""
        found = []
        for process in self.members():
            with contextlib.suppress(psutil.Error):
                words = process.cmdline()
                found.append(words[0] if words else process.name())
        return found

    def _has(self, process: psutil.Process) -> bool:
        """By session, or else by the mark (a program that renames itself may overwrite its environment)."""
        with contextlib.suppress(OSError, psutil.Error):
            if process.status() == psutil.STATUS_ZOMBIE:
                return False
            return os.getsid(process.pid) == self.pid or self._mark in process.environ().get(MARK, "")
        return False

    def _wait_for_end(
        self, members: list[psutil.Process], bound_s: float, hurry: Callable[[], bool] = lambda: False
    ) -> None:
        deadline = time.monotonic() + bound_s
        while time.monotonic() < deadline and not hurry():
            ended = self.exit_code is not None  # asking also reaps it
            if ended and not any(map(_alive, members)) and not self.members():
                return
            time.sleep(POLL_S)


def run(argv: Sequence[str], grace_s: float, meanwhile: Callable[[], object] = lambda: None) -> int:
    """Run a program to its end; its exit code. However we end meanwhile, it ends too, within `grace_s`.

    `meanwhile` is called again and again as long as it runs.
    """
    group = Group(argv, os.environ, stdin=None)
    try:
        while group.exit_code is None:
            meanwhile()
            time.sleep(POLL_S)
        return group.exit_code
    finally:
        group.stop(grace_s)


def answer(
    argv: Sequence[str],
    within_s: float,
    environment: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a short program to its end and keep what it says. Like a Group it never outlives us.

    Raises OSError when it cannot be started, subprocess.TimeoutExpired when it takes longer.
    """
    return subprocess.run(
        list(argv),
        env=None if environment is None else dict(environment),
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=within_s,
        check=False,
        preexec_fn=_end_with_parent(),
    )


def _alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _end_with_parent():  # type: ignore[no-untyped-def]
    """What the child does before it becomes the program: ask Linux for SIGTERM when its parent dies."""
    if not sys.platform.startswith("linux"):
        return None
    prctl, parent = ctypes.CDLL(None, use_errno=True).prctl, os.getpid()

    def ask() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent:  # it died before we asked
            os._exit(1)

    return ask
