"""What the launcher says, on stderr: stdout belongs to the command."""

import shutil
import sys
import time

PLAIN_EVERY_S = 10.0
PLAIN_WIDTH = 120


def say(text: str) -> None:
    """One line."""
    print(text, file=sys.stderr, flush=True)


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
            sys.stderr.write(f"\r\x1b[K{line[: width - 1]}")
            sys.stderr.flush()
        elif time.monotonic() - self._shown >= PLAIN_EVERY_S:
            self._shown = time.monotonic()
            say(line[:PLAIN_WIDTH])

    def clear(self) -> None:
        """Take the live line away."""
        if self._live:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
