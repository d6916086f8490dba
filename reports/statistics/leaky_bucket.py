"""At which rate does the share of misses cross a bound? A leaky bucket for the server, fitted to all steps.

A bucket (Turner 1986, IEEE Communications Magazine 24(10)) leaks `pace` tokens a second. An arrival adds its
own work, and misses the SLO when the bucket holds more than `depth` seconds of it. The arrivals of a step are
known, since we sent them. So what chance made of a step is told apart from what the server can do: two steps
at one rate whose bursts differ agree on one bucket. The curve of misses, which rises with the rate, follows
from the bucket and many more arrivals of the kind. The posterior is a sum over a grid.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

CONFIDENCE = 0.90
START = 1.0  # sd of the log of the pace, around the first rate
DEPTH = (1.0, 1.8)  # seconds: median, sd of its log; bounds of TTFT from 50 ms to 20 s lie inside
DEPTHS = np.geomspace(0.04, 20.0, 28)
SOFT = (0.06, 0.2, 0.5)  # how gradually misses set in: of the log of what the bucket holds
EMPTY = 0.003  # seconds: less is as good as nothing
TOGETHER = 20.0  # arrivals that miss or meet together: so many count as one
WANDER = 0.02  # sd of the log of the pace from step to step, as of a server on a quiet machine
MISFIT = 0.014  # sd of the log of the crossing: a bucket is not the server (`tokenswarm bench capacity`)
SERVED = 0.03  # the same of what an overloaded server completes in one step
# Offered / served from which on a server may serve less than at its limit: vLLM 0.26's one API server process
# on an H200 gave 8,967 tok/s at 60 requests/s and 7,824 at 120 (docs/gpu.md).
FAR_ABOVE = 2.0
FEW = 4.0  # requests that a window more or less may hold
STRAY = 0.1  # misses that no load explains, as a share of those allowed
MOST = 0.98
PACES, PASSES, REACH = 41, 3, 4.5  # of the grid; sds on each side
BINS = np.concatenate([[-math.inf, 1e-9], np.geomspace(0.005, 60.0, 90), [math.inf]])
_MIDDLES = np.concatenate([[0.0, 0.002], np.sqrt(BINS[2:-2] * BINS[3:-1]), [80.0]])
JOBS = np.geomspace(0.3, 3000.0, 24)  # depths in mean requests
LOADS = np.concatenate([np.linspace(0.3, 0.82, 6), np.linspace(0.86, 1.14, 13)])  # offered / pace
STEPS = 150  # of the long run from which the curve follows
MOST_ARRIVALS = 120_000
STRETCH = 20  # arrivals that stay together there: bursts are of few


@dataclass(frozen=True)
class Step:
    """One run at one rate: when each request was due (s from the start), its work, whether it is judged and
    whether it missed the SLO. `served`: requests/s of a server that fell behind, else None."""

    rate: float
    due: Floats
    work: Floats
    judged: Bools
    missed: Bools
    served: float | None = None


@dataclass(frozen=True)
class Stream:
    """Many arrivals like those that were sent, at one a second on average. They are cut into steps."""

    due: Floats
    work: Floats
    mean_work: float

    @staticmethod
    def like(steps: Sequence[Step], arrivals: int) -> "Stream":
        """Stretches of the steps' arrivals in a random order: gaps between them, in mean gaps, and work."""
        gaps = np.concatenate([np.diff(step.due, prepend=0.0) * step.rate for step in steps])
        work = np.concatenate([step.work for step in steps])
        starts = np.random.default_rng(0).integers(0, len(gaps), -(-arrivals // STRETCH))
        drawn = ((starts[:, None] + np.arange(STRETCH)) % len(gaps)).ravel()
        taken = gaps[drawn]
        return Stream(
            np.cumsum(taken / taken.mean()), work[drawn] * work.mean() / work[drawn].mean(), work.mean()
        )

    def crossing(self, rate: float, seconds: float, warmup: float, allowed: float) -> Floats:
        """log(offered / pace) at which the mean share of misses in steps at about this rate is `allowed`, by
        (JOBS, SOFT)."""
        length = warmup + seconds
        due, work = self.due / rate, self.work / self.mean_work
        which = np.floor(due / length).astype(int)
        cuts = np.searchsorted(which, np.arange(max(int(which.max()), 1) + 1))
        parts = [(due[a:b] - which[a] * length, work[a:b]) for a, b in itertools.pairwise(cuts) if b > a]
        judged = np.concatenate([local >= warmup for local, _ in parts])
        logs = np.empty((len(LOADS), len(JOBS), len(SOFT)))
        for place, load in enumerate(LOADS):
            pace = np.array([rate / load])
            held = np.concatenate([backlog(*part, pace)[0] for part in parts])[judged]
            counts = np.bincount(np.digitize(held, BINS) - 1, minlength=len(_MIDDLES)) / max(len(held), 1)
            for number, soft in enumerate(SOFT):
                logs[place, :, number] = np.log(_misses(JOBS / pace, soft, allowed) @ counts)
        rising = np.maximum.accumulate(logs, axis=0)
        found = [
            np.interp(math.log(allowed), column, np.log(LOADS)) for column in rising.reshape(len(LOADS), -1).T
        ]
        return np.reshape(found, (len(JOBS), len(SOFT)))


@dataclass(frozen=True)
class Crossing:
    """The posterior of the crossing's log: values and weights, which sum to 1."""

    logs: Floats
    weights: Floats

    def quantile(self, share: float) -> float:
        """The rate below which the crossing lies with that probability."""
        order = np.argsort(self.logs)
        below = np.cumsum(self.weights[order]) - self.weights[order] / 2
        return float(np.exp(np.interp(share, below, self.logs[order])))

    @property
    def rate(self) -> float:
        return self.quantile(0.5)

    @property
    def interval(self) -> tuple[float, float]:
        tail = (1 - CONFIDENCE) / 2
        return self.quantile(tail), self.quantile(1 - tail)


def crossing(steps: Sequence[Step], seconds: float, warmup: float, allowed: float, start: float) -> Crossing:
    """Where the mean share of misses crosses `allowed`, in steps of so many seconds after the warm-up.
    `start`: the rate that was tried first."""
    mean = float(np.concatenate([step.work for step in steps]).mean())
    middle, sd = math.log(start * mean), 2.5 / REACH
    for _ in range(PASSES):
        paces = np.linspace(middle - REACH * sd, middle + REACH * sd, PACES)
        weights = _posterior(paces, steps, mean, allowed, math.log(start * mean))
        sums = weights.sum(axis=(1, 2))
        middle = float(sums @ paces)
        sd = max(math.sqrt(float(sums @ (paces - middle) ** 2)), 0.04 / REACH)
    rate = math.exp(middle) / mean
    stream = Stream.like(steps, int(min(STEPS * (seconds + warmup) * rate, MOST_ARRIVALS)))
    table = stream.crossing(rate, seconds, warmup, allowed)
    jobs = np.log(DEPTHS[None, :] * np.exp(paces)[:, None] / mean)
    logs = np.stack([np.interp(jobs, np.log(JOBS), column) for column in table.T], axis=-1)
    logs += (paces - math.log(mean))[:, None, None]
    away, shares = np.polynomial.hermite_e.hermegauss(7)
    spread = (logs.ravel()[:, None] + MISFIT * away).ravel()
    return Crossing(spread, (weights.ravel()[:, None] * (shares / shares.sum())).ravel())


def _posterior(paces: Floats, steps: Sequence[Step], mean: float, allowed: float, start: float) -> Floats:
    """Weights by (pace, depth, softness)."""
    chance = -0.5 * ((paces - start) / START) ** 2
    total = chance[:, None, None] - 0.5 * (np.log(DEPTHS / DEPTH[0]) / DEPTH[1])[None, :, None] ** 2
    total = np.broadcast_to(total, (len(paces), len(DEPTHS), len(SOFT))).copy()
    kernel = np.exp(-0.5 * ((paces[:, None] - paces) / WANDER) ** 2)
    kernel /= kernel.sum(axis=1, keepdims=True)
    shares = np.stack([_misses(DEPTHS, soft, allowed) for soft in SOFT], axis=1)  # depth, soft, bin
    for step in steps:
        held = backlog(step.due, step.work, np.exp(paces))[:, step.judged]
        places = np.digitize(held, BINS) - 1 + len(_MIDDLES) * np.arange(len(paces))[:, None]
        counts = [
            np.bincount(places[:, which].ravel(), minlength=len(paces) * len(_MIDDLES)).reshape(
                len(paces), -1
            )
            for which in (step.missed[step.judged], ~step.missed[step.judged])
        ]
        logs = np.einsum("pb,dsb->pds", counts[0], np.log(shares))
        logs = (logs + np.einsum("pb,dsb->pds", counts[1], np.log1p(-shares))) / TOGETHER
        top = logs.max()
        total += np.log(np.einsum("pq,qds->pds", kernel, np.exp(logs - top)) + 1e-300)
        if step.served is not None:
            most, count = math.log(step.served * mean), int(step.judged.sum())
            away = paces - most if step.rate < FAR_ABOVE * step.served else np.minimum(paces - most, 0.0)
            total -= (0.5 * (away / math.hypot(SERVED, FEW / count)) ** 2)[:, None, None]
    weights = np.exp(total - total.max())
    return np.asarray(weights / weights.sum())


def _misses(depths: Floats, soft: float, allowed: float) -> Floats:
    """The share of misses by (depth, bin of what the bucket holds)."""
    away = (np.log(_MIDDLES + EMPTY) - np.log(depths[:, None] + EMPTY)) / soft
    low = STRAY * allowed
    return np.asarray(low + (MOST - low) / (1 + np.exp(-np.clip(away, -40, 40))))


def backlog(due: Floats, work: Floats, paces: Floats) -> Floats:
    """Seconds of work that each arrival finds in the bucket, by (pace, arrival); it is empty at first."""
    before = np.concatenate([[0.0], np.cumsum(work)[:-1]])
    net = before / paces[:, None] - due
    return np.asarray(net - np.minimum.accumulate(net, axis=1))
