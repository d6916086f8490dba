"""A group ends whole: children, the deaf, those that left the session, those whose parent died."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from common.places import ROOT
from server.process import Group, answer
from server.signals import Signals, unwound
from tests.support.waiting import PATIENCE, wait_until

DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(300)"


def family(children: int, apart: bool, then: str, folder: Path) -> list[str]:
    """A program that starts deaf children, tells their pids in a file each, and then does something."""
    code = f"""
import pathlib, subprocess, sys, time
for number in range({children}):
    child = subprocess.Popen([sys.executable, "-c", {DEAF!r}], start_new_session={apart})
    pathlib.Path({str(folder)!r}, str(child.pid)).touch()
pathlib.Path({str(folder)!r}, "ready").touch()
{then}
"""
    return [sys.executable, "-c", code]


def alive(pid: int) -> bool:
    with contextlib.suppress(psutil.Error):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


def wait_for(folder: Path) -> list[int]:
    """The children's pids, once all are there."""
    wait_until((folder / "ready").exists, "no children")
    return [int(path.name) for path in folder.iterdir() if path.name.isdigit()]


@pytest.fixture(autouse=True)
def _no_orphans(tmp_path: Path) -> Iterator[None]:
    yield
    for path in tmp_path.iterdir():
        if path.name.isdigit() and alive(int(path.name)):
            os.kill(int(path.name), signal.SIGKILL)


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("then", ["time.sleep(300)", "sys.exit(3)"])
def test_a_group_ends_with_all_its_children(tmp_path: Path, apart: bool, then: str) -> None:
    group = Group(family(2, apart, then, tmp_path), os.environ)
    children = wait_for(tmp_path)
    if "exit" in then:
        wait_until(lambda: group.exit_code is not None, "never exits")
    assert {process.pid for process in group.members()} >= set(children)
    group.stop(grace_s=0.5)
    assert not any(map(alive, [group.pid, *children]))
    assert group.members() == []
    assert group.exit_code == (3 if "exit" in then else 128 + signal.SIGTERM)


def test_a_group_that_goes_by_itself_is_not_waited_for(tmp_path: Path) -> None:
    group = Group([sys.executable, "-c", "pass"], os.environ)
    start = time.monotonic()
    group.stop(grace_s=PATIENCE)
    assert time.monotonic() - start < PATIENCE


def test_groups_do_not_touch_each_other(tmp_path: Path) -> None:
    first, second = (Group([sys.executable, "-c", "import time; time.sleep(300)"], os.environ) for _ in "ab")
    first.stop(5)
    assert alive(second.pid)
    assert [process.pid for process in second.members()] == [second.pid]
    second.stop(5)
    assert not alive(second.pid)


def test_a_group_inside_a_group_belongs_to_both(tmp_path: Path) -> None:
    inner = f"""
import os
from server.process import Group
Group({family(1, True, "time.sleep(300)", tmp_path)!r}, os.environ)
time.sleep(300)
"""
    outer = Group([sys.executable, "-c", "import time\n" + inner], os.environ)
    (child,) = wait_for(tmp_path)
    outer.stop(0.3)
    assert not alive(child)


def test_the_exit_code_is_what_a_shell_gives(tmp_path: Path) -> None:
    group = Group([sys.executable, "-c", "import time; time.sleep(300)"], os.environ)
    assert group.exit_code is None
    group.signal(signal.SIGKILL)
    group.stop(5)
    assert group.exit_code == 137


def test_what_cannot_be_started_is_an_os_error() -> None:
    with pytest.raises(FileNotFoundError):
        Group(["no-such-program"], os.environ)
    with pytest.raises(FileNotFoundError):
        answer(["no-such-program"], PATIENCE)


def test_an_answer_has_both_streams_and_a_bound() -> None:
    said = answer([sys.executable, "-c", "import sys; print(1); sys.exit('no')"], PATIENCE)
    assert (said.returncode, said.stdout, said.stderr) == (1, "1\n", "no\n")
    with pytest.raises(subprocess.TimeoutExpired):
        answer([sys.executable, "-c", "import time; time.sleep(300)"], 0.3)


def test_signals_are_kept_in_order_and_the_handlers_come_back() -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    with Signals() as signals:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGINT):
            signal.raise_signal(number)
        assert signals.received == [signal.SIGTERM, signal.SIGINT, signal.SIGINT]
        assert signals.exit_code == 143
    assert before == {number: signal.getsignal(number) for number in before}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_an_end_from_outside_unwinds(number: int) -> None:
    before, cleaned = signal.getsignal(number), []
    with pytest.raises(SystemExit) as caught, unwound():
        try:
            signal.raise_signal(number)
        finally:
            cleaned.append(True)
    assert (caught.value.code, cleaned, signal.getsignal(number)) == (128 + number, [True], before)


def test_a_second_signal_cuts_the_grace_short(tmp_path: Path) -> None:
    group = Group(family(1, False, "time.sleep(300)", tmp_path), os.environ)
    (child,) = wait_for(tmp_path)
    asked = time.monotonic()
    group.stop(PATIENCE, hurry=lambda: time.monotonic() - asked > 0.3)
    assert time.monotonic() - asked < PATIENCE and not alive(child)


def test_a_program_that_is_run_ends_with_us(tmp_path: Path) -> None:
    """As pip does when the installing is ended."""
    inner = family(1, False, "time.sleep(300)", tmp_path)
    outer = "from server import process, signals\n"
    outer += f"with signals.unwound(): process.run({inner}, 0.3)"
    with subprocess.Popen([sys.executable, "-c", outer], cwd=ROOT) as ours:
        (child,) = wait_for(tmp_path)
        ours.terminate()
        assert ours.wait(PATIENCE) == 128 + signal.SIGTERM
    assert not alive(child)
