"""Intervals for the change between two runs, or between repeats. Pure functions of arrays and a seed.

Requests that run together share the server, so they are not independent: what is resampled is blocks of
time (Kuensch 1989, Annals of Statistics 17(3); circular version: Politis and Romano 1992; of runs that
change as they go on the local version: Paparoditis and Politis 2002, Comptes Rendus 335(11)), the same
blocks for both runs. With repeats the runs themselves are the sample (Welch 1947, Biometrika 34).
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from reports.statistics.distributions import normal_below, normal_quantile, student_quantile

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

CONFIDENCE = 0.95
RESAMPLES = 2000
CELLS_PER_BLOCK = 4  # blocks start at multiples of a quarter of their length
FEWEST_BLOCKS = 6  # fewer say nothing about how blocks differ
NEAR = 1.5  # a local block comes from at most so many lengths before or after its place
_GRID = 2048  # values that a resampled percentile can take; exact up to that many observations


@dataclass(frozen=True)
class Sample:
    """Observations of one run: when (seconds into the window), how much, whether it was more than that."""

    at: Floats
    value: Floats
    censored: Bools

    def __len__(self) -> int:
        return len(self.value)

    @cached_property
    def order(self) -> NDArray[np.int64]:
        """From the least value to the largest, events before censorings at the same moment."""
        return np.lexsort((self.censored, self.value)) if self.censored.any() else np.argsort(self.value)


@dataclass(frozen=True)
class Blocks:
    """Resamples of time. `weights[b, c]` says how often resample b holds cell c of the window.

    `together`: so many blocks as one stretch of a queue that came and went takes. `wander`: so many as
    anything else hangs together for, where that is longer than a block can be.
    """

    window: float  # seconds
    length: float  # seconds of one block
    count: int  # whole blocks in the window
    weights: Floats
    together: float = 1.0
    wander: float = 1.0

    def cells(self, at: Floats) -> NDArray[np.int64]:
        """The cell of each moment; moments outside the window go to its first or last cell."""
        cells = self.weights.shape[1]
        return np.clip((at / self.window * cells).astype(np.int64), 0, cells - 1)


@dataclass(frozen=True)
class Interval:
    """Bounds at the asked confidence; an infinite bound means that the data give none on that side."""

    low: float
    high: float

    def excludes(self, value: float) -> bool:
        return value < self.low or value > self.high

    def reaching(self, middle: float, least: float) -> "Interval":
        """This one, widened where it reaches less than `least` from the middle."""
        return Interval(min(self.low, middle - least), max(self.high, middle + least))

    def with_margin(self, middle: float, below: float, above: float) -> "Interval":
        """This one, with the reach of another source of chance, which does not depend on this one.

        The reaches are added as squares (Zou and Donner, Statistics in Medicine 27 (2008) 1693-1702).
        """
        down, up = max(middle - self.low, 0.0), max(self.high - middle, 0.0)
        return Interval(middle - math.hypot(down, below), middle + math.hypot(up, above))

    def scaled(self, middle: float, by: float) -> "Interval":
        """This one, reaching so many times as far from the middle."""
        return Interval(middle - by * (middle - self.low), middle + by * (self.high - middle))


def change(baseline: float, other: float) -> float:
    """The change of a figure against the baseline: other / baseline - 1."""
    return other / baseline - 1


def block_length(series: Floats) -> float:
    """The block length, in steps of the series, with the least error for the variance of its mean.

    Politis and White 2004 (Econometric Reviews 23(1)), corrected by Patton, Politis and White 2009
    (28(4)), circular block bootstrap: the autocovariances up to where they stop being significant.
    A series without variance needs blocks of one step.
    """
    count = len(series)
    if count < 8 or np.ptp(series) == 0:
        return 1.0
    centred = series - series.mean()
    longest = min(math.ceil(math.sqrt(count)) + max(5, math.ceil(math.log10(count))), count - 1)
    cov = np.array([centred[: count - lag] @ centred[lag:] for lag in range(longest + 1)]) / count
    near_zero = 2 * math.sqrt(math.log10(count) / count)
    quiet_needed = max(5, math.ceil(math.log10(count)))
    last = _last_significant(np.abs(cov[1:] / cov[0]) < near_zero, quiet_needed)
    reach = min(2 * max(last, 1), longest)
    lags = np.arange(-reach, reach + 1)
    window = np.clip(2 * (1 - np.abs(lags) / reach), 0, 1)  # flat top
    spread = cov[np.abs(lags)]
    long_run, slope = float(window @ spread), float(window @ (np.abs(lags) * spread))
    if long_run <= 0:
        return 1.0
    length = (2 * slope**2 / (4 / 3 * long_run**2)) ** (1 / 3) * count ** (1 / 3)
    return float(min(max(length, 1.0), math.ceil(min(3 * math.sqrt(count), count / 3))))


def _last_significant(quiet: Bools, needed: int) -> int:
    """The lag after which `needed` lags in a row are quiet; else the last lag that is not."""
    for lag in range(len(quiet) - needed + 1):
        if quiet[lag : lag + needed].all():
            return lag
    loud = np.flatnonzero(~quiet)
    return int(loud[-1]) + 1 if len(loud) else 0


def draw_blocks(
    window: float, length: float, seed: int, resamples: int = RESAMPLES, local: bool = False
) -> Blocks:
    """Circular blocks of `length` seconds, drawn until they fill a window of `window` seconds.

    The length is cut so that at least FEWEST_BLOCKS fit. `local`: each block comes from near its place
    (NEAR), so that what changes in the course of every such run, a growing queue, is not taken for chance.
    """
    count = max(FEWEST_BLOCKS, int(window / length))
    cells = count * CELLS_PER_BLOCK
    rng = np.random.default_rng(seed)
    starts = _near(rng, count, resamples) if local else rng.integers(0, cells, (resamples, count))
    drawn = (starts[:, :, None] + np.arange(CELLS_PER_BLOCK)) % cells
    flat = (drawn + np.arange(resamples)[:, None, None] * cells).ravel()
    weights = np.bincount(flat, minlength=resamples * cells).reshape(resamples, cells)
    return Blocks(window, window / count, count, weights.astype(np.float64))


def _near(rng: np.random.Generator, count: int, resamples: int) -> NDArray[np.int64]:
    """First cells of local blocks, reflected at the window's ends."""
    reach, last = int(NEAR * CELLS_PER_BLOCK), (count - 1) * CELLS_PER_BLOCK
    places = np.arange(count) * CELLS_PER_BLOCK
    starts = np.abs(places + rng.integers(-reach, reach + 1, (resamples, count)))
    return np.where(starts > last, 2 * last - starts, starts)


def sum_draws(blocks: Blocks, at: Floats, amount: Floats) -> Floats:
    """The sum of the amounts in each resample."""
    cells = np.bincount(blocks.cells(at), weights=amount, minlength=blocks.weights.shape[1])
    return blocks.weights @ cells


def quantile_draws(blocks: Blocks, sample: Sample, share: float) -> Floats:
    """The quantile in each resample, by Kaplan and Meier; infinite where the resample never reaches it."""
    if not len(sample):
        return np.full(len(blocks.weights), np.nan)
    order = sample.order
    values, censored = sample.value[order], sample.censored[order]
    cells, groups = blocks.cells(sample.at[order]), _groups(len(values))
    upper = values[np.append(np.flatnonzero(np.diff(groups)), len(values) - 1)]
    shape = len(upper), blocks.weights.shape[1]
    counts = np.bincount(groups * shape[1] + cells, minlength=shape[0] * shape[1]).reshape(shape)
    if not censored.any():
        return _plain_quantiles(blocks.weights, counts, upper, share)
    events = np.bincount(groups[~censored] * shape[1] + cells[~censored], minlength=shape[0] * shape[1])
    return _censored_quantiles(blocks.weights, counts, events.reshape(shape), upper, share)


def _groups(count: int) -> NDArray[np.int64]:
    """A number for each of `count` sorted values: itself, or one of _GRID ranks, finer towards the top."""
    if count <= _GRID:
        return np.arange(count)
    ranks = np.unique(
        np.concatenate(
            [np.linspace(0, count, _GRID // 2 + 1), count - np.geomspace(1, count / 8, _GRID // 2)]
        )
    ).astype(np.int64)
    edges = np.unique(np.clip(ranks, 0, count))[1:-1]
    return np.searchsorted(edges, np.arange(count), "right")


def _plain_quantiles(weights: Floats, counts: NDArray[np.int64], upper: Floats, share: float) -> Floats:
    """Without censoring: where the weighted count passes the share; a binary search for each resample."""
    below = counts.cumsum(axis=0).astype(np.float64)
    wanted = share * (weights @ below[-1])
    low, high = np.zeros(len(weights), np.int64), np.full(len(weights), len(upper) - 1)
    while (low < high).any():
        middle = (low + high) // 2
        reached = np.einsum("bc,bc->b", weights, below[middle]) >= wanted - 1e-9
        high, low = np.where(reached, middle, high), np.where(reached, low, middle + 1)
    return upper[low]


def _censored_quantiles(
    weights: Floats, counts: NDArray[np.int64], events: NDArray[np.int64], upper: Floats, share: float
) -> Floats:
    """Kaplan-Meier on weighted counts: S(t) = product of (1 - events / at risk).

    As `survival.Survival.percentile`: infinite where less than that share was seen to its end.
    """
    found = np.empty(len(weights))
    for begin in range(0, len(weights), 250):  # bounded memory
        part = weights[begin : begin + 250]
        every, dead = part @ counts.T, part @ events.T
        at_risk = every.sum(axis=1, keepdims=True) - every.cumsum(axis=1) + every
        factor = 1 - np.divide(dead, at_risk, out=np.zeros_like(dead), where=at_risk > 0)
        reached = np.cumprod(factor, axis=1) <= 1 - share + 1e-9
        enough = dead[:, np.isfinite(upper)].sum(axis=1) >= share * every.sum(axis=1) - 1e-9
        found[begin : begin + 250] = np.where(enough, upper[reached.argmax(axis=1)], np.inf)
    return found


def expanded_interval(
    draws: Floats, looks: float, reach: float = 1.0, confidence: float = CONFIDENCE
) -> Interval | None:
    """The percentile interval of resampled figures, widened for the small number of independent looks.

    Hesterberg 2015 (The American Statistician 69(4), section 5.3): the tails' share alpha/2 becomes
    Phi(-sqrt(n / (n - 1)) t_{1 - alpha/2, n - 1}), with n = `looks`, 2 at least: blocks that do not hang
    together. Where they do, draws of single ones scatter too little: `reach` is how many times as far from
    their median the interval goes. None when resamples are undefined (0/0, both beyond the data) more often
    than the tails allow.
    """
    tail, count = (1 - confidence) / 2, max(looks, 2.0)
    wide = normal_below(-math.sqrt(count / (count - 1)) * student_quantile(count - 1, 1 - tail))
    defined = np.sort(draws[~np.isnan(draws)])
    if len(draws) - len(defined) > wide * len(draws):
        return None
    index = int(wide * (len(defined) - 1))
    found = Interval(float(defined[index]), float(defined[len(defined) - 1 - index]))
    return found if reach == 1 else found.scaled(float(np.median(defined)), reach)


def clustering(blocks: Blocks, at: Floats) -> float:
    """How many blocks are as one, since these moments (seconds) came together: 1 where they come evenly or
    are fewer than two, up to the number of blocks where all are in one.

    The number of blocks times the chance that two of the moments share one (Simpson, Nature 163 (1949) 688).
    """
    count = len(at)
    if count < 2:
        return 1.0
    inside = np.bincount(blocks.cells(at) // CELLS_PER_BLOCK, minlength=blocks.count).astype(np.float64)
    return max(1.0, blocks.count * float(inside @ (inside - 1)) / (count * (count - 1)))


def interval_of_pairs(differences: Floats, confidence: float = CONFIDENCE) -> Interval | None:
    """Student's t interval for the mean of differences, one for each pair of repeats. None for one pair."""
    count = len(differences)
    if count < 2:
        return None
    reach = _student(confidence, count - 1) * float(differences.std(ddof=1)) / math.sqrt(count)
    middle = float(differences.mean())
    return Interval(middle - reach, middle + reach)


def interval_of_means(baseline: Floats, other: Floats, confidence: float = CONFIDENCE) -> Interval | None:
    """Welch's interval for mean(other) - mean(baseline), from repeats.

    A side with one run borrows the other's variance. None when neither has two.
    """
    sizes = len(baseline), len(other)
    if max(sizes) < 2:
        return None
    variances = [float(side.var(ddof=1)) if len(side) > 1 else None for side in (baseline, other)]
    terms = [
        (mine if mine is not None else theirs or 0.0) / size
        for mine, theirs, size in zip(variances, reversed(variances), sizes, strict=True)
    ]
    error2 = sum(terms)
    middle = float(other.mean() - baseline.mean())
    if error2 == 0:
        return Interval(middle, middle)
    if min(sizes) < 2:
        freedom = float(max(sizes) - 1)
    else:
        freedom = error2**2 / sum(term**2 / (size - 1) for term, size in zip(terms, sizes, strict=True))
    reach = _student(confidence, freedom) * math.sqrt(error2)
    return Interval(middle - reach, middle + reach)


def counting_error(baseline: Floats, other: Floats, due: float, confidence: float = CONFIDENCE) -> float:
    """How far apart chance alone puts the mean counts of two sides, each run's count being out of `due`.

    Binomial, which for few is Poisson, with the share of all runs together and Yates's correction (1934,
    Supplement to the JRSS 1(2)). Runs whose counts happen to be equal do not show it: 0, 0 and 1, 1.
    """
    share = min(float(np.concatenate([baseline, other]).mean()) / due, 1.0)
    per_run = 1 / len(baseline) + 1 / len(other)
    normal = normal_quantile((1 + confidence) / 2)
    return normal * math.sqrt(due * share * (1 - share) * per_run) + per_run / 2


def _student(confidence: float, freedom: float) -> float:
    """The t quantile of a two-sided interval."""
    return student_quantile(freedom, (1 + confidence) / 2)


def spread(values: Floats) -> float:
    """How far repeats of one variant lie apart: largest / smallest - 1; 0 for one run or all equal."""
    low, high = float(values.min()), float(values.max())
    if high == low:
        return 0.0
    return math.inf if low <= 0 else high / low - 1
