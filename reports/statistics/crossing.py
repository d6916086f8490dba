"""At which rate does the share of misses cross a bound? Found from the queues that a server could be.

The share of misses, which rises with the rate, follows from a queue and the arrivals of many more steps.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from reports.statistics.queue_fit import Fit, Step, counts, fit, mean_work, share_missed
from reports.statistics.waits import Floats, Offered, waits

CONFIDENCE = 0.90
STEADY = 0.012  # sd of the log of the pace from step to step on a quiet machine, whose limit is asked for
MISFIT = 0.008  # sd of the log of the crossing: a queue is not the server (`tokenswarm bench capacity`)
LOADS = np.concatenate([np.linspace(0.3, 0.9, 13), np.linspace(0.94, 1.3, 8)])  # offered / pace
ROUGH, ROUGHLY = 40, 0.85  # steps, and of the pace: where LOADS finds what NEAR looks at closely
NEAR, GRID = 0.1, 0.02  # of the log of offered / pace
STRETCH = 20  # arrivals that stay together where they are drawn again: bursts are of few
DRAWN, MOST_DRAWN = 300, 120_000  # steps, and arrivals, drawn again

Redraw = Callable[[float], Iterable[Offered]]  # the arrivals of many more such steps at a rate


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


def crossing(
    steps: Sequence[Step],
    allowed: float,
    start: float,
    bound: float | None = None,
    redraw: Redraw | None = None,
) -> Crossing:
    """Where the mean share of misses crosses `allowed`.

    `start`: the rate that was tried first. `bound`: s, of the SLO on TTFT. `redraw`: without it, more steps
    are made of stretches of these.
    """
    queues, mean = fit(steps, allowed, start, bound), mean_work(steps)
    loads = _at_allowed(queues, redraw or (lambda rate: drawn_again(steps, rate)), mean, allowed)
    logs = queues.paces[:, None] + loads - math.log(mean)
    away, shares = np.polynomial.hermite_e.hermegauss(7)
    spread = (logs[:, :, None] + MISFIT * away).ravel()
    return Crossing(spread, (queues.weights[:, :, None] * shares / shares.sum()).ravel())


def _at_allowed(queues: Fit, redraw: Redraw, mean: float, allowed: float) -> Floats:
    """log(offered / pace) at which the mean share of misses is `allowed`, (queues,)."""
    rate = ROUGHLY * math.exp(queues.pace) / mean
    rough = _among(LOADS, queues, [*islice(redraw(rate), ROUGH)], rate * mean, allowed)
    rate *= math.exp(float(queues.weights.sum(axis=0) @ rough)) / ROUGHLY
    near = np.exp(np.arange(rough.min() - NEAR, rough.max() + NEAR + GRID, GRID))
    return _among(near, queues, [*redraw(rate)], rate * mean, allowed)


def _among(loads: Floats, queues: Fit, runs: Sequence[Offered], work: float, allowed: float) -> Floats:
    """The same, found among these loads, from runs in which so much work is offered per second."""
    found = np.empty(len(queues.places))
    for count in np.unique(queues.places):
        which = queues.places == count
        held = np.concatenate([*waits(runs, work / loads, int(count))], axis=1)
        missed = share_missed(queues.depth[which], queues.soft[which], queues.least, allowed)
        shares = _of_wandering(np.log(loads), counts(held) @ missed.T / held.shape[1])
        rising = np.maximum.accumulate(shares, axis=0)
        found[which] = [np.interp(math.log(allowed), np.log(column), np.log(loads)) for column in rising.T]
    return found


def _of_wandering(loads: Floats, shares: Floats) -> Floats:
    """The mean of shares (loads, queues) over steps of which each has a pace of its own nearby."""
    away, weights = np.polynomial.hermite_e.hermegauss(5)
    at = loads[:, None] + STEADY * away
    return np.stack(
        [np.interp(at, loads, column) @ (weights / weights.sum()) for column in shares.T], axis=-1
    )


def drawn_again(steps: Sequence[Step], rate: float) -> list[Offered]:
    """More steps, of stretches of the arrivals of these in a random order."""
    due = [step.offered.due for step in steps]
    gaps = np.concatenate(
        [np.diff(each, prepend=0.0) * step.rate for each, step in zip(due, steps, strict=True)]
    )
    work = np.concatenate([step.offered.work for step in steps])
    longest = max(steps, key=lambda step: float(step.offered.due[-1]))
    length = float(longest.offered.due[-1])
    warmup = float(longest.offered.due[longest.offered.judged].min(initial=length))
    count = max(int(min(DRAWN * length * rate, MOST_DRAWN)), STRETCH)
    starts = np.random.default_rng(0).integers(0, len(gaps), -(-count // STRETCH))
    drawn = ((starts[:, None] + np.arange(STRETCH)) % len(gaps)).ravel()
    at = np.cumsum(gaps[drawn]) / gaps[drawn].mean() / rate
    work = work[drawn] * work.mean() / work[drawn].mean()
    cuts = np.searchsorted(at, length * np.arange(1, math.ceil(at[-1] / length)))
    parts = zip(np.split(at, cuts), np.split(work, cuts), strict=True)
    found = [(part - number * length, each) for number, (part, each) in enumerate(parts)]
    whole = found[:-1] or found  # the last one ends early
    return [Offered(part, each, part >= warmup) for part, each in whole if len(part)]
