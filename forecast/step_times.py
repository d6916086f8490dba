"""Seconds of an engine step, as a function of what is in it: the model and its robust fit.

    seconds = base + sequence · D + context · C + token · P + request · N + crowd · max(D − knot, 0)

D sequences decode in the step, which hold C tokens of context together; P prompt tokens are computed, of N
requests. The knot is the median D of the run. A small batch waits for memory, a large one for arithmetic, so
the time bends upwards between them (the roofline of Williams, Waterman and Patterson 2009). No coefficient is
negative, so more work never takes less time. Pure; no I/O.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares, nnls

from reports.comparison.starts import PRIOR

Floats = NDArray[np.float64]

TERMS = ("base", "sequence", "context", "token", "request", "crowd")
BLOCK_S = 2.0  # blocks of time that are resampled: some hundred steps, and 30 of them in a minute
RESAMPLES = 100
SLOW_BLOCKS = 6  # spans of a run whose paces are compared: the slowest change that one run can show
START_TO_START = PRIOR.sd  # a forecast is of another start
UNSEEN = 0.10  # share of the step's time for each doubling beyond what the run held; see docs/forecast.md


@dataclass(frozen=True)
class Work:
    """What engine steps hold; every field of shape (n,), or a number. `steps`: how many steps it is."""

    steps: Floats | float
    sequences: Floats | float
    context: Floats | float
    tokens: Floats | float
    requests: Floats | float

    def columns(self, knot: float = np.inf) -> Floats:
        """Shape (n, 6), in the order of TERMS."""
        crowd = np.maximum(self.sequences - knot * self.steps, 0.0)
        parts = (self.steps, self.sequences, self.context, self.tokens, self.requests, crowd)
        return np.stack([np.asarray(part, dtype=np.float64) for part in np.broadcast_arrays(*parts)], axis=-1)


@dataclass(frozen=True)
class Observations:
    """Stretches of engine steps that were seen: `seconds`, the work in them, `at` (seconds from the start).

    `weight`: a stretch that n sequences saw at once counts 1/n from each of them. Shape (n,) each.
    """

    at: Floats
    seconds: Floats
    work: Work
    weight: Floats


@dataclass(frozen=True)
class Seen:
    """Where the run was: ranges of what its steps held (5th to 95th percentile; prompt tokens: the most)."""

    sequences_low: float
    sequences_high: float
    context_high: float  # tokens a sequence
    tokens_high: float  # prompt tokens in a step


@dataclass(frozen=True)
class StepTimes:
    """The fitted coefficients (seconds), their spread, and how the pace moved.

    `knot`: sequences a step. `draws`: shape (RESAMPLES, 6), coefficients from resampled blocks of time.
    `pace_sd`: standard deviation of log pace, between sixths of the run and between starts. `residual_sd`:
    seconds, of a gap.
    """

    coefficients: Floats
    knot: float
    draws: Floats
    pace_sd: float
    residual_sd: float
    seen: Seen

    def seconds(self, work: Work) -> Floats:
        """Time of the work."""
        return np.asarray(work.columns(self.knot) @ self.coefficients)

    def times(self, factors: Floats | float) -> "StepTimes":
        """Every coefficient (or each of them) that many times as long."""
        return replace(self, coefficients=self.coefficients * factors, draws=self.draws * factors)

    def spread(self, work: Work) -> float:
        """Standard deviation of the log of a step's time at such work (one step's means).

        Fit (resampled), pace within the run and from start to start, and what lies outside of what was seen.
        """
        columns = work.columns(self.knot)
        own = float(columns @ self.coefficients)
        if own <= 0:
            return self.pace_sd
        fit = float((self.draws @ columns).std()) / own
        return float(np.sqrt(fit**2 + self.pace_sd**2 + self._unseen(work) ** 2))

    def _unseen(self, work: Work) -> float:
        """What a shape that the run never showed may add, as a share of the step's time."""
        own = work.columns(self.knot) * self.coefficients
        shares = own / own.sum()
        sequences, tokens = float(work.sequences), float(work.tokens)
        context = float(work.context) / max(sequences, 1.0)
        low = _doublings(self.seen.sequences_low, max(sequences, 1.0))
        high = _doublings(sequences, self.seen.sequences_high)
        batch = UNSEEN * (low * shares[0] + high * (shares[1] + shares[5]))
        prompt = UNSEEN * _doublings(tokens, self.seen.tokens_high) * shares[3]
        held = UNSEEN * _doublings(context, self.seen.context_high) * (shares[1] + shares[2])
        return float(np.sqrt(batch**2 + prompt**2 + held**2))


def _doublings(large: float, small: float) -> float:
    return max(np.log2(large / small), 0.0) if small > 0 and large > 0 else 0.0


def mean_fit(seen: Observations) -> tuple[Floats, float]:
    """Plain non-negative least squares: the coefficients, and what is left (comparable for equal gaps)."""
    columns, root = seen.work.columns(), np.sqrt(seen.weight)
    scale = _scales(columns, seen.weight)
    found, left = nnls(columns * scale * root[:, None], seen.seconds * root)
    return found * scale, float(left)


def fit(seen: Observations) -> StepTimes:
    """Fit the coefficients: soft-L1 (a stall pulls little), non-negative, total time kept.

    The robust fit leaves out part of what slow steps took, yet a run takes all of its time; so the whole is
    scaled to the sum that was seen. Its draws resample blocks of BLOCK_S seconds with the robust weights.
    """
    knot = _quantiles(_sequences(seen.work), seen.weight, 0.5)[0]
    columns, seconds, weight = seen.work.columns(knot), seen.seconds, seen.weight
    scale = _scales(columns, weight)
    unit = 0.25 * float(np.average(seconds, weights=weight))  # from here on a residual counts linearly
    scaled = columns * scale

    def residuals(at: Floats) -> Floats:
        return np.sqrt(weight) * (scaled @ at - seconds) / unit

    start = (
        nnls(scaled * np.sqrt(weight)[:, None], seconds * np.sqrt(weight))[0] + 1e-6
    )  # inside of the bounds
    found = least_squares(residuals, start, bounds=(0, np.inf), loss="soft_l1").x * scale
    expected = columns @ found
    found = found * float(weight @ seconds) / float(weight @ expected)
    left = seconds - columns @ found
    robust = weight / np.sqrt(1 + (left / unit) ** 2)
    return StepTimes(
        found,
        knot,
        _draws(seen.at, scaled, seconds, robust, found) * scale,
        float(np.hypot(_pace(seen.at, seconds, columns @ found, weight), START_TO_START)),
        float(np.sqrt(np.average(left**2, weights=weight))),
        _ranges(seen),
    )


def _scales(columns: Floats, weight: Floats) -> Floats:
    """So that every term is of the order of 1; 0 for a term that never occurred."""
    size = np.sqrt(np.average(columns**2, axis=0, weights=weight))
    return np.where(size > 0, 1 / np.maximum(size, 1e-12), 0.0)


def _draws(at: Floats, scaled: Floats, seconds: Floats, weight: Floats, found: Floats) -> Floats:
    """Non-negative fits of resampled blocks, from each block's normal equations: no pass over the data."""
    block = np.floor(at / BLOCK_S).astype(np.int64)
    block -= block.min()
    order = np.argsort(block, kind="stable")
    starts = np.flatnonzero(np.diff(block[order], prepend=-1))
    rows = scaled[order] * weight[order, None]
    terms = scaled.shape[1]
    squares = np.stack(
        [np.add.reduceat(rows[:, i] * scaled[order, j], starts) for i in range(terms) for j in range(terms)],
        1,
    ).reshape(-1, terms, terms)
    products = np.add.reduceat(rows * seconds[order, None], starts)
    random = np.random.default_rng(len(seconds))
    made = np.empty((RESAMPLES, terms))
    for index in range(RESAMPLES):
        chosen = random.integers(len(starts), size=len(starts))
        square, product = squares[chosen].sum(0), products[chosen].sum(0)
        ridge = 1e-9 * np.trace(square) * np.eye(terms)
        root = np.linalg.cholesky(square + ridge)
        made[index] = nnls(root.T, np.linalg.solve(root, product))[0]
    return made


def _pace(at: Floats, seconds: Floats, expected: Floats, weight: Floats) -> float:
    """Standard deviation of log (seen / expected) between sixths of the run."""
    sixth = np.minimum((at - at.min()) / max(np.ptp(at), 1e-9) * SLOW_BLOCKS, SLOW_BLOCKS - 1).astype(
        np.int64
    )
    took = np.bincount(sixth, weight * seconds, SLOW_BLOCKS)
    should = np.bincount(sixth, weight * expected, SLOW_BLOCKS)
    both = (took > 0) & (should > 0)
    return float(np.log(took[both] / should[both]).std()) if both.sum() > 1 else 0.0


def _ranges(seen: Observations) -> Seen:
    work, weight = seen.work, seen.weight
    sequences = _sequences(work)
    context = np.asarray(work.context) / np.maximum(np.asarray(work.sequences), 1e-9)
    tokens = np.asarray(work.tokens)
    low, high = _quantiles(sequences, weight, 0.05, 0.95)
    return Seen(low, high, _quantiles(context, weight, 0.95)[0], float(tokens.max(initial=0.0)))


def _sequences(work: Work) -> Floats:
    """How many decode in a step."""
    return np.asarray(work.sequences) / np.maximum(np.asarray(work.steps), 1e-9)


def _quantiles(values: Floats, weight: Floats, *shares: float) -> list[float]:
    order = np.argsort(values)
    total = np.cumsum(weight[order])
    return [float(values[order][np.searchsorted(total, share * total[-1])]) for share in shares]
