"""Quantiles and tails of the normal, Student's and the binomial distribution.

`scipy.special` gives the same (tests compare them) and takes 0.3 s to import, which is most of what a small
report would cost.
"""

import math
from functools import lru_cache
from statistics import NormalDist

_NORMAL = NormalDist()
_CONVERGED = 1e-14
_MOST_STEPS = 100_000  # 10^8 requests take some 10,000
_LEAST = 1e-300  # instead of a division by zero


def normal_below(value: float) -> float:
    """P(X <= value) of the standard normal."""
    return 0.5 * math.erfc(-value / math.sqrt(2))


def normal_quantile(share: float) -> float:
    """The value below which that share lies, 0 < share < 1."""
    return _NORMAL.inv_cdf(share)


def binomial_below(at_most: int, count: int, share: float) -> float:
    """P(Binomial(count, share) <= at_most)."""
    return 1.0 if at_most >= count else _beta(count - at_most, at_most + 1, 1 - share)


@lru_cache(maxsize=256)
def student_quantile(freedom: float, share: float) -> float:
    """Student's t at that share, 0.5 <= share < 1; by bisection to the last digit."""
    low, high = 0.0, 1.0
    while _student_above(high, freedom) > 1 - share:
        low, high = high, 2 * high
    while low < (middle := (low + high) / 2) < high:
        low, high = (middle, high) if _student_above(middle, freedom) > 1 - share else (low, middle)
    return high


def _student_above(value: float, freedom: float) -> float:
    if value < 1:  # the other side of the beta function would lose a small value's square
        return 0.5 - 0.5 * _beta(0.5, freedom / 2, value * value / (freedom + value * value))
    return 0.5 * _beta(freedom / 2, 0.5, freedom / (freedom + value * value))


def _beta(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function I_x(a, b): its continued fraction (DLMF 8.17.22) by Lentz's
    method, on the side where it converges fast."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1 - _beta(b, a, 1 - x)
    factor = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    )
    above, below = 1.0, 1 / (1 - (a + b) * x / (a + 1))
    product = below
    for step in range(1, _MOST_STEPS):
        for term in (
            step * (b - step) * x / ((a + 2 * step - 1) * (a + 2 * step)),
            -(a + step) * (a + b + step) * x / ((a + 2 * step) * (a + 2 * step + 1)),
        ):
            below = 1 / (1 + term * below or _LEAST)
            above = 1 + term / above or _LEAST
            product *= below * above
        if abs(below * above - 1) < _CONVERGED:
            break
    return factor * product / a
