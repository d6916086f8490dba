"""The live line of a headless run: rewritten on a terminal, a plain line every few seconds in a log."""

import shutil
import sys
import time

from common import terminal
from loadgen.live import Live

PLAIN_EVERY = 5.0  # s


class LiveLine:
    """Shows on stderr; stdout belongs to the verdict."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self._shown = 0.0

    def say(self, text: str) -> None:
        """One line that stays."""
        self.clear()
        terminal.say(text)

    def show(self, live: Live, now: float, phase: str) -> None:
        """The state of the run at `now`."""
        text = line(live, now, phase)
        if self._live:
            width = shutil.get_terminal_size().columns
            terminal.write(f"\r\x1b[K{text[: width - 1]}")
        elif time.monotonic() - self._shown >= PLAIN_EVERY:
            self._shown = time.monotonic()
            terminal.say(text)

    def clear(self) -> None:
        """Take the live line away."""
        if self._live:
            terminal.write("\r\x1b[K")


def line(live: Live, now: float, phase: str) -> str:
    """Elapsed and left, rates, in flight; TTFT and TPOT so far, without the warm-up's."""
    counts, point = live.counts(), live.points[-1] if live.points else None
    phase = "warm-up" if phase == "running" and now < live.window[0] else phase
    parts = [f"{phase} {max(now, 0.0):5.1f} s, {max(live.end - now, 0):.0f} s left"]
    if point is not None:
        parts.append(f"offered {point.offered_rate:.1f}/s, completed {point.completed_rate:.1f}/s")
        parts.append(f"{point.token_rate:,.0f} tok/s")
    parts.append(f"in flight {live.in_flight}")
    found = live.percentiles()
    for name, label in (("ttft", "TTFT"), ("tpot", "TPOT")):
        row = found[name]
        if row["p50"] is not None and row["p99"] is not None:
            parts.append(f"{label} p50 {row['p50'] * 1e3:.0f} p99 {row['p99'] * 1e3:.0f} ms")
    if counts["failed"]:
        parts.append(f"failed {counts['failed']}")
    return " | ".join(parts)
