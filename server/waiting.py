"""The line that is shown while a server starts."""

import shutil
import sys
import time

from common.terminal import say, write

PLAIN_EVERY_S = 10.0
PLAIN_WIDTH = 120


class Waiting:
    """One line that is rewritten on a terminal, or a plain line every few seconds in a log."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._live = sys.stderr.isatty()
        self._shown = time.monotonic()

    def show(self, elapsed: float, detail: str) -> None:
        """Show the seconds waited and what was heard last."""
        line = f"{self._what}: {elapsed:3.0f} s  {detail}".rstrip()
        if self._live:
            width = shutil.get_terminal_size().columns
            write(f"\r\x1b[K{line[: width - 1]}")
        elif time.monotonic() - self._shown >= PLAIN_EVERY_S:
            self._shown = time.monotonic()
            say(line[:PLAIN_WIDTH])

    def clear(self) -> None:
        """Take the live line away."""
        if self._live:
            write("\r\x1b[K")
