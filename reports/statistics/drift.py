"""A slow drift over runs that take turns, told from the difference of their two sides.

Least squares of figure = level + difference × side + slope × place in the order (analysis of covariance:
Fisher, Statistical Methods for Research Workers (1932), section 49.1).
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reports.statistics.distributions import student_quantile
from reports.statistics.intervals import Interval

Floats = NDArray[np.float64]

LEAST_FREEDOM = 2  # runs beyond the three numbers that are fitted
MOST_INFLATION = 4.0  # of the difference's variance: beyond it the runs hardly take turns
SHOWN = 0.95  # confidence from which a slope counts as a drift


@dataclass(frozen=True)
class Drift:
    """The fit. `slope`: per place in the order. `inflation`: of the difference's variance, by the order."""

    difference: float
    error: float  # standard error of the difference
    slope: float
    slope_error: float
    freedom: int
    inflation: float

    @property
    def shown(self) -> bool:
        """Whether the slope is more than chance."""
        return abs(self.slope) > student_quantile(self.freedom, (1 + SHOWN) / 2) * self.slope_error

    @property
    def separable(self) -> bool:
        """Whether the runs take turns, so that the drift is not the difference."""
        return self.inflation <= MOST_INFLATION

    def interval(self, confidence: float) -> Interval:
        """Of the difference without the drift."""
        reach = student_quantile(self.freedom, (1 + confidence) / 2) * self.error
        return Interval(self.difference - reach, self.difference + reach)


def drift(values: Floats, other: NDArray[np.bool_]) -> Drift | None:
    """The fit of figures in the order of their runs; `other`: which of them are of the second side.

    None where the runs are too few, or of one side only.
    """
    count = len(values)
    if count - 3 < LEAST_FREEDOM or other.all() or not other.any():
        return None
    side, place = other - other.mean(), np.arange(count) - (count - 1) / 2
    own = side - place * (side @ place) / (place @ place)  # what of the side the order does not tell
    if own @ own < 1e-9:
        return None
    difference = float(own @ values / (own @ own))
    level = values - values.mean() - difference * side
    slope = float(place @ level / (place @ place))
    rest = level - slope * place
    freedom = count - 3
    variance = float(rest @ rest) / freedom
    inflation = float((side @ side) / (own @ own))
    return Drift(
        difference,
        math.sqrt(variance / float(own @ own)),
        slope,
        math.sqrt(variance * inflation / float(place @ place)),
        freedom,
        inflation,
    )
