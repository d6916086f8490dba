"""Ctrl-C and its kin, kept as a list instead of breaking in anywhere."""

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import Any, NoReturn

from common import terminal
from server.process import Group


class Signals:
    """While it is entered, SIGINT, SIGTERM and SIGHUP only add to `received`."""

    def __init__(self) -> None:
        self.received: list[int] = []
        self._handed_on = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Signals":
        self._before = {number: signal.signal(number, self._note) for number in terminal.endings()}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @property
    def exit_code(self) -> int:
        """What a shell gives for the first signal: 130 for Ctrl-C."""
        return 128 + self.received[0]

    def hand_on(self, *groups: Group) -> int:
        """Send each group what came since the last call; how many were ever sent on."""
        for number in self.received[self._handed_on :]:
            self._handed_on += 1
            for group in groups:
                group.signal(number)
        return self._handed_on

    def _note(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGHUP:
            terminal.let_go()
        self.received.append(number)


@contextlib.contextmanager
def unwound() -> Iterator[None]:
    """While it is entered, SIGTERM and SIGHUP end the program as Ctrl-C does: every `finally` runs."""
    numbers = [number for number in terminal.endings() if number != signal.SIGINT]
    before = {number: signal.signal(number, _leave) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _leave(number: int, frame: FrameType | None) -> NoReturn:
    if number == signal.SIGHUP:
        terminal.let_go()
    raise SystemExit(128 + number)
