"""Lengths and waits drawn from a distribution: tokens of a prompt or an answer, seconds of thinking.

A lognormal or normal distribution is cut at `min` and `max` (values outside are not drawn at all, so
nothing piles up at the bounds), and its parameters are chosen so that what remains has the stated mean
and standard deviation. Each draw takes exactly one uniform number, so a stream of draws stays in step.
"""

import re
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError, model_validator

from common.strictyaml import Strict

Floats = NDArray[np.float64]

MOST = 1e7  # tokens or seconds (116 days): the largest contexts hold 10 million tokens
GRID = (np.arange(4096) + 0.5) / 4096  # midpoints over which the moments are taken
CLOSE = 2e-3  # of mean and sd; a fit farther off is refused
_FIGURE = r"\d+(?:\.\d+)?"
_SHORT = re.compile(
    rf"(?P<mean>{_FIGURE})(?: *, *(?P<sd>{_FIGURE})(?: *, *(?P<min>{_FIGURE}) *- *(?P<max>{_FIGURE}))?)?"
)

PARAMETERS: dict[str, tuple[set[str], set[str]]] = {  # what each distribution needs, and may have beside
    "lognormal": ({"mean", "sd"}, {"min", "max"}),
    "normal": ({"mean", "sd"}, {"min", "max"}),
    "uniform": ({"min", "max"}, set()),
    "exponential": ({"mean"}, {"max"}),
    "constant": ({"mean"}, set()),
}


class Lengths(Strict):
    """A distribution. A bare number in YAML means a constant.

    lognormal, normal: mean and sd after the cut at min and max (default max: none).
    uniform: between min and max. exponential: mean, counted from 0, drawn again when beyond max.
    constant: mean.
    """

    distribution: Literal["lognormal", "normal", "uniform", "exponential", "constant"]
    mean: float | None = Field(default=None, ge=0, le=MOST)
    sd: float | None = Field(default=None, ge=0, le=MOST)
    min: float | None = Field(default=None, ge=0, le=MOST)
    max: float | None = Field(default=None, ge=0, le=MOST)

    @model_validator(mode="before")
    @classmethod
    def _bare_number(cls, data: Any) -> Any:
        if isinstance(data, int | float) and not isinstance(data, bool):
            return {"distribution": "constant", "mean": data}
        return data

    @model_validator(mode="after")
    def _complete(self) -> "Lengths":
        needs, may = PARAMETERS[self.distribution]
        given = {name for name in ("mean", "sd", "min", "max") if getattr(self, name) is not None}
        if needs - given:
            raise ValueError(f"{self.distribution} needs {' and '.join(sorted(needs - given))}")
        if given - needs - may:
            raise ValueError(
                f"{self.distribution} has no use for {' and '.join(sorted(given - needs - may))}"
            )
        low, high = self.min or 0.0, self.max if self.max is not None else np.inf
        if low > high:
            raise ValueError(f"min {low:g} is above max {high:g}")
        mean = self.mean or 0.0
        if self.distribution != "uniform" and not low <= mean <= high:
            raise ValueError(f"the mean {mean:g} is not between {low:g} and {high:g}")
        if self.distribution == "exponential" and mean >= high / 2:
            raise ValueError(f"cut at {high:g}, an exponential distribution has a mean below {high / 2:g}")
        if self.distribution in ("lognormal", "normal") and self.sd:
            if not mean:
                raise ValueError(f"{self.distribution} needs a mean above 0")
            _fit(self.distribution, mean, self.sd, low, high)
        return self

    @classmethod
    def of_text(cls, text: str) -> "Lengths":
        """The distribution that MEAN (a constant), MEAN,SD or MEAN,SD,MIN-MAX (lognormal) names.

        Raises ValueError, with what is wrong as its text.
        """
        match = _SHORT.fullmatch(text.strip())
        if match is None:
            raise ValueError(
                "must be MEAN, or MEAN,SD, or MEAN,SD,MIN-MAX, in tokens: 550 or 550,200,100-16000"
            )
        given = {name: float(value) for name, value in match.groupdict().items() if value is not None}
        if given["mean"] < 1:
            raise ValueError(f"the mean must be 1 token or more, is {given['mean']:g}")
        try:
            return cls(distribution="lognormal" if "sd" in given else "constant", **given)
        except ValidationError as error:
            raise ValueError(error.errors()[0]["msg"].removeprefix("Value error, ")) from None

    @property
    def text(self) -> str | None:
        """As `of_text` reads it; None for a distribution that has no such short form."""
        if self.distribution == "constant":
            return f"{self.mean:.9g}"
        if self.distribution != "lognormal" or (self.min is None) != (self.max is None):
            return None
        bounds = "" if self.min is None else f",{self.min:.9g}-{self.max:.9g}"
        return f"{self.mean:.9g},{self.sd:.9g}{bounds}"

    @property
    def bounded(self) -> bool:
        """Whether no value exceeds `most`."""
        return self.max is not None or self.distribution == "constant"

    @property
    def middle(self) -> float:
        """The mean."""
        if self.mean is None:
            assert self.min is not None and self.max is not None
            return (self.min + self.max) / 2
        return self.mean

    @property
    def most(self) -> float:
        """The largest value, or four times the mean where there is no bound."""
        if self.max is not None:
            return self.max
        return (self.mean or 0) * (1 if self.distribution == "constant" else 4)

    def draw(self, uniform: Floats) -> Floats:
        """Values for numbers that are uniform in [0, 1): the distribution's quantiles."""
        mean, low = self.mean or 0.0, self.min or 0.0
        if self.distribution == "uniform":
            assert self.max is not None
            return low + uniform * (self.max - low)
        if self.distribution == "exponential":
            return _cut_exponential(uniform, mean, self.max)
        if self.distribution == "constant" or not self.sd:
            return np.full(len(uniform), mean)
        high = self.max if self.max is not None else np.inf
        location, scale = _fit(self.distribution, mean, self.sd, low, high)
        return _quantiles(self.distribution, uniform, location, scale, low, high)

    def tokens(self, uniform: Floats) -> NDArray[np.int64]:
        """Whole numbers of tokens, 1 at least, for numbers that are uniform in [0, 1)."""
        if self.distribution == "uniform":  # each whole number from min to max alike
            low, high = int(self.min or 0), int(self.max or 0)
            drawn = low + np.floor(uniform * (high - low + 1))
        else:
            drawn = np.rint(self.draw(uniform))
        return np.maximum(drawn, 1).astype(np.int64)


def _quantiles(
    family: str, uniform: Floats, location: float, scale: float, low: float, high: float
) -> Floats:
    """Quantiles of a (log)normal distribution that is cut at low and high."""
    from scipy.special import ndtr, ndtri  # 0.3 s to import, which most commands need not

    with np.errstate(divide="ignore"):
        edges = np.array([low, high], dtype=float)
        start, stop = ndtr(((np.log(edges) if family == "lognormal" else edges) - location) / scale)
    values = location + scale * ndtri(np.clip(start + uniform * (stop - start), 1e-300, 1 - 1e-16))
    return np.clip(np.exp(np.minimum(values, 700)) if family == "lognormal" else values, low, high)


@lru_cache(maxsize=256)
def _fit(family: str, mean: float, sd: float, low: float, high: float) -> tuple[float, float]:
    """Location and scale with which the cut distribution has this mean and sd.

    Without bounds that matter these are the textbook ones: for the lognormal s² = ln(1 + sd²/mean²) and
    m = ln(mean) − s²/2. Raises ValueError when no such distribution lies between the bounds.
    """
    from scipy.optimize import least_squares  # likewise

    if family == "lognormal":
        scale = float(np.sqrt(np.log1p((sd / mean) ** 2)))
        location = float(np.log(mean)) - scale**2 / 2
    else:
        location, scale = mean, sd

    def miss(parameters: Floats) -> Floats:
        values = _quantiles(family, GRID, parameters[0], float(np.exp(parameters[1])), low, high)
        return np.array([values.mean() / mean - 1, values.std() / sd - 1])

    found = least_squares(miss, [location, np.log(scale)], x_scale=[scale, 1.0], max_nfev=200)
    if not np.abs(found.fun).max() < CLOSE:
        raise ValueError(
            f"no {family} distribution between {low:g} and {high:g} has mean {mean:g} and sd {sd:g}"
        )
    return float(found.x[0]), float(np.exp(found.x[1]))


def _cut_exponential(uniform: Floats, mean: float, high: float | None) -> Floats:
    if not mean:
        return np.zeros(len(uniform))
    if high is None:
        return -mean * np.log1p(-uniform)
    return -(scale := _exponential_scale(mean, high)) * np.log1p(uniform * np.expm1(-high / scale))


@lru_cache(maxsize=256)
def _exponential_scale(mean: float, high: float) -> float:
    """The scale whose exponential distribution, cut at `high`, has this mean (bisection)."""
    low, top = mean, 1e6 * high
    for _ in range(200):
        middle = (low + top) / 2
        low, top = (middle, top) if middle - high / np.expm1(high / middle) < mean else (low, middle)
    return low
