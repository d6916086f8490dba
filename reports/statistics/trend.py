"""Does a series of block means rise? Mann-Kendall's test and Theil-Sen's slope.

Mann, Econometrica 13 (1945) 245-259; Kendall, Rank Correlation Methods (1948); Theil (1950), Sen, JASA 63
(1968) 1379-1389. Both use only the order of the values, so one burst cannot make a trend.
"""

from functools import lru_cache
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

APART = 2.0
SETTLED = 1 / 3


def mann_kendall(values: Floats) -> float:
    """One-sided p-value for a rise: how often a series without order is at least this ordered.

    Exact for independent values; ties count as neither up nor down, which makes it larger.
    """
    score = sum(int(np.sign(later - earlier)) for earlier, later in combinations(values.tolist(), 2))
    pairs = len(values) * (len(values) - 1) // 2
    counts = _inversions(len(values))
    return sum(counts[: (pairs - score) // 2 + 1]) / sum(counts)


def theil_sen(values: Floats) -> float:
    """The median of the slopes of all pairs, per step of the series."""
    slopes = [
        (values[later] - values[earlier]) / (later - earlier)
        for earlier, later in combinations(range(len(values)), 2)
    ]
    return float(np.median(slopes))


def first_are_extreme(values: Floats, first: int) -> bool:
    """Whether the first values are all above, or all below, every other one.

    In a random order each has the probability 1 / C(len(values), first).
    """
    head, rest = values[:first], values[first:]
    return bool(head.min() > rest.max() or head.max() < rest.min())


@lru_cache(maxsize=64)
def _inversions(length: int) -> tuple[int, ...]:
    """How many orders of that many values have 0, 1, 2, … pairs out of order."""
    counts = [1]
    for place in range(2, length + 1):
        counts = [
            sum(counts[max(0, total - place + 1) : total + 1]) for total in range(len(counts) + place - 1)
        ]
    return tuple(counts)


def stands_apart(values: Floats, first: int) -> bool:
    """Whether the first values lie apart from a rest that has settled.

    They are extreme; their median is at least APART times as far from the rest's median as the rest's own
    extreme on that side; and from its first half to its last the rest moves the same way by less than
    SETTLED of that distance. The bounds are chosen by simulation (`rules_measurement.warmup_long_enough`).
    """
    if not first_are_extreme(values, first):
        return False
    head, rest = values[:first], values[first:]
    side = 1.0 if head.min() > rest.max() else -1.0
    middle, half = float(np.median(rest)), len(rest) // 2
    distance = side * (float(np.median(head)) - middle)
    reach = float((side * (rest - middle)).max())
    moves = side * float(np.median(rest[:half]) - np.median(rest[-half:]))
    return distance >= APART * reach and moves < SETTLED * distance
