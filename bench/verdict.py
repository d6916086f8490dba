"""How often the comparison claims what: `tokenswarm bench verdict`.

Simulates pairs of runs of a queueing server whose speed drifts: a variant with itself, and one that
takes 5 % longer for prefill and for every token. Each pair goes through the report's own statistics.
The load is chat-medium's: 20 requests/s, Poisson, 60 s, 150 tokens (sd 80). `--from RUN` takes rate,
times and drift from a recorded run instead.
"""

import dataclasses
import math
import time
from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from bench.synthetic import STATUS_NAMES, Shape, Truth, make_manifest, simulate
from common.usage import UsageError
from reports.commands.compare import MINIMUM_EFFECT
from reports.comparison.claims import Setting, claim, estimate
from reports.comparison.pairs import by_time
from reports.gate.history import JUDGED as CHECKED
from reports.gate.history import Series, gate_of
from reports.metrics import catalogue, durations, request_metrics
from reports.metrics.catalogue import HEADLINE, ROWS
from reports.runs.manifest import Manifest
from reports.runs.runs import Records, Run, load_run
from reports.runs.server_metrics import ServerMetrics

SLOWER = 1.05
LEAST_QUIET, LEAST_FOUND = 0.95, 0.90
# Two thirds of the slots busy; the server's speed wanders by 2 % (sd) with a correlation time of 3 s.
CHAT_MEDIUM = Shape(
    rate=20,
    duration=60,
    output=150,
    output_sd=80,
    slots=90,
    ttft=0.06,
    tpot=0.02,
    jitter=0.05,
    wobble=0.02,
    wobble_time=3.0,
)
DRIFTS = ((0.01, 3.0), (0.02, 3.0), (0.02, 5.0), (0.03, 3.0), (0.04, 5.0))  # sd, seconds
REPEATS = 3
OVERLOADED_SLOTS = (58, 45)  # of the 61 that the load keeps busy
JUDGED = [row for row in ROWS if row.metric not in (None, "itl") or row.name == "completed_rate"]


@dataclass(frozen=True)
class Outcome:
    """How often each metric was called worse, better or neither, and in how many pairs which held."""

    marks: dict[str, Counter[str]]
    quiet: int  # pairs in which no headline metric was claimed to differ
    found: int  # pairs in which every headline metric was called worse
    pairs: int


def run_of(shape: Shape, name: str) -> Run:
    """A simulated run in memory, without chunks."""
    return recorded(shape, simulate(shape), name)


def recorded(shape: Shape, truth: Truth, name: str) -> Run:
    """The run in memory, without chunks, of what happened."""
    manifest = Manifest.model_validate(make_manifest(name, shape, truth))
    return Run(manifest, Records(_table(truth), name), ServerMetrics())


def _table(truth: Truth) -> pa.Table:
    done = truth.status == 0

    def seen(moments: np.ndarray) -> pa.Array:
        return pa.array(moments, mask=moments > truth.drained_at)

    return pa.table(
        {
            "due": truth.due,
            "sent": truth.sent,
            "first_token": seen(truth.first_token),
            "last_token": seen(truth.last_token),
            "end": np.minimum(truth.last_token, truth.drained_at),
            "status": [STATUS_NAMES[code] for code in truth.status.tolist()],
            "output_tokens": pa.array(truth.tokens, mask=~done),
            "output_asked": truth.tokens,
        }
    )


def compare_pairs(shape: Shape, slower: float, pairs: int, repeats: int = 1) -> Outcome:
    """Compare `pairs` pairs of one schedule each; the second server takes `slower` times as long."""
    marks: dict[str, Counter[str]] = {row.name: Counter() for row in JUDGED}
    quiet = found = 0
    slow = dataclasses.replace(shape, ttft=shape.ttft * slower, tpot=shape.tpot * slower)
    for number in range(pairs):
        first: list[Run] = []
        second: list[Run] = []
        for repeat in range(repeats):
            noise = 2 * (number * repeats + repeat)
            one = dataclasses.replace(shape, seed=number, noise_seed=noise, variant="A")
            two = dataclasses.replace(slow, seed=number, noise_seed=noise + 1, variant="B")
            first.append(run_of(one, f"{noise}-A"))
            second.append(run_of(two, f"{noise}-B"))
        overloaded = [name for name, each in (("A", shape), ("B", slow)) if each.rate > each.capacity]
        said = dict(_marks(first, second, overloaded))
        for name, mark in said.items():
            marks[name][mark] += 1
        headline = [said[name] for name in HEADLINE]
        quiet += not {"better", "worse"} & set(headline)
        found += set(headline) == {"worse"}
    return Outcome(marks, quiet, found, pairs)


def _marks(baseline: list[Run], other: list[Run], overloaded: list[str]) -> Iterator[tuple[str, str]]:
    """Each metric's mark. `overloaded`: who is offered more than it can serve, so runs SATURATED."""
    setting = Setting("A", "B", MINIMUM_EFFECT / 100, None, tuple(overloaded), tuple(overloaded))
    blocks = by_time(baseline[0], other[0], bool(overloaded))[1] if len(baseline) == 1 else None
    for row in JUDGED:
        figures = [[catalogue.figure(run, row) for run in side] for side in (baseline, other)]
        found = estimate(row, baseline, other, blocks, growing=overloaded)
        yield row.name, claim(row, found, figures, setting).mark


def shape_of(run: Run) -> Shape:
    """A simulation like a recorded run: its rate, length, times, and the drift of its TPOT.

    The drift is the median log TPOT of each second of due times: its variance (less that of a median of
    so few) and its autocorrelation after one second. What the batch did counts as drift, too: cautious.
    """
    found = durations.of(run, "tpot")
    usable = found.known & np.isfinite(found.seconds) & (found.seconds > 0)
    if usable.sum() < 100:
        raise UsageError(
            f"{run.name}: {int(usable.sum())} finished requests; 100 are needed to see its drift"
        )
    logs = np.log(found.seconds[usable])
    second = np.floor(run.records.numbers("due")[found.rows[usable]] - run.window[0]).astype(int)
    seconds, where, counts = np.unique(second, return_inverse=True, return_counts=True)
    levels = np.array([np.median(logs[where == index]) for index in range(len(seconds))])
    jitter = 1.4826 * float(np.median(np.abs(logs - levels[where])))
    around = levels - levels.mean()
    sampling = float(np.mean(math.pi / 2 * jitter**2 / counts))
    variance = max(float(np.mean(around**2)) - sampling, 1e-8)
    together = float(np.mean(around[1:] * around[:-1]))
    keep = min(max(together / variance, 0.05), 0.95)
    tokens = run.records.numbers("output_tokens")[found.rows[usable]]
    first = request_metrics.percentile(run, "ttft", 0.5)
    if first.value is None:
        raise UsageError(f"{run.name}: fewer than half of its requests got a token; take another run")
    return Shape(
        rate=request_metrics.rate(run, "offered_rate").value or 0.0,
        duration=run.window_length,
        output=max(2, round(float(tokens.mean()))),
        output_sd=float(tokens.std()),
        ttft=first.value,
        tpot=float(np.exp(np.median(logs))),
        jitter=jitter,
        wobble=math.sqrt(variance),
        wobble_time=-1 / math.log(keep),
    )


def show(title: str, outcome: Outcome) -> None:
    """Print how often each metric got which mark."""
    print(f"\n{title}: {outcome.pairs} comparisons")
    columns = ("worse", "better", "no difference shown", "unstable", "not comparable")
    print(f"  {'':24}" + "".join(f"{name:>20}" for name in columns))
    for name, marks in outcome.marks.items():
        star = "*" if name in HEADLINE else " "
        print(f"  {name:23}{star}" + "".join(f"{marks[mark]:>20}" for mark in columns))


def least_found(outcome: Outcome) -> int:
    """In how many pairs the headline metric that was found least often was called worse."""
    return min(outcome.marks[name]["worse"] for name in HEADLINE)


def show_drifts(shape: Shape, pairs: int) -> None:
    """Print what other drifts of the server, and repeats, make of it."""
    print("\nHow it depends on the server: headline metrics, of each kind", pairs, "comparisons")
    print(f"  {'drift (sd, time)':20}{'runs each':>10}{'falsely claimed':>18}{'5 % slower, found':>20}")
    for (spread, length), repeats in [*((drift, 1) for drift in DRIFTS), (DRIFTS[-1], REPEATS)]:
        drifting = dataclasses.replace(shape, wobble=spread, wobble_time=length)
        same = compare_pairs(drifting, 1.0, pairs, repeats)
        slow = compare_pairs(drifting, SLOWER, pairs, repeats)
        name = f"{100 * spread:.0f} %, {length:.0f} s"
        print(f"  {name:20}{repeats:>10}{same.pairs - same.quiet:>18}{least_found(slow):>20}", flush=True)


def show_overload(shape: Shape, pairs: int) -> None:
    """Print what is claimed of two runs in which a queue grew, where chance adds up."""
    print(
        "\nWhere both are offered more than they serve, found by TTFT p50, of each kind", pairs, "comparisons"
    )
    print(
        f"  {'offered / capacity':20}{'falsely claimed':>18}{'5 % slower, found':>20}{'20 %':>8}  (TTFT p50)"
    )
    for slots in OVERLOADED_SLOTS:
        small = dataclasses.replace(shape, slots=slots)
        same, slow, slower = (compare_pairs(small, by, pairs) for by in (1.0, SLOWER, 1.2))
        found = [each.marks["ttft_p50"]["worse"] for each in (slow, slower)]
        load = f"{small.rate / small.capacity:.2f}"
        print(f"  {load:20}{same.pairs - same.quiet:>18}{found[0]:>20}{found[1]:>8}", flush=True)


def show_history(count: int = 1000, earlier: int = 20, spread: float = 0.02) -> None:
    """Print how often `check` fails a run, by how much worse every figure is and for how many runs."""
    print("| every figure is worse by | 1 run | 2 runs | 3 runs | 5 runs |")
    print("|---:|---:|---:|---:|---:|")
    for change in (0.0, 0.05, 0.1, 0.2):
        cells = [f"{100 * _failed(count, earlier, spread, change, runs):.1f} %" for runs in (1, 2, 3, 5)]
        print(f"| {100 * change:g} % | {' | '.join(cells)} |")


def _failed(count: int, earlier: int, spread: float, change: float, runs: int) -> float:
    rng, failed = np.random.default_rng(runs), 0
    for _ in range(count):
        logs = spread * rng.standard_normal((len(CHECKED), earlier + runs))
        logs[:, earlier:] += math.log1p(change)
        figures = {
            row.name: np.exp(each if row.better == "lower" else -each).tolist()
            for row, each in zip(CHECKED, logs, strict=True)
        }
        found = gate_of(Series([""] * (earlier + runs), figures), "VALID", MINIMUM_EFFECT / 100, "")
        failed += bool(found.failing)
    return failed / count


def describe(shape: Shape) -> str:
    """What is simulated, in a few lines."""
    slots = f"{shape.slots} at once" if shape.slots else "no limit at once"
    return (
        f"simulated: {shape.rate:.3g} requests/s for {shape.duration:.3g} s, {shape.output} tokens "
        f"(sd {shape.output_sd:.0f}), {slots},\n  TTFT {1000 * shape.ttft:.1f} ms and TPOT "
        f"{1000 * shape.tpot:.2f} ms when idle; requests differ by {100 * shape.jitter:.1f} %,\n"
        f"  the server's speed drifts by {100 * shape.wobble:.1f} % (sd), correlation time "
        f"{shape.wobble_time:.1f} s"
    )


def add_arguments(parser: ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("--pairs", type=int, default=100, help="comparisons of each kind (default: 100)")
    parser.add_argument("--only", choices=("history",), help="only of runs against their history")
    parser.add_argument("--from", dest="like", type=Path, metavar="RUN", help="a run folder to be like")


def run(given: Namespace) -> int:
    """Exit code 0 when the bounds hold, 1 when not."""
    if given.pairs < 1:
        raise UsageError(f"--pairs {given.pairs}: must be 1 or more")
    if given.only == "history":
        show_history()
        return 0
    shape = shape_of(load_run(given.like)) if given.like else CHAT_MEDIUM
    began = time.process_time()
    print(describe(shape))
    same, slow = compare_pairs(shape, 1.0, given.pairs), compare_pairs(shape, SLOWER, given.pairs)
    show("A variant with itself", same)
    show(f"With one that is {100 * (SLOWER - 1):.0f} % slower", slow)
    if not given.like:
        show_drifts(shape, given.pairs)
        show_overload(shape, given.pairs)
    least = least_found(slow)
    print(
        f"\n* headline metrics: {', '.join(HEADLINE)}; claimed beyond {MINIMUM_EFFECT:g} % and the interval"
    )
    print(f"none where there is none, all of them: {same.quiet} of {same.pairs} ({LEAST_QUIET:.0%} wanted)")
    print(f"the slower one found, each of them: {least} of {slow.pairs} or more ({LEAST_FOUND:.0%} wanted)")
    print(f"all of them at once: {slow.found} of {slow.pairs}; {time.process_time() - began:.0f} s of CPU")
    return 0 if same.quiet >= LEAST_QUIET * same.pairs and least >= LEAST_FOUND * slow.pairs else 1
