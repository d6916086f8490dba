"""A plateau of the number of requests at work: the mark of a limit, in the client or in the server."""

from dataclasses import dataclass

import numpy as np

from loadgen.records.record import FAILED, LOST, UNFINISHED
from reports.runs.runs import Floats, Run

LEAST = 4  # a smaller number stands still by chance
NEAR = 0.98  # of the highest number; a place that was freed is taken again a moment later
SHARE = 0.5  # of the time from the first touch of the top to the end of the load


@dataclass(frozen=True)
class Plateau:
    """`level` requests from `start` to `end` (seconds), for `share` of that time at the top."""

    level: int
    start: float
    end: float
    share: float
    waiting: int  # most requests that were sent and not yet answered meanwhile

    @property
    def tens(self) -> bool:
        """A number that people choose for a pool of clients: 10, 50, 100, 200."""
        return self.level >= 10 and self.level % 10 == 0


def answered(run: Run) -> Plateau | None:
    """The plateau of the requests between first and last token, while others wait; None: there is none."""
    numbers, until = run.records.numbers, run.manifest.drained_at
    begin, sent = numbers("first_token"), numbers("sent")
    open_ = run.records.status_is(UNFINISHED)
    end = np.where(open_, until, numbers("last_token"))
    here = ~np.isnan(begin) & ~run.records.status_is(FAILED, LOST)
    gone = np.where(np.isnan(begin), np.where(open_, until, np.nan), begin)  # from waiting
    waits = ~np.isnan(gone) & ~np.isnan(sent)
    found = _plateau(begin[here], end[here], run.window[1], (sent[waits], gone[waits]))
    return found if found and found.waiting > 0 else None


def in_flight(run: Run) -> Plateau | None:
    """The plateau of the requests between send and end, where no more were let in; None: there is none."""
    sent = run.records.numbers("sent")
    here = ~np.isnan(sent) & ~run.records.status_is(FAILED, LOST)
    end = np.where(
        run.records.status_is(UNFINISHED), run.manifest.drained_at, run.records.numbers("last_token")
    )
    nothing = np.zeros(0)
    found = _plateau(sent[here], end[here], run.window[1], (nothing, nothing))
    return found if found and found.tens else None


def _plateau(begin: Floats, end: Floats, until: float, queue: tuple[Floats, Floats]) -> Plateau | None:
    """`until`: the end of the load; `queue`: when each request began and ceased to wait."""
    times, counts = open_at(begin, end)
    if not len(times):
        return None
    level = int(counts.max())
    first = float(times[int(counts.argmax())])
    spans = np.diff(np.append(times, max(until, times[-1])).clip(first, until))
    length = float(spans.sum())
    if level < LEAST or level == len(begin) or length <= 0.1 * until:
        return None  # of all requests at work together, none was held back
    share = float(spans[counts >= NEAR * level].sum()) / length
    if share < SHARE:
        return None
    at, waiting = open_at(*queue)
    inside = waiting[(at >= first) & (at <= until)]
    return Plateau(level, first, until, share, int(inside.max(initial=0)))


def open_at(begin: Floats, end: Floats) -> tuple[Floats, Floats]:
    """(moments, number from then on) of how many intervals are open; an end comes before a begin."""
    times = np.concatenate([begin, end])
    change = np.concatenate([np.ones(len(begin)), -np.ones(len(end))])
    order = np.lexsort((change, times))
    return times[order], np.cumsum(change[order])
