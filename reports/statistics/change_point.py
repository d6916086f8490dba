"""Where the level of a series changes: the likelihood ratio of one change in the mean, over all places.

Worsley, JASA 74 (1979) 365-367. The errors are taken as normal and independent, of a spread that is not
known: then the statistic's distribution depends on the length alone, and is found by simulation.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

DRAWS = 20_000  # so that a level of 0.5 % rests on a hundred of them


@dataclass(frozen=True)
class Change:
    """The level of values[before:start] is another than that of values[start:]."""

    before: int
    start: int
    chance: float  # how often a series without a change would show one as clear


def last_change(values: Floats, level: float) -> Change | None:
    """The newest change that chance shows in at most `level` of all series, or None.

    What came before a change is set aside, and the rest is looked at again. Less than 4 values show none.
    """
    before = start = 0
    chance = 1.0
    while (found := _change(values[start:], level)) is not None:
        before, start, chance = start, start + found[0], found[1]
    return Change(before, start, chance) if start else None


def _change(values: Floats, level: float) -> tuple[int, float] | None:
    """(place, chance) of the clearest change."""
    if len(values) < 4:
        return None
    shares = _explained(values[None, :])[0]
    place = int(shares.argmax())
    chance = (1 + float((_null(len(values)) >= shares[place]).sum())) / (1 + DRAWS)
    return (place + 1, chance) if chance <= level and shares[place] > 0 else None


def _explained(rows: Floats) -> Floats:
    """The share of each row's variation that a change after 1, 2, … values explains; no variation: 0."""
    count = rows.shape[1]
    around = rows - rows.mean(axis=1, keepdims=True)
    total = (around**2).sum(axis=1, keepdims=True)
    left = np.arange(1, count)
    between = np.cumsum(around, axis=1)[:, :-1] ** 2 * count / (left * (count - left))
    return np.divide(between, total, out=np.zeros_like(between), where=total > 0)


@lru_cache(maxsize=8)
def _null(count: int) -> Floats:
    """The largest share in each of DRAWS series without a change."""
    drawn: Floats = _explained(np.random.default_rng(0).standard_normal((DRAWS, count))).max(axis=1)
    return drawn
