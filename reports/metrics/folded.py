"""Durations of a run too many to keep each: counted by size; no statistics of them."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

EXACTLY = 1_000_000  # durations that are kept one by one: 4 MB
_DROPPED = 8  # of the 23 bits of a float32's fraction, so that sizes lie 3 parts in 100,000 apart
_SIZES = 1 << (31 - _DROPPED)  # their numbers are zeros that take no memory until there is such a duration


@dataclass(frozen=True, eq=False)
class Folded:
    """Read as an ascending array of durations (s) is, each to 2 parts in 100,000."""

    values: NDArray[np.float32]
    ends: NDArray[np.int64]  # how many there are up to each value, itself included

    def __len__(self) -> int:
        return int(self.ends[-1])

    def __getitem__(self, ranks: Any) -> Any:
        """Those of these ranks: a number from 0, or an array of them."""
        return self.values[self.ends.searchsorted(ranks, "right")]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """All of them: as much memory as was saved."""
        return np.repeat(self.values, np.diff(self.ends, prepend=0)).astype(dtype or self.dtype)

    @property
    def dtype(self) -> np.dtype[np.float32]:
        return self.values.dtype

    def searchsorted(self, values: ArrayLike, side: Literal["left", "right"]) -> NDArray[np.int64]:
        """How many lie before each value."""
        return np.insert(self.ends, 0, 0)[self.values.searchsorted(values, side)]

    def mean(self) -> float:
        """Seconds."""
        return float(np.average(self.values, weights=np.diff(self.ends, prepend=0)))


class Gathered:
    """Durations as they come, at most `limit` of them."""

    def __init__(self, limit: int) -> None:
        self._exact = limit <= EXACTLY
        self._filled = 0
        self._each = np.empty(limit if self._exact else 0, np.float32)
        self._counts = np.zeros(0 if self._exact else _SIZES, np.uint32)

    def add(self, seconds: NDArray[np.floating[Any]]) -> None:
        """Some more. What is negative by rounding is 0 where there are many."""
        if self._exact:
            self._each[self._filled : self._filled + len(seconds)] = seconds
        else:
            bits = np.maximum(seconds, 0).astype(np.float32).view(np.uint32)
            np.add.at(self._counts, bits >> _DROPPED, np.uint32(1))
        self._filled += len(seconds)

    def ascending(self) -> "NDArray[np.float32] | Folded":
        """All of them."""
        if not self._filled or self._exact:
            known = self._each[: self._filled]
            known.sort()
            return known
        sizes = np.flatnonzero(self._counts).astype(np.uint32)
        values = ((sizes << _DROPPED) + (1 << (_DROPPED - 1))).view(np.float32)
        values[sizes == 0] = 0.0
        return Folded(values, np.cumsum(self._counts[sizes], dtype=np.int64))
