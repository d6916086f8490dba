"""Requests in flight beyond those expected from the arrivals: what waits, or is answered ever more slowly.

A load that has just begun, a ramp and a burst have more in flight late than early without any queue. That
follows from when requests come and how long they last (Little, Operations Research 9 (1961) 383-387, of the
means); only what is in flight beyond it says that the server fell behind.
"""

from dataclasses import dataclass

import numpy as np

from loadgen.records.record import COMPLETED, FAILED, LOST
from reports.metrics import time_series
from reports.metrics.gaps import first_chunk
from reports.metrics.time_series import Events
from reports.runs.runs import Floats, Mask, Run, kept

PARTS = 10  # of the run's requests, in the order in which they were due


@dataclass(frozen=True)
class Pace:
    """How long requests last: seconds from due to the first token, and per token after it."""

    ttft: float
    tpot: float


def pace_of(run: Run, chosen: Mask) -> Pace | None:
    """TPOT is the median of the chosen records (shape (records,)) that completed; None where none did.

    TTFT is the lowest median of any tenth of the run's requests: where a queue stands already, what they wait
    in it is not what they need.
    """
    numbers = run.records.numbers
    done = chosen & run.records.status_is(COMPLETED) & ~np.isnan(numbers("first_token"))
    if not done.any():
        return None
    steps = numbers("output_tokens") - first_chunk(run)
    several = done & (steps > 0)
    gaps = (numbers("last_token") - numbers("first_token"))[several] / steps[several]
    return Pace(_lowest_ttft(run), float(np.median(gaps)) if len(gaps) else 0.0)


@kept
def _lowest_ttft(run: Run) -> float:
    """Seconds from due, of those that got a first token, one or more."""
    due, first = run.records.numbers("due"), run.records.numbers("first_token")
    seen = np.flatnonzero(~np.isnan(first))
    parts = np.array_split(seen[np.argsort(due[seen])], min(PARTS, len(seen)))
    return min(float(np.median((first - due)[part])) for part in parts)


def explained(run: Run, pace: Pace, edges: Floats) -> Floats:
    """Mean number in flight between successive edges (seconds) if every request lasted at this pace.

    One that failed lasts no longer than it did: whoever is refused at once stands in no queue.
    """
    numbers = run.records.numbers
    tokens = np.where(run.records.status_is(COMPLETED), numbers("output_tokens"), numbers("output_asked"))
    after = np.maximum(np.nan_to_num(tokens, nan=1.0) - first_chunk(run), 0)
    end = numbers("due") + pace.ttft + pace.tpot * after
    end = np.where(run.records.status_is(FAILED), np.fmin(end, run.closed_at), end)
    here = ~run.records.status_is(LOST)
    return time_series.mean_number(Events(numbers("due")[here]), Events(end[here]), edges)
