"""Time series of a run: what came and went in each second, and the mean number in flight."""

from dataclasses import dataclass
from typing import cast

import numpy as np

from loadgen.records.record import LOST, UNFINISHED
from reports.metrics.durations import finished_at
from reports.metrics.gaps import token_flow
from reports.runs.runs import Floats, Run


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
    here = ~run.records.status_is(LOST)
    end = np.where(run.records.status_is(UNFINISHED), np.inf, run.closed_at)
    return mean_number(run.records.numbers("due")[here], end[here], edges)


def mean_number(begin: Floats, end: Floats, edges: Floats) -> Floats:
    """Mean number of spans (begin to end, seconds; inf: for ever) that run between successive edges."""
    area = _time_since(np.sort(begin), edges) - _time_since(np.sort(end[np.isfinite(end)]), edges)
    return np.diff(area) / np.diff(edges)


def _time_since(events: Floats, edges: Floats) -> Floats:
    """Sum over all sorted events of the time from the event to each edge, 0 where it comes later."""
    sums = np.concatenate([[0.0], np.cumsum(events)])
    before = np.searchsorted(events, edges, "right")
    return cast(Floats, before * edges - sums[before])
