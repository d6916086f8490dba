"""Distributions as counts in buckets, which add up: for eyes, for Prometheus, for OpenTelemetry."""

import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence

import numpy as np

from loadgen.records.metrics import live

Sparse = tuple[list[int], list[int], list[float]]  # numbers of buckets, and their counts and sums
LEAST = 1e-5  # s; everything smaller counts as this
WIDTH = math.log(1.01)
BUCKETS = 2200  # up to LEAST * 1.01 ** BUCKETS: nine hours

Counts = tuple[list[int], list[int]]  # numbers of buckets, and what is in each


class Histogram:
    """What Prometheus and OpenTelemetry take for a distribution: exact at its bounds, and the sum is kept.

    Bucket i counts values up to and including bounds[i]; the last one counts the rest.

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


class Digest:
    """Durations (s) in buckets that are 1 % wide: for live percentiles of any of them.

    Workers' can be added up. The records give exact percentiles after the run.
    """

    def __init__(self) -> None:
        self._counts = np.zeros(BUCKETS, dtype=np.int64)

    def add(self, seconds: float) -> None:
        place = int(math.log(seconds / LEAST) / WIDTH) if seconds > LEAST else 0
        self._counts[min(place, BUCKETS - 1)] += 1

    def extend(self, seconds: np.ndarray) -> None:
        """Add many at once; NaN is passed over."""
        known = seconds[~np.isnan(seconds)]
        places = np.log(np.maximum(known, LEAST) / LEAST) / WIDTH
        np.add.at(self._counts, np.minimum(places.astype(np.int64), BUCKETS - 1), 1)

    def merge(self, sparse: Counts) -> None:
        """Add what `take` of another digest gave."""
        np.add.at(self._counts, sparse[0], sparse[1])

    def add_all(self, other: "Digest") -> None:
        """Add what another digest holds."""
        self._counts += other._counts

    def take(self) -> Counts:
        """What has been counted since the last take; the counts start again from none."""
        places = np.flatnonzero(self._counts)
        found = places.tolist(), self._counts[places].tolist()
        self._counts[:] = 0
        return found

    @property
    def count(self) -> int:
        return int(self._counts.sum())

    def percentile(self, share: float) -> float | None:
        """The value that `share` of the counted ones do not exceed, to 1 %; None when there are none."""
        total = self.count
        if not total:
            return None
        place = int(np.searchsorted(np.cumsum(self._counts), max(1, math.ceil(share * total))))
        return LEAST * math.exp((place + 0.5) * WIDTH)


def empty_digests() -> dict[str, Digest]:
    """An empty digest for each metric."""
    return {name: Digest() for name in live()}
