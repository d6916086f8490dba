"""Work that comes back at a fixed pace, however long each turn takes."""

import itertools
import time
from collections.abc import Callable

import gevent

REST = 0.05  # of a period: the least between two turns, so that others come to theirs


def each(period: float, work: Callable[[], None]) -> None:
    """Do it every `period` s, for ever."""
    began = time.monotonic()
    for number in itertools.count(1):
        work()
        gevent.sleep(max(REST * period, began + number * period - time.monotonic()))
