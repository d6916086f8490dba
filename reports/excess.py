"""Requests in flight beyond those that the arrivals explain: what waits, or is answered ever more slowly.

A load that has just begun, a ramp and a burst have more in flight late than early without any queue. That
follows from when requests come and how long they last (Little, Operations Research 9 (1961) 383-387, of the
means); only what is in flight beyond it says that the server fell behind.
"""

from dataclasses import dataclass

import numpy as np

from loadgen.record import COMPLETED, FAILED, LOST
from reports import metrics
from reports.runs import Floats, Mask, Run


@dataclass(frozen=True)
class Pace:
    """How long requests last: seconds from due to the first token, and per token after it."""

    ttft: float
    tpot: float


def pace_of(run: Run, chosen: Mask) -> Pace | None:
    """Medians over those of the chosen records (shape (records,)) that completed; None where none did."""
    numbers = run.records.numbers
    done = chosen & run.records.status_is(COMPLETED) & ~np.isnan(numbers("first_token"))
    if not done.any():
        return None
    steps = numbers("output_tokens") - 1
    several = done & (steps >= 1)
    gaps = (numbers("last_token") - numbers("first_token"))[several] / steps[several]
    ttft = float(np.median((numbers("first_token") - numbers("due"))[done]))
    return Pace(ttft, float(np.median(gaps)) if len(gaps) else 0.0)


def explained(run: Run, pace: Pace, edges: Floats) -> Floats:
    """Mean number in flight between successive edges (seconds) if every request lasted at this pace.

    One that failed lasts no longer than it did: whoever is refused at once stands in no queue.
    """
    numbers = run.records.numbers
    tokens = np.where(run.records.status_is(COMPLETED), numbers("output_tokens"), numbers("output_asked"))
    end = numbers("due") + pace.ttft + pace.tpot * np.maximum(np.nan_to_num(tokens, nan=1.0) - 1, 0)
    end = np.where(run.records.status_is(FAILED), np.fmin(end, run.closed_at), end)
    here = ~run.records.status_is(LOST)
    return metrics.mean_number(numbers("due")[here], end[here], edges)
