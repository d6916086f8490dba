"""Runs that went at once on one machine (`compare --side-by-side`): who beside whom, and how far apart.

What the machine does meanwhile meets both, so it cancels in their difference. What one start of a server
leaves open does not.
"""

from collections.abc import Sequence

import numpy as np

from reports.runs.conditions import SAME_MOMENT, same_schedule
from reports.runs.runs import Run

OFTEN = 0.99  # of the arrivals left for both within the time that is told


def in_pairs(baseline: Sequence[Run], other: Sequence[Run]) -> bool:
    """Whether each run of one went beside the one of the other at its place, under the same arrivals."""
    return len(baseline) == len(other) and all(
        _beside(one, two) and _beside(two, one) and same_schedule(one, two)
        for one, two in zip(baseline, other, strict=True)
    )


def text(baseline: Sequence[Run], other: Sequence[Run]) -> str:
    """For the report's words on its method; '' where they did not all go in pairs."""
    if not in_pairs(baseline, other):
        return ""
    pairs = list(zip(baseline, other, strict=True))
    began = max(abs(_zero(one) - _zero(two)) for one, two in pairs)
    apart = np.concatenate([_sent_apart(one, two) for one, two in pairs])
    told = f"Both ran at once on this machine and began {1000 * began:.1f} ms apart"
    if not len(apart):
        return f"{told}."
    left = 1000 * float(np.quantile(apart, OFTEN))
    return f"{told}; the same arrival left for each within {left:.1f} ms ({100 * OFTEN:.0f} % of them)."


def _beside(one: Run, other: Run) -> bool:
    found = one.manifest.beside
    return found is not None and found.run == other.manifest.run


def _zero(run: Run) -> float:
    assert run.manifest.beside is not None
    return run.manifest.beside.zero


def _sent_apart(one: Run, other: Run) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Seconds between the two sends of each arrival that was due for both at one moment of their schedule."""
    number, due, sent = (
        [run.records.numbers(name) for run in (one, other)] for name in ("arrival", "due", "sent")
    )
    _, first, second = np.intersect1d(number[0], number[1], return_indices=True)
    same = np.abs(due[0][first] - due[1][second]) <= SAME_MOMENT
    apart = _zero(one) + sent[0][first][same] - _zero(other) - sent[1][second][same]
    return np.abs(apart[~np.isnan(apart)])
