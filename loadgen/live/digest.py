"""Live percentiles: counts in buckets that are 1 % wide, so that workers' figures can be added up.

The records give exact percentiles after the run; this is for eyes while it runs.
"""

import math

import numpy as np

METRICS = ("ttft", "scheduled_ttft", "tpot", "itl", "latency", "scheduled_latency", "send_lag")
LEAST = 1e-5  # s; everything smaller counts as this
WIDTH = math.log(1.01)
BUCKETS = 2200  # up to LEAST * 1.01 ** BUCKETS: nine hours

Sparse = tuple[list[int], list[int]]  # numbers of buckets, and what is in each


class Digest:
    """Counts of durations (s)."""

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

    def merge(self, sparse: Sparse) -> None:
        """Add what `take` of another digest gave."""
        np.add.at(self._counts, sparse[0], sparse[1])

    def add_all(self, other: "Digest") -> None:
        """Add what another digest holds."""
        self._counts += other._counts

    def take(self) -> Sparse:
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
    return {name: Digest() for name in METRICS}
