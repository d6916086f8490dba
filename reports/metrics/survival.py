"""Percentiles of durations of which some are only known to be longer than a bound (right-censored).

Kaplan and Meier, "Nonparametric estimation from incomplete observations", JASA 53 (1958) 457-481: the
product-limit estimate of the share that lasts longer than t. `scipy.stats.ecdf` gives the same (tests
compare them); this one needs no import of scipy.stats, and a sort is all it costs with 10^8 durations.
"""

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reports.metrics.folded import Folded
from reports.statistics.distributions import binomial_below

Floats = NDArray[np.floating[Any]]
Mask = NDArray[np.bool_]

_SLACK = 1e-9  # rounding in the product of shares; one request in 10^8 is more


@dataclass(frozen=True)
class Percentile:
    """`value` in seconds; None when the data cannot give it, and then it is above `lower_bound`."""

    value: float | None
    lower_bound: float | None

    @property
    def censored(self) -> bool:
        return self.value is None and self.lower_bound is not None


@dataclass(frozen=True, eq=False)
class Survival:
    """Durations in seconds, ascending: `known` ones, `censored` ones (lower bounds), and a count of
    those that never end (`never`: the request failed)."""

    known: Floats | Folded
    censored: Floats
    never: int = 0

    @classmethod
    def of(cls, durations: Floats, observed: Mask) -> "Survival":
        """From durations (inf: never) and whether each is known or only a lower bound."""
        known = durations[observed]
        finite = np.isfinite(known)
        return cls(np.sort(known[finite]), np.sort(durations[~observed]), int((~finite).sum()))

    @property
    def count(self) -> int:
        """Everything that counts: known, censored and never."""
        return len(self.known) + len(self.censored) + self.never

    @cached_property
    def _groups(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
        """Stretches of known durations between censored ones: (where each starts, how many are at risk
        there, the share that lasts longer than the stretch). Inside a stretch the product telescopes."""
        censored = self.censored.astype(self.known.dtype)  # of two kinds numpy would copy all that is known
        cuts = self.known.searchsorted(censored, "right")  # at a tie, the known one came first
        starts = np.concatenate([[0], cuts]).astype(np.int64)
        sizes = np.diff(np.append(starts, len(self.known)))
        at_risk = self.count - starts - np.arange(len(starts))
        lasting = np.cumprod(1 - sizes / np.maximum(at_risk, 1))
        return starts, at_risk, lasting

    @property
    def seen(self) -> float:
        """The share that was seen to its end: percentiles beyond it are only bounded."""
        return len(self.known) / self.count if self.count else 0.0

    def percentile(self, share: float) -> Percentile:
        """The smallest t with F(t) >= share (the inverse of the step function, no interpolation).

        Only where at least that share was seen to its end: beyond it, Kaplan-Meier's value would rest on
        the unfinished being like the finished, and under overload they are the slow ones. There the
        percentile is above `lower_bound`: what it would be had all censored ones ended when last seen.
        """
        if not self.count:
            return Percentile(None, None)
        rank = math.ceil(self.count * share - _SLACK * self.count)
        if len(self.known) < rank:
            seen = np.sort(np.concatenate([np.asarray(self.known), self.censored]))
            return Percentile(None, float(seen[min(rank, len(seen)) - 1]) if len(seen) else 0.0)
        starts, at_risk, lasting = self._groups
        group = int(np.argmax(lasting <= 1 - share + _SLACK))
        before = float(lasting[group - 1]) if group else 1.0
        steps = math.ceil(int(at_risk[group]) * (1 - (1 - share) / before) - 1e-6)
        return Percentile(float(self.known[int(starts[group]) + max(steps, 1) - 1]), None)

    def curve(self, points: int = 2000) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(t, F(t)) of the estimate at no more than about `points` of the known durations."""
        starts, at_risk, lasting = self._groups
        at = np.unique(np.linspace(0, max(len(self.known) - 1, 0), points).astype(np.int64))[
            : len(self.known)
        ]
        group = np.searchsorted(starts, at, "right") - 1
        before = np.concatenate([[1.0], lasting])[group]
        left = (at_risk[group] - (at - starts[group] + 1)) / at_risk[group]
        return np.asarray(self.known[at], dtype=np.float64), 1 - before * left

    def upper_bound(self, share: float, confidence: float = 0.99) -> float | None:
        """A duration that the percentile is below, with that confidence; None if the data give none.

        The (t+1)-th largest, t being the most that early stopping allows to lie beyond (`needed`);
        everything censored or failed counts as beyond. Holds for independent requests.
        """
        beyond = allowed_beyond(self.count, share, confidence)
        rank = beyond - len(self.censored) - self.never
        return (
            float(self.known[len(self.known) - 1 - rank])
            if beyond >= 0 and 0 <= rank < len(self.known)
            else None
        )


def needed(share: float, confidence: float, beyond: int) -> int:
    """Requests needed to state a percentile when `beyond` of them lie above the stated value.

    The smallest n with P(Binomial(n, 1 - share) <= beyond) <= 1 - confidence: were the percentile
    higher, so few beyond would be that unlikely. p99 at 99 % confidence: 459 with none beyond, 662 with
    one. This is the early-stopping criterion of the MLPerf Inference Rules (mlcommons/inference_policies,
    inference_rules.adoc, its appendix) and of LoadGen (loadgen/early_stopping.cc).
    """
    low, high = beyond, 2 * beyond + 2
    while binomial_below(beyond, high, 1 - share) > 1 - confidence:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        if binomial_below(beyond, middle, 1 - share) <= 1 - confidence:
            high = middle
        else:
            low = middle
    return high


@lru_cache(maxsize=256)
def allowed_beyond(count: int, share: float, confidence: float) -> int:
    """The largest `beyond` with needed(share, confidence, beyond) <= count; -1 if not even none."""
    low, high = -1, max(1, math.ceil(count * (1 - share)) + 1)  # the mean is never allowed
    while high - low > 1:
        middle = (low + high) // 2
        if binomial_below(middle, count, 1 - share) <= 1 - confidence:
            low = middle
        else:
            high = middle
    return low
