"""Numbers of given ranks in a stream that is read more than once, without holding it.

A sample says between which two numbers each lies; what lies between is held, what lies below is counted
(Floyd and Rivest, "Expected time bounds for selection", CACM 18 (1975) 165-172). They are exact.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from reports.runs.runs import Floats

SAMPLE = 50_000  # numbers: of ten million some 200,000 are then held for a median
REACH = 5.0  # standard deviations of a rank in the sample

Parts = Callable[[], Iterator[Floats]]


def values_at(ranks: Sequence[int], count: int, parts: Parts) -> list[float]:
    """The numbers of these ranks (from 0) among the `count` of all parts, none of them NaN."""
    sample = _sample(parts, -(-count // SAMPLE))
    brackets = [_Bracket(*_around(sample, (rank + 0.5) / count)) for rank in ranks]
    for each in parts():
        ordered = np.sort(each)
        for bracket in brackets:
            bracket.add(ordered)
    found = [bracket.at(rank) for bracket, rank in zip(brackets, ranks, strict=True)]
    if None in found:  # the sample was not like the whole
        whole = np.sort(np.concatenate(list(parts())))
        return [float(whole[rank]) for rank in ranks]
    return [value for value in found if value is not None]


def _sample(parts: Parts, every: int) -> Floats:
    """Every so many-th number, ascending."""
    taken, passed = [], 0
    for each in parts():
        taken.append(each[-passed % every :: every].copy())
        passed += len(each)
    return np.sort(np.concatenate(taken))


def _around(sample: Floats, share: float) -> tuple[float, float]:
    """Between which two numbers that percentile of the whole lies, nearly surely."""
    middle, reach = share * len(sample), 2 + REACH * math.sqrt(len(sample) * share * (1 - share))
    low, high = math.floor(middle - reach), math.ceil(middle + reach)
    return (
        float(sample[low]) if low >= 0 else -math.inf,
        float(sample[high]) if high < len(sample) else math.inf,
    )


@dataclass
class _Bracket:
    """What lies between two numbers, and how many are less, or one of the two."""

    low: float
    high: float
    below: int = 0
    lowest: int = 0
    highest: int = 0
    between: list[Floats] = field(default_factory=list)

    def add(self, ordered: Floats) -> None:
        edges = (self.low, self.high)
        (start, end), (after, beyond) = (ordered.searchsorted(edges, side) for side in ("left", "right"))
        self.below += int(start)
        self.lowest += int(after - start)
        self.highest += int(beyond - end)
        self.between.append(ordered[after:end].copy())

    def at(self, rank: int) -> float | None:
        """The number of that rank; None where it does not lie in here."""
        place = rank - self.below
        if place < self.lowest:
            return self.low if place >= 0 else None
        inside, place = np.sort(np.concatenate(self.between)), place - self.lowest
        if place < len(inside):
            return float(inside[place])
        return self.high if place < len(inside) + self.highest else None
