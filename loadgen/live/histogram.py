"""Counts in buckets with fixed bounds: what Prometheus and OpenTelemetry take for a distribution.

Unlike a digest's, these buckets are exact at their bounds, and the sum of all values is kept.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence

import numpy as np

Sparse = tuple[list[int], list[int], list[float]]  # numbers of buckets, and their counts and sums


class Histogram:
    """Bucket i counts values up to and including bounds[i]; the last one counts the rest.

    `bounds`: rising.
    """

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(bounds) + 1)
        self.sums = [0.0] * (len(bounds) + 1)

    def add(self, value: float) -> None:
        place = bisect_left(self.bounds, value)
        self.counts[place] += 1
        self.sums[place] += value

    def extend(self, values: np.ndarray) -> None:
        """Add many at once; NaN is passed over."""
        known = values[~np.isnan(values)]
        places = np.searchsorted(self.bounds, known)
        counts = np.bincount(places, minlength=len(self.counts)).tolist()
        sums = np.bincount(places, weights=known, minlength=len(self.sums)).tolist()
        self.merge((list(range(len(self.counts))), counts, sums))

    def merge(self, sparse: Sparse) -> None:
        """Add what `take` of another histogram with the same bounds gave."""
        for place, count, total in zip(*sparse, strict=True):
            self.counts[place] += count
            self.sums[place] += total

    def take(self) -> Sparse:
        """What has been counted since the last take; the counts start again from none."""
        places = [place for place, count in enumerate(self.counts) if count]
        found = places, [self.counts[place] for place in places], [self.sums[place] for place in places]
        self.counts = [0] * len(self.counts)
        self.sums = [0.0] * len(self.sums)
        return found

    def cumulative(self) -> Iterator[tuple[float, int]]:
        """(upper bound, how many values it is not exceeded by), up to infinity."""
        total = 0
        for bound, count in zip((*self.bounds, float("inf")), self.counts, strict=True):
            total += count
            yield bound, total

    @property
    def count(self) -> int:
        return sum(self.counts)

    @property
    def sum(self) -> float:
        return sum(self.sums)
