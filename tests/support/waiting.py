"""Waits of the tests: they end as soon as what they wait for is there, however slow the machine."""

import time
from collections.abc import Callable
from typing import TypeVar

PATIENCE = 300.0  # s; half a core beside other work takes ten times as long as a quiet machine
LOOK = 0.05  # s between two looks

_Found = TypeVar("_Found")


def wait_until(
    true: Callable[[], _Found],
    what: Callable[[], str] | str,
    sleep: Callable[[float], object] = time.sleep,
    within: float = PATIENCE,
) -> _Found:
    """What `true` gives once that is something. `what` says what went wrong. sleep: gevent's, beside it."""
    deadline = time.monotonic() + within
    while not (found := true()):
        assert time.monotonic() < deadline, what if isinstance(what, str) else what()
        sleep(LOOK)
    return found
