"""Does the server fall behind? Growth of the requests in flight beyond the expected number.

`measure` looks for a steady growth over a span of one rate, `measure_end` for one that began late.
docs/metrics.md gives the reasons and how often both alarm in simulation.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from reports.metrics import expected_in_flight, time_series
from reports.metrics.expected_in_flight import Pace
from reports.metrics.stages import Stage
from reports.runs.runs import Floats, Mask, Run
from reports.statistics import trend

TREND_P = 0.01  # of Mann-Kendall on the blocks
GROWTH = 0.01  # of the offered rate; a slower growth moves no latency within a window
BEYOND_CHANCE = 3.0  # standard deviations of the difference of two counts of independent requests
BLOCKS = (8, 20)  # 8 can reach p = 0.01 with room; more than 20 only make the blocks more alike
LEAST = 10 * BLOCKS[0]  # arrivals
BLOCK_LENGTH = 2.0  # in request durations: the number in flight forgets itself over one
SETTLING = 3.0  # in request durations: a batch that fills makes its own requests last longer
HEAD = 0.1  # of the span: it says how long requests last
RISING_P = 0.05  # of the arrivals coming ever faster
BATCHING = 2.0  # times the growth of the expected number: so much a healthy server's batch may add to it

ENDS = (0.1, 0.2)  # of the window
END_GROWTH = 0.15  # of the arrivals due there
MOMENTS = 40  # spans of the window, the last of which is its end
ENOUGH = 20  # requests that say how long they last


@dataclass(frozen=True)
class Backlog:
    """Requests in flight over a span of time, in blocks."""

    means: Floats
    explained: Floats  # of them, by the arrivals
    p: float  # one-sided, Mann-Kendall, of the rest
    growth: float  # of the rest, requests per second, Theil-Sen
    block: float  # seconds
    healthy: float  # requests per second: a growth that needs no queue
    offered: float  # requests per second
    place: str = ""  # the step that it is of, where the load has several

    @property
    def share(self) -> float:
        """Of the offered rate, what the growth is."""
        return self.growth / self.offered

    @property
    def bound(self) -> float:
        return max(GROWTH, self.healthy / self.offered)

    def grows(self, level: float) -> bool:
        """Whether it grows, at this level of the test."""
        return self.p <= level and self.share > self.bound


@dataclass(frozen=True)
class End:
    """Requests in flight at the end of the window against the stretch before it."""

    seconds: float  # how long the end is
    means: tuple[float, float]  # in flight when it begins, when it is over
    explained: tuple[float, float]  # of them, by the arrivals
    growth: float  # of the rest, beyond the most that it came to before
    healthy: float  # requests: a growth that needs no queue
    due: int  # arrivals

    @property
    def share(self) -> float:
        """Of the arrivals due there, what the growth is."""
        return self.growth / self.due

    @property
    def bound(self) -> float:
        return max(END_GROWTH, self.healthy / self.due)


def measure(run: Run, span: tuple[float, float] | None = None, place: str = "") -> Backlog | None:
    """Test whether more and more are in flight over the window, or over another span of seconds, than the
    arrivals let expect. None: too few arrivals.

    The window is tested from when the load has settled on, or its second half. Requests last as those of the
    span's first tenth did. Whatever they do, their number may drift by some sqrt(2 x their mean number) over
    the span; where the arrivals come ever faster, a batch that grows with them slows its requests down, too.
    """
    start, end = span or settled(run)
    here = _due_in(run, start, end)
    count = int(here.sum())
    if count < LEAST:
        return None
    seconds, length = end - start, BLOCK_LENGTH * _decode(run, here)
    blocks = int(np.clip(seconds / length if length > 0 else BLOCKS[1], *BLOCKS))
    edges, block = np.linspace(start, end, blocks + 1), seconds / blocks
    head = here & _due_in(run, start, start + HEAD * seconds)
    pace = (
        expected_in_flight.pace_of(run, head) or expected_in_flight.pace_of(run, run.judged) or Pace(0.0, 0.0)
    )
    means, explained = time_series.in_flight(run, edges), expected_in_flight.explained(run, pace, edges)
    rest = means - explained
    healthy = BEYOND_CHANCE * math.sqrt(2 * max(float(np.median(means)), 0.0)) / seconds
    arrivals = np.histogram(run.records.numbers("due")[here], edges)[0].astype(np.float64)
    if trend.mann_kendall(arrivals) <= RISING_P:
        healthy = max(healthy, BATCHING * trend.theil_sen(explained) / block)
    growth, p = trend.theil_sen(rest) / block, trend.mann_kendall(rest)
    return Backlog(means, explained, p, growth, block, healthy, count / seconds, place)


def measure_steps(run: Run, planned: list[Stage]) -> list[Backlog]:
    """Each step of a constant rate by itself, from when the step before it can no longer be seen in it."""
    wait = SETTLING * _decode(run, run.judged)
    found = []
    for stage in planned:
        if stage.steady and stage.first:
            since = _begin(run) if stage is planned[0] else stage.start  # the warm-up has its rate
            start = _later(stage.start, since + wait, stage.end)
            found.append(measure(run, (start, stage.end), stage.label))
    return [each for each in found if each is not None]


def settled(run: Run) -> tuple[float, float]:
    """The window without the time in which the load fills the server, but at least half of it; seconds."""
    start, end = run.window
    return _later(start, _begin(run) + SETTLING * _decode(run, run.judged), end), end


def measure_end(run: Run) -> End | None:
    """Test whether more are in flight at the window's end than expected and than at any time
    before, over its last tenth and its last fifth: the one that shows more.

    Requests last as those did that completed before it, in as long a time. None: too few arrivals, or none
    that completed before.
    """
    if int(run.judged.sum()) < LEAST:
        return None
    found = [end for part in ENDS for end in _end(run, part)]
    return max(found, key=lambda each: each.share / each.bound, default=None)


def _end(run: Run, part: float) -> Iterator[End]:
    """The last part of the window; nothing where none was due in it, or none had completed before it."""
    start, end = run.window
    seconds = part * (end - start)
    at, last = end - seconds, run.records.numbers("last_token")
    lately = (last >= at - seconds) & (last < at)
    pace = expected_in_flight.pace_of(run, lately if int(lately.sum()) >= ENOUGH else last < at)
    due = int(_due_in(run, at, end).sum())
    if pace is None or not due:
        return
    edges, before = np.linspace(start, end, MOMENTS + 1), -round(part * MOMENTS)
    means, explained = time_series.in_flight(run, edges), expected_in_flight.explained(run, pace, edges)
    rest = means - explained
    chance = BEYOND_CHANCE * math.sqrt(2 * max(float(np.median(means[:before])), 1.0))
    yield End(
        seconds=seconds,
        means=(float(means[before - 1]), float(means[-1])),
        explained=(float(explained[before - 1]), float(explained[-1])),
        growth=float(rest[-1] - rest[:before].max()),
        healthy=max(chance, float(explained[-1] - explained[before - 1])),
        due=due,
    )


def _due_in(run: Run, start: float, end: float) -> Mask:
    """Which of the window's arrivals were due in [start, end) seconds; shape (records,)."""
    due = run.records.numbers("due")
    return run.judged & (due >= start) & (due < end)


def _begin(run: Run) -> float:
    """When the first request was due, seconds; the window's start where none was."""
    due = run.records.numbers("due")
    return float(np.nanmin(due)) if np.isfinite(due).any() else run.window[0]


def _later(start: float, moment: float, end: float) -> float:
    """The moment, but not before `start`, nor after the middle between it and `end`."""
    return min(max(start, moment), (start + end) / 2)


def _decode(run: Run, chosen: Mask) -> float:
    """Median seconds from first to last token of the chosen records, which no queue can lengthen; without
    any, the window."""
    seconds = (run.records.numbers("last_token") - run.records.numbers("first_token"))[chosen]
    seconds = seconds[~np.isnan(seconds)]
    return float(np.median(seconds)) if len(seconds) else run.window_length
