"""Time series of a run: what came and went in each second, and the mean number in flight."""

from dataclasses import dataclass
from typing import cast

import numpy as np

from loadgen.records.record import LOST, UNFINISHED
from reports.metrics.durations import finished_at
from reports.metrics.gaps import token_flow
from reports.runs.runs import Floats, Run, kept


@dataclass(frozen=True, eq=False)
class PerSecond:
    """Time series: entry i is of the second [i, i + 1) from the run's start, all arrivals."""

    t: Floats
    offered: Floats  # arrivals due
    completed: Floats  # requests whose last token came
    tokens: Floats
    in_flight: Floats  # mean number of requests between due and end


def per_second(run: Run) -> PerSecond:
    """Offered, completed, tokens and requests in flight in each second of the run, all arrivals."""
    seconds = len(token_flow(run).per_second)
    edges = np.arange(seconds + 1, dtype=np.float64)
    ended = finished_at(run)
    return PerSecond(
        edges[:-1],
        np.histogram(run.records.numbers("due"), edges)[0].astype(np.float64),
        np.histogram(ended[~np.isnan(ended)], edges)[0].astype(np.float64),
        token_flow(run).per_second,
        in_flight(run, edges),
    )


def in_flight(run: Run, edges: Floats) -> Floats:
    """Mean number of requests between due and end, in each span between successive edges (seconds).

    An exact integral, no sampling. Lost requests are left out; unfinished ones last to the end.
    """
    return mean_number(*_begun_and_ended(run), edges)


def mean_number(begin: "Events", end: "Events", edges: Floats) -> Floats:
    """Mean number of spans that run between successive edges (seconds), from when each begins and ends."""
    return np.diff(begin.time_since(edges) - end.time_since(edges)) / np.diff(edges)


class Events:
    """When something happened, in any order; never: inf."""

    def __init__(self, at: Floats) -> None:
        self._at = np.sort(at[np.isfinite(at)])
        self._sums = np.concatenate([[0.0], np.cumsum(self._at)])

    def time_since(self, edges: Floats) -> Floats:
        """Sum over all events of the time from the event to each edge, 0 where it comes later."""
        before = np.searchsorted(self._at, edges, "right")
        return cast(Floats, before * edges - self._sums[before])


@kept
def _begun_and_ended(run: Run) -> tuple[Events, Events]:
    here = ~run.records.status_is(LOST)
    end = np.where(run.records.status_is(UNFINISHED), np.inf, run.closed_at)
    return Events(run.records.numbers("due")[here]), Events(end[here])
