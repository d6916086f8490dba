"""Whoever started a run may close the terminal: the run goes on to its end and is kept."""

import io
import logging
import os
import pty
import signal
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table
from rich.text import Text

from common import terminal
from common.places import ROOT
from reports.text.console import SafeConsole
from server.signals import Signals
from tests.support.waiting import PATIENCE

LINES = "from common.terminal import say, write; say('one'); write('two'); say('three'); print(1)"
HUNG_UP = """
import os, signal, sys, time
from common import terminal
from server.signals import Signals
with Signals() as signals:
    print("ready", flush=True)
    while not signals.received:
        time.sleep(0.01)
    print("on the terminal that is gone", flush=True)
    os.write(2, b"kept")
sys.exit(signals.exit_code)
"""


def test_a_line_that_nobody_can_read_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    ended = subprocess.run(
        [sys.executable, "-c", LINES],
        cwd=ROOT,
        stderr=writer,
        stdout=subprocess.PIPE,
        timeout=PATIENCE,
        check=False,
    )
    os.close(writer)
    assert (ended.returncode, ended.stdout) == (0, b"1\n")


def test_output_that_nobody_reads_to_its_end_is_no_traceback() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    words = [sys.executable, "-m", "tokenswarm", "variants"]
    ended = subprocess.run(
        words, cwd=ROOT, stdout=writer, stderr=subprocess.PIPE, timeout=PATIENCE, check=False
    )
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (128 + signal.SIGPIPE, b"")


def test_a_closed_terminal_is_a_signal_and_what_went_to_it_goes_nowhere(tmp_path: Path) -> None:
    log = (tmp_path / "log").open("wb")
    child, master = pty.fork()
    if child == 0:
        os.dup2(log.fileno(), 2)
        os.chdir(ROOT)
        os.execv(sys.executable, [sys.executable, "-c", HUNG_UP])
    said = b""
    while b"ready" not in said:
        said += os.read(master, 100)
    os.close(master)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 128 + signal.SIGHUP
    assert (tmp_path / "log").read_bytes() == b"kept", "a file stays, and nothing else was said"


def test_nohup_is_respected() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert signal.SIGHUP not in terminal.endings()
        with Signals() as signals:
            signal.raise_signal(signal.SIGHUP)
        assert signals.received == []
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_terminal_that_is_still_there_keeps_what_is_written() -> None:
    ours, theirs = pty.openpty()
    attributes = termios.tcgetattr(theirs)
    attributes[1] &= ~termios.OPOST
    termios.tcsetattr(theirs, termios.TCSANOW, attributes)
    program = "from common import terminal; terminal.let_go(); terminal.say('still here')"
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, stderr=theirs, timeout=PATIENCE, check=True)
    assert os.read(ours, 100) == b"still here\n"
    os.close(ours)
    os.close(theirs)


@pytest.mark.parametrize("program", [True, False])
def test_ctrl_c_while_a_program_imports_is_no_traceback(program: bool) -> None:
    """The signal comes where the program's other imports would; no program of ours keeps Python's way."""
    code = "import signal\nfrom common import early\n" + ("early.begin()\n" if program else "")
    words = [sys.executable, "-c", f"{code}signal.raise_signal(signal.SIGINT)"]
    ended = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert ended.returncode == -signal.SIGINT and ("Traceback" in ended.stderr) != program


ORDERS = [
    "\x1b[2J",
    "\x1b]0;title\x07",
    "\r",
    "\b",
    "\x7f",
    "\x9b31m",
    "\u202e",
    "\u2066",
    "\ud800",
    "\x00",
    "\u2028",
]


@pytest.mark.parametrize("order", ORDERS)
def test_what_a_terminal_would_obey_is_shown_escaped(order: str, capsys: pytest.CaptureFixture[str]) -> None:
    terminal.say(f"the server said: {order}ok")
    said = capsys.readouterr().err
    assert order[0] not in said and said.endswith("ok\n") and "\\" in said
    console = SafeConsole(file=io.StringIO(), width=60)
    console.print(Text(f"x {order}ok"))
    table = Table()
    table.add_column("a")
    table.add_row(f"y {order}ok")
    console.print(table)
    assert order[0] not in console.file.getvalue()  # type: ignore[attr-defined]


@given(st.text())
def test_other_text_is_shown_as_it_is_and_nothing_twice(text: str) -> None:
    once = terminal.shown(text)
    assert terminal.shown(once) == once
    assert once.isprintable() or set(once) & set("\n\t\u200d") or any(not char.isprintable() for char in text)
    plain = "".join(char for char in text if char.isalnum())
    assert "".join(char for char in terminal.shown(plain)) == plain


def test_logs_are_shown_likewise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "a-key-of-some-length")
    kept = io.StringIO()
    handler, logger = logging.StreamHandler(kept), logging.getLogger("tests.shown")
    logger.addHandler(handler)
    terminal.guard_logs()
    try:
        raise ValueError("a-key-of-some-length")
    except ValueError:
        logger.exception("said \x1b[2J by %s", "the server")
    finally:
        logger.removeHandler(handler)
    assert "said \\x1b[2J by the server" in kept.getvalue()
    assert "ValueError: ***" in kept.getvalue()
