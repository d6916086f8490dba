"""The terminal, which may be closed while we run: SIGHUP, and nowhere left to write."""

import contextlib
import logging
import os
import shutil
import signal
import stat
import sys
import time
import unicodedata
from collections.abc import Callable
from typing import Any

from common.redact import redact

_ORDERS = ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")  # categories of what a terminal obeys, or cannot show


def endings() -> tuple[int, ...]:
    """The signals that ask a program to end: SIGINT, SIGTERM, and SIGHUP unless nohup has it ignored."""
    asked = (signal.SIGINT, signal.SIGTERM)
    ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return asked if ignored else (*asked, signal.SIGHUP)


def say(text: str) -> None:
    """One line for the person at the terminal, on stderr: stdout belongs to results."""
    write(shown(text) + "\n")


def shown(text: str) -> str:
    """A text from a server, a file or a user as it may stand on a terminal: what the terminal would obey
    (control characters, directions of writing) is escaped, line ends and tabs stay, secrets are hidden."""
    safe = redact(text)
    if safe.isascii() and safe.isprintable():
        return safe
    return "".join(_escaped(char) if is_order(char) else char for char in safe)


def is_order(char: str) -> bool:
    """Whether a terminal would obey it, or cannot show it."""
    return char not in "\n\t\u200d" and unicodedata.category(char) in _ORDERS  # U+200D joins emoji


def _escaped(char: str) -> str:
    return char.encode("unicode_escape", "surrogatepass").decode("ascii")


class ShownFormatter(logging.Formatter):
    """Another formatter's text, shown as above: for logs, which hold what servers and libraries say."""

    def __init__(self, inner: logging.Formatter | None) -> None:
        super().__init__()
        self._inner = inner or logging.Formatter()

    def format(self, record: Any) -> str:
        return shown(self._inner.format(record))


def guard_logs() -> None:
    """Have all that is logged from now on shown safely."""
    for logger in (logging.getLogger(), *map(logging.getLogger, logging.root.manager.loggerDict)):
        for handler in logger.handlers:
            if not isinstance(handler.formatter, ShownFormatter):
                handler.setFormatter(ShownFormatter(handler.formatter))


def write(text: str) -> None:
    """Write to stderr. Where nobody can read it any more, nothing is written from then on: a run must not
    be lost for a line that nobody sees."""
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except OSError:
        write_nowhere(2)


def let_go() -> None:
    """After a hang-up: write nowhere what went to the terminal that is gone, and have children do the same.
    Files and pipes stay, and a terminal that is still there."""
    for place in (0, 1, 2):
        with contextlib.suppress(OSError):
            if stat.S_ISCHR(os.fstat(place).st_mode) and not os.isatty(place):
                write_nowhere(place)


def write_nowhere(place: int) -> None:
    """Lead a file descriptor to /dev/null."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, place)
    os.close(nowhere)


class StatusLine:
    """One line on stderr: rewritten on a terminal, a plain line every `every` seconds in a log."""

    def __init__(self, every: float) -> None:
        self._live = sys.stderr.isatty()
        self._every = every
        self._shown = float("-inf")

    def show(self, make: Callable[[int | None], str]) -> None:
        """`make` gets the columns that there are (None in a log) and gives the line's text."""
        if self._live:
            write(f"\r\x1b[K{shown(make(shutil.get_terminal_size().columns - 1))}")
        elif time.monotonic() - self._shown >= self._every:
            self._shown = time.monotonic()
            say(make(None))

    def say(self, text: str) -> None:
        """One line that stays."""
        self.clear()
        say(text)

    def clear(self) -> None:
        """Take the line away."""
        if self._live:
            write("\r\x1b[K")
