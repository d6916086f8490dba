"""How many runs of each of two sides show a difference of a given size.

The size of a t test by its own quantiles: difference >= (t of the confidence + t of the power) × standard
error (Guenther, American Statistician 35 (1981) 243-244).
"""

import math

from reports.statistics.distributions import student_quantile

POWER = 0.9  # how often so many runs show the difference
FEWEST, MOST = 2, 1000  # runs of each


def runs_needed(variance: float, difference: float, confidence: float, power: float = POWER) -> int | None:
    """Runs of each side, FEWEST or more; None where even MOST would not do.

    `variance`: of one run's figure, the same on both sides; `difference` in the same unit, not squared.
    """

    def enough(count: int) -> bool:
        freedom = 2 * count - 2
        quantiles = student_quantile(freedom, (1 + confidence) / 2) + student_quantile(freedom, power)
        return abs(difference) >= quantiles * math.sqrt(2 * variance / count)

    low, high = FEWEST, MOST
    if not enough(high):
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle + 1, high)
    return low
