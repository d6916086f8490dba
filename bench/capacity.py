"""How true a search for the capacity is: `tokenswarm bench capacity`.

Simulates searches on queueing servers whose true rate is known: of many steps at a rate, 99 % of the arrivals
meet the SLO on average. The servers' speed drifts by 2 % (sd). Each search begins at a rate that is wrong by
a factor of its own (sd of its log 0.4). The time of a step is its warm-up, its seconds, its drain and 9 s.
"""

import dataclasses
import math
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from bench.synthetic import Shape, Truth, arrivals_of, simulate
from campaign.search import Search, Tried
from campaign.terms import MAX_STEPS, TOLERANCE
from common.usage import UsageError, whole
from reports.statistics.crossing import DRAWN, Redraw
from reports.statistics.queue_fit import Step
from reports.statistics.waits import Floats, Offered
from reports.verdict.slo import DROWNED, most_at_once

SLO = {"ttft": 1.0, "tpot": 0.05, "share": 0.99}
ALLOWED = 1 - SLO["share"]
WARMUP, AROUND = 8.5, 9.0  # s; what `capacity` takes for this load, and what a run takes around itself
BEGIN = 0.4  # sd of the log of the first rate
WANTED = (0.01, 0.04, 0.90, (0.85, 0.95))  # median error; error that nine in ten keep; cover of the interval
_USUAL = Shape(
    rate=20, duration=20, warmup=WARMUP, drain=1e9, output=150, output_sd=80, ttft=0.06, tpot=0.02,
    jitter=0.05, wobble=0.02, wobble_time=3.0, slo=SLO,
)  # fmt: skip
SERVERS = {
    "120 places": dataclasses.replace(_USUAL, slots=120),
    "24 places, short answers": dataclasses.replace(_USUAL, slots=24, output=60, output_sd=40),
    "60 places, even arrivals": dataclasses.replace(_USUAL, slots=60, output_sd=0.0, arrivals="constant"),
    "8 places, steps of 45 s": dataclasses.replace(_USUAL, slots=8, ttft=0.015, tpot=0.0059, duration=45),
}


@dataclass(frozen=True)
class Result:
    """What one search came to, against the truth; seconds."""

    error: float
    covered: bool
    steps: int
    seconds: float


def missed(truth: Truth) -> NDArray[np.bool_]:
    """Which judged arrivals missed the SLO."""
    tpot = (truth.last_token - truth.first_token) / np.maximum(truth.tokens - 1, 1)
    met = (truth.first_token - truth.due <= SLO["ttft"]) & (tpot <= SLO["tpot"])
    return np.asarray(~met & truth.judged)


def true_rate(shape: Shape, steps: int = 4000) -> float:
    """Where the mean share of misses of steps is ALLOWED."""
    rates = shape.capacity * np.exp(np.linspace(-0.35, 0.12, 20))
    rough = np.maximum.accumulate([_share(shape, rate, 100) for rate in rates])
    first, last = (int(np.searchsorted(rough, share)) for share in (ALLOWED / 8, 8 * ALLOWED))
    rates = np.geomspace(rates[max(first - 1, 0)], rates[min(last + 1, len(rates) - 1)], 8)
    shares = np.maximum.accumulate([_share(shape, rate, steps) for rate in rates])
    return math.exp(np.interp(math.log(ALLOWED), np.log(shares + 1e-6), np.log(rates)))


def _share(shape: Shape, rate: float, steps: int) -> float:
    runs = [_run(shape, rate, 10**6 + number) for number in range(steps)]
    return sum(int(missed(run).sum()) for run in runs) / sum(int(run.judged.sum()) for run in runs)


def _run(shape: Shape, rate: float, seed: int) -> Truth:
    return simulate(dataclasses.replace(shape, rate=rate, seed=seed, noise_seed=seed))


def search(shape: Shape, truth: float, number: int) -> Result:
    """One search, as `capacity` makes it."""
    start = truth * math.exp(BEGIN * np.random.default_rng(number).standard_normal())
    asked = Search(start, TOLERANCE / 100, shape.duration, SLO["share"], SLO["ttft"], _redraw_of(shape))
    tried: list[Tried] = []
    found, seconds = None, 0.0
    while len(tried) < MAX_STEPS and (rate := asked.next_rate(tried, found)) is not None:
        run = _run(shape, rate, 1000 * number + len(tried))
        tried.append(_tried(shape, rate, run))
        found = asked.found(tried)
        drain = min(max(float(run.last_token.max()) - sum(run.window), 0.0), 2 * WARMUP)
        seconds += WARMUP + shape.duration + drain + AROUND
    assert found is not None
    low, high = found.interval
    return Result(found.rate / truth - 1, low <= truth <= high, len(tried), seconds)


def _redraw_of(shape: Shape) -> Redraw:
    """The arrivals of many more steps, as `capacity` has them from the scenario."""

    def redraw(rate: float) -> Iterator[Offered]:
        asked = dataclasses.replace(shape, rate=rate)
        return (_offered(*arrivals_of(asked, 2 * 10**6 + number), WARMUP) for number in range(DRAWN))

    return redraw


def _offered(due: Floats, tokens: NDArray[np.int64], warmup: float) -> Offered:
    return Offered(due, (tokens + 1).astype(np.float64), due >= warmup)


def _tried(shape: Shape, rate: float, run: Truth) -> Tried:
    amiss, end = missed(run), run.window[1]
    share = float(amiss.sum() / run.judged.sum())
    done = float(((run.last_token >= run.window[0]) & (run.last_token < end)).sum() / shape.duration)
    step = Step(
        rate,
        _offered(run.due, run.tokens, run.window[0]),
        amiss,
        run.first_token - run.due,
        most_at_once(run.first_token, run.last_token),
        done if share > DROWNED else None,
    )
    return Tried(rate, "met" if share <= ALLOWED else "missed", step)


def add_arguments(parser: ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("--searches", type=whole, default=50, help="on each server (default: 50)")


def run(given: Namespace) -> int:
    """Print the table. Exit code 0 when the bounds hold, 1 when not."""
    if given.searches < 1:
        raise UsageError(f"--searches {given.searches}: must be 1 or more")
    every = []
    print("| server | true rate | median error | within ±4 % | interval holds it | steps | seconds |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    with ProcessPoolExecutor() as pool:
        for (name, shape), truth in zip(SERVERS.items(), pool.map(true_rate, SERVERS.values()), strict=True):
            found = list(pool.map(partial(search, shape, truth), range(given.searches)))
            every += found
            print(_row(name, f"{truth:.2f}", found), flush=True)
    print(_row(f"all {len(every)}", "", every))
    return 0 if _holds(every) else 1


def _row(name: str, truth: str, found: list[Result]) -> str:
    error = np.array([each.error for each in found])
    cells = [
        f"{100 * np.median(error):+.1f} %",
        f"{100 * np.mean(abs(error) <= WANTED[1]):.0f} %",
        f"{100 * np.mean([each.covered for each in found]):.0f} %",
        f"{np.mean([each.steps for each in found]):.1f}",
        f"{np.mean([each.seconds for each in found]):.0f}",
    ]
    return f"| {name} | {truth} | {' | '.join(cells)} |"


def _holds(found: list[Result]) -> bool:
    error, covered = np.array([each.error for each in found]), np.mean([each.covered for each in found])
    low, high = WANTED[3]
    small = abs(np.median(error)) <= WANTED[0] and np.mean(abs(error) <= WANTED[1]) >= WANTED[2]
    return bool(small and low <= covered <= high)
