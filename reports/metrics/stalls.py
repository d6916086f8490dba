"""Stalls: whole seconds without a token for anyone, in the middle of several answers.

A stalled front end, network or machine shows so, and one stall is enough to move every tail. Of a healthy
server that reads a long prompt, no token comes either, so a second counts only where answers had begun
before it and went on after it.
"""

import numpy as np
from numpy.typing import NDArray

from reports.document.run import Stall
from reports.metrics import catalogue, gaps
from reports.metrics.catalogue import ROW
from reports.runs.runs import Run

SHORTEST = 2  # whole seconds
STREAMING = 2  # answers; one alone may be preempted


def stalls(run: Run) -> list[Stall]:
    """The run's stalls in their order; none where the source does not say when each token came."""
    if catalogue.untold(run, ROW["itl_p99"]):
        return []
    first, last = (run.records.numbers(name) for name in ("first_token", "last_token"))
    here = ~np.isnan(first) & ~np.isnan(last)
    begun, ended = np.sort(first[here]), np.sort(last[here])
    found = []
    for start, end in _empty(gaps.token_flow(run).per_second):
        # no token came within, so whoever had begun by then and had not ended went on after it
        streaming = int(np.searchsorted(begun, start) - np.searchsorted(ended, start))
        if streaming >= STREAMING:
            found.append(Stall(start=start, end=end, streaming=streaming))
    return found


def _empty(tokens: NDArray[np.float64]) -> list[tuple[float, float]]:
    """(start, end) of each stretch of SHORTEST seconds or more without a token."""
    silent = np.concatenate([[0], (tokens <= 0).astype(np.int8), [0]])
    edges = np.flatnonzero(np.diff(silent)).reshape(-1, 2)
    return [(float(start), float(end)) for start, end in edges if end - start >= SHORTEST]
