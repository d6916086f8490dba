"""Which queues could the server be? Each with its places, its pace and the wait at which an arrival misses.

The arrivals of a step are known, since we sent them. So what chance made of a step is told apart from what
the server can do: two steps at one rate whose bursts differ agree on one queue. Where the SLO's bound on
TTFT decides, each arrival's TTFT is held against its wait in the queue. Else only who missed counts, and how
much work before an arrival makes it miss is left open. The posterior is a sum over a grid.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reports.statistics.waits import Floats, Offered, waits

START = 1.0  # sd of the log of the pace, around the first rate
# sd of the log of the pace from step to step, and how probable: a quiet machine's, and those of shared ones
# (0.14 for TPOT p50 in eight runs of 20 s on two cores, docs/example/ABOUT.md)
WANDER = ((0.01, 0.6), (0.03, 0.3), (0.1, 0.1))
TOGETHER = 20.0  # arrivals that wait, miss or meet together: so many count as one
UNLIKELY = 1e-4  # of the weight of the likeliest: queues with less are left out
# By waits:
DECIDES = 0.9  # of the misses are late first tokens: then the bound on TTFT decides
SOFT = (0.015, 0.03, 0.06, 0.12, 0.25, 0.5)  # scale of the log of a wait around the queue's, logistic
LOOSE = 0.2  # mean of SOFT above which the server's waits are not a queue's
LEAST_WAIT = 0.2  # of the bound: less is as good as none, since TTFTs scatter where nothing waits, too
MOST_WAIT = 3.0  # of the bound: longer ones say no more
MOST_PLACES = 64  # more of them wait as so many do
PLACES = (0.0, 0.5, 1.0)  # powers of the answers seen at once, which may be places of the queue
# By misses:
DEPTH = (1.0, 1.8)  # seconds: median, sd of its log; bounds of TTFT from 50 ms to 20 s lie inside
DEPTHS = np.geomspace(0.04, 20.0, 28)
SOFTNESS = (0.06, 0.2, 0.5)  # how gradually misses set in: scale of the log of the work before an arrival
EMPTY = 0.003  # seconds: less is as good as nothing
SERVED = 0.03  # sd of the log of what an overloaded server completes in one step
FEW = 4.0  # requests that a window more or less may hold
# Offered / served from which on a server may serve less than at its limit: vLLM 0.26's one API server process
# on an H200 gave 8,967 tok/s at 60 requests/s and 7,824 at 120 (docs/gpu.md).
FAR_ABOVE = 2.0
# The share of misses, and the grids:
STRAY, MOST = 0.1, 0.98  # misses that no load explains, as a share of those allowed; share far above
BINS = np.concatenate([[-math.inf, 1e-9], np.geomspace(0.002, 60.0, 300), [math.inf]])  # s
_MIDDLES = np.concatenate([[0.0, 0.001], np.sqrt(BINS[2:-2] * BINS[3:-1]), [80.0]])
PACES, PASSES, REACH, NARROWEST = 81, 3, 4.5, 0.25  # of the grid; sds, and at least so much, on each side


@dataclass(frozen=True)
class Step:
    """One run at one rate.

    `missed`: the SLO, by arrival. `ttft`: s from the due time, inf where no token came; None where no bound
    is on it. `at_once`: answers that streamed at once, at most. `served`: requests/s of a server that fell
    behind, else None.
    """

    rate: float
    offered: Offered
    missed: NDArray[np.bool_]
    ttft: Floats | None = None
    at_once: int = 1
    served: float | None = None


@dataclass(frozen=True)
class Fit:
    """Queues, each with its places, at which wait (s) an arrival misses, and how gradually; all (queues,).

    `least`: s; shorter waits are as good as none. `paces`: logs of work per second. `weights`: (paces,
    queues), which sum to 1.
    """

    places: NDArray[np.int64]
    depth: Floats
    soft: Floats
    least: float
    paces: Floats
    weights: Floats

    @property
    def likely(self) -> "Fit":
        """Those of them that the steps leave possible."""
        by_queue = self.weights.sum(axis=0)
        which = by_queue > UNLIKELY * by_queue.max()
        weights = self.weights[:, which] / self.weights[:, which].sum()
        places, depth, soft = self.places[which], self.depth[which], self.soft[which]
        return Fit(places, depth, soft, self.least, self.paces, weights)

    @property
    def softness(self) -> float:
        """The posterior mean."""
        return float(self.weights.sum(axis=0) @ self.soft)

    @property
    def pace(self) -> float:
        """The posterior mean of its log."""
        return float(self.weights.sum(axis=1) @ self.paces)


def fit(steps: Sequence[Step], allowed: float, start: float, bound: float | None) -> Fit:
    """What the steps leave possible where a share of misses is `allowed`.

    `start`: the rate that was tried first. `bound`: s, of the SLO on TTFT.
    """
    if bound and _late(steps, bound) >= DECIDES:
        found = by_waits(steps, allowed, start, bound)
        if found.softness <= LOOSE:
            return found.likely
    return by_misses(steps, allowed, start).likely


def _late(steps: Sequence[Step], bound: float) -> float:
    """The share of the misses whose first token came too late, or never."""
    if any(step.ttft is None for step in steps):
        return 0.0
    late = sum(int((step.ttft[step.missed] > bound).sum()) for step in steps if step.ttft is not None)
    return late / max(sum(int(step.missed.sum()) for step in steps), 1)


def by_waits(steps: Sequence[Step], allowed: float, start: float, bound: float) -> Fit:
    """Queues whose waits are the steps' TTFTs, less that of an idle server."""
    near = _near_the_limit(steps, allowed)
    ttfts = [step.ttft for step in near if step.ttft is not None]
    idle = min([bound / 2, *(float(np.quantile(each, 0.1)) for each in ttfts)])
    least, most = LEAST_WAIT * bound, MOST_WAIT * bound
    seen = [
        np.log(np.clip(ttft - idle, 0.0, most) + least)[step.offered.judged]
        for step, ttft in zip(near, ttfts, strict=True)
    ]
    at_once = min(max(step.at_once for step in steps), MOST_PLACES)
    places = np.unique(np.rint(at_once ** np.array(PLACES)).astype(np.int64))

    def evidence(paces: Floats) -> Floats:
        found = []
        for count in places:
            queues = waits([step.offered for step in near], np.exp(paces), int(count))
            logs = [_alike(held, each, least, most) for held, each in zip(queues, seen, strict=True)]
            found.append(_over_steps(paces, logs))
        return np.concatenate(found, axis=1)

    paces, weights = _posterior(evidence, math.log(start * mean_work(steps)))
    count, soft = (each.ravel() for each in np.meshgrid(places, SOFT, indexing="ij"))
    return Fit(count, np.full(len(count), bound - idle), soft, least, paces, weights)


def _near_the_limit(steps: Sequence[Step], allowed: float) -> list[Step]:
    """Those that say what a server does at its limit: far above it may do less."""
    missing = [step.rate for step in steps if step.missed.sum() > allowed * step.offered.judged.sum()]
    return [step for step in steps if step.rate < FAR_ABOVE * min(missing, default=math.inf)]


def _alike(held: Floats, seen: Floats, least: float, most: float) -> Floats:
    """Log likelihood of the logs of waits that were seen, (paces, soft)."""
    away = np.abs(seen - np.log(np.minimum(held, most) + least))
    logs = [-(away / one + np.log(one) + 2 * np.log1p(np.exp(-away / one))).sum(axis=1) for one in SOFT]
    return np.stack(logs, axis=-1) / TOGETHER


def by_misses(steps: Sequence[Step], allowed: float, start: float) -> Fit:
    """Queues with one place in which who missed found much work before it."""
    depth, soft = (each.ravel() for each in np.meshgrid(DEPTHS, SOFTNESS, indexing="ij"))
    shares = share_missed(depth, soft, EMPTY, allowed)
    prior = -0.5 * (np.log(depth / DEPTH[0]) / DEPTH[1]) ** 2
    mean = mean_work(steps)

    def evidence(paces: Floats) -> Floats:
        logs = []
        for step, held in zip(steps, waits([step.offered for step in steps], np.exp(paces), 1), strict=True):
            missed = step.missed[step.offered.judged]
            met = counts(held[:, ~missed]) @ np.log1p(-shares).T
            logs.append((counts(held[:, missed]) @ np.log(shares).T + met) / TOGETHER)
        return np.asarray(prior + _over_steps(paces, logs) + _served(paces, steps, mean)[:, None])

    paces, weights = _posterior(evidence, math.log(start * mean))
    return Fit(np.ones(len(depth), np.int64), depth, soft, EMPTY, paces, weights)


def _served(paces: Floats, steps: Sequence[Step], mean: float) -> Floats:
    """What servers that fell behind say of their pace."""
    total = np.zeros(len(paces))
    for step in steps:
        if step.served is not None:
            away = paces - math.log(step.served * mean)
            away = away if step.rate < FAR_ABOVE * step.served else np.minimum(away, 0.0)
            total -= 0.5 * (away / math.hypot(SERVED, FEW / int(step.offered.judged.sum()))) ** 2
    return total


def _posterior(evidence: Callable[[Floats], Floats], start: float) -> tuple[Floats, Floats]:
    """Logs of paces, and weights (paces, queues), on a grid that closes in on where they are."""
    middle, sd = start, 2.5 / REACH
    for _ in range(PASSES):
        paces = np.linspace(middle - REACH * sd, middle + REACH * sd, PACES)
        total = evidence(paces) - 0.5 * (((paces - start) / START) ** 2)[:, None]
        weights = np.exp(total - total.max())
        weights /= weights.sum()
        sums = weights.sum(axis=1)
        middle = float(sums @ paces)
        sd = max(math.sqrt(float(sums @ (paces - middle) ** 2)), NARROWEST / REACH)
    return paces, weights


def _over_steps(paces: Floats, logs: Sequence[Floats]) -> Floats:
    """The steps' log likelihood (paces, queues), where each step has a pace of its own nearby.

    How far that wanders is unknown, too.
    """
    found = []
    for wander, prior in WANDER:
        kernel = np.exp(-0.5 * ((paces[:, None] - paces) / wander) ** 2)
        kernel /= kernel.sum(axis=1, keepdims=True)
        each = [np.log(kernel @ np.exp(one - one.max()) + 1e-300) + one.max() for one in logs]
        found.append(np.sum(each, axis=0) + math.log(prior))
    return np.asarray(np.logaddexp.reduce(found, axis=0))


def mean_work(steps: Sequence[Step]) -> float:
    return float(np.concatenate([step.offered.work for step in steps]).mean())


def counts(held: Floats) -> Floats:
    """How many arrivals wait how long: of (rows, arrivals) a (rows, bins)."""
    rows, bins = len(held), len(_MIDDLES)
    where = np.digitize(held, BINS) - 1 + bins * np.arange(rows)[:, None]
    return np.bincount(where.ravel(), minlength=rows * bins).reshape(rows, bins).astype(np.float64)


def share_missed(depth: Floats, soft: Floats, least: float, allowed: float) -> Floats:
    """The share of misses by (queue, bin of the wait)."""
    away = (np.log(_MIDDLES + least) - np.log(depth[:, None] + least)) / soft[:, None]
    low = STRAY * allowed
    return np.asarray(low + (MOST - low) / (1 + np.exp(-np.clip(away, -40, 40))))
