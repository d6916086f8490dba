"""Does the server fall behind beyond doubt? Then the rest of the run would only lengthen its queue. No I/O.

A request that was sent and has no first token waits in the server. While many wait all the time, the
server answers as fast as it can, and so its pace is seen. What is still to come stands in the schedule. The
server is behind beyond doubt where even the highest pace that the blocks of time allow leaves more waiting at
the window's end than wait now.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from loadgen.live.live import Live
from loadgen.records.record import FAILED
from loadgen.workload.arrivals.stages import Stages
from loadgen.workload.arrivals.trace import Trace
from loadgen.workload.schedule import Schedule

LEAST_SECONDS, LEAST_PART = 10.0, 1 / 3  # of the window, before which no run is stopped
BLOCKS = 8  # of the time in which many waited
SURE = 4.785  # Student's t with BLOCKS - 1 degrees of freedom at 99.9 %, one side
FASTER = 1.05  # times the mean pace: so much a server's own drift may add to it
MANY = 10  # waiting requests, at least; fewer may be those whose prompts are being read
ANSWERED = 0.6  # of the judged arrivals, which a drain waits for: what a median of the TTFT needs
NOTICE = 1.0  # s from the word to stop to the end, so that each lane stops at the same arrival
GROWN = 2.0  # times those that waited when many began to: the queue grew all the time


@dataclass(frozen=True)
class Seen:
    """What had come at a moment, in seconds from the start. `answered`: first tokens, and failures."""

    t: float
    sent: int
    answered: int

    @property
    def waiting(self) -> int:
        return max(self.sent - self.answered, 0)


def seen_of(live: Live) -> Seen:
    """What the workers have told of so far."""
    counts = live.counts()
    first = sum(each["first_chunk"].count for each in live.histograms.values())
    return Seen(live.came().t, counts["sent"], first + counts[FAILED])


def of_one_rate(schedule: Schedule) -> bool:
    """Whether the load has the same rate all the time, and its arrivals wait for no answer."""
    scenario = schedule.scenario
    changing = isinstance(scenario.arrivals, Stages | Trace)
    return scenario.rate is not None and scenario.conversation is None and not changing


def due_between(schedule: Schedule, start: float, end: float) -> int:
    """Arrivals due in [start, end), seconds from the start."""
    due = schedule.arrivals.numbers("due")
    return int(((due >= start) & (due < end)).sum())


def beyond_doubt(seen: Sequence[Seen], window: tuple[float, float], to_come: int) -> str | None:
    """Why, in one line; None while there is doubt. `seen`: about once a second, in order. `to_come`: arrivals
    that are due from the last of them to the window's end."""
    start, end = window
    if not seen or seen[-1].t - start < max(LEAST_SECONDS, LEAST_PART * (end - start)) or seen[-1].t >= end:
        return None
    busy = _busy([each for each in seen if each.t >= start])
    first, last = busy[0], busy[-1]
    if len(busy) <= BLOCKS or last.waiting < GROWN * first.waiting + MANY:
        return None
    paces = _paces(busy)
    mean, reach = float(paces.mean()), SURE * float(paces.std(ddof=1)) / math.sqrt(BLOCKS)
    pace = max(mean + reach, float(paces.max()), FASTER * mean)
    warming = paces[-1] == paces.max() > FASTER * mean  # it may go on to become faster
    if warming or to_come <= pace * (end - last.t):
        return None
    offered = to_come / (end - last.t)
    return (
        f"{last.waiting} requests wait for a first token, {first.waiting} did at {first.t - start:.0f} s; "
        f"the server answers {mean:.3g} of {offered:.3g} requests/s, and {pace:.3g} at most"
    )


def _busy(seen: Sequence[Seen]) -> Sequence[Seen]:
    """The last stretch in which MANY waited all the time; the last moment alone where few wait now."""
    begin = len(seen) - 1
    while begin > 0 and seen[begin - 1].waiting >= MANY:
        begin -= 1
    return seen[begin:]


def _paces(busy: Sequence[Seen]) -> np.ndarray:
    """Requests answered per second in each of BLOCKS equal parts of the time; shape (BLOCKS,)."""
    t, answered = np.array([each.t for each in busy]), np.array([each.answered for each in busy])
    edges = np.linspace(t[0], t[-1], BLOCKS + 1)
    return np.asarray(np.diff(np.interp(edges, t, answered)) / np.diff(edges))
