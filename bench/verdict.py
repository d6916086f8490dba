"""How often a comparison claims what: `tokenswarm bench verdict`.

Simulates campaigns on a queueing server whose speed wanders: a variant with itself, and one that takes 5 %
longer for every token. Runs take turns, and each is a start of its own. Each campaign goes through the
report's own statistics. The load is chat-medium's: 20 requests/s, Poisson, 150 tokens (sd 80). `--from RUN`
takes rate, times and wander from a recorded run instead.
"""

import dataclasses
import math
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from bench.synthetic import STATUS_NAMES, Shape, Truth, make_manifest, simulate
from common.usage import UsageError, whole
from reports.commands.compare import MINIMUM_EFFECT
from reports.comparison import changes, looks
from reports.document.metric import Change
from reports.gate.history import JUDGED as CHECKED
from reports.gate.history import Series, gate_of
from reports.metrics import catalogue, durations, request_metrics
from reports.metrics.catalogue import ROW, ROWS, Row
from reports.runs.manifest import Manifest
from reports.runs.runs import Records, Run, load_run
from reports.runs.server_metrics import ServerMetrics
from reports.statistics import intervals
from reports.verdict.rules import server

SLOWER = 1.05
MOST_FALSE, LEAST_FOUND = 0.05, 0.90
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
LOADS = ((67, 90), (92, 66), (98, 62))  # per cent of the capacity, by slots
JUDGED = [row for row in ROWS if row.metric not in (None, "itl") or row.name == "completed_rate"]


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


@dataclass(frozen=True)
class Situation:
    """A load, and how starts differ. `drift`: of the logarithm of the pace, first run to last."""

    name: str
    shape: Shape
    starts: float = 0.0  # sd of the logarithm of the pace from start to start
    drift: float = 0.0


@dataclass(frozen=True)
class Design:
    """So many starts of each of so many seconds."""

    starts: int
    seconds: float

    @property
    def name(self) -> str:
        return f"{self.starts} × {self.seconds:.0f} s"


DESIGNS = (Design(1, 60), Design(3, 60), Design(12, 15))
MOST_TOLD = 60  # starts of each: more are not simulated


def situations(shape: Shape) -> list[Situation]:
    """What the table is of; a shape without slots has no capacity to come near to."""
    found = [Situation(f"{load} % load", dataclasses.replace(shape, slots=slots)) for load, slots in LOADS]
    found = found if shape.slots else []
    wanders = dataclasses.replace(shape, wobble=0.05, wobble_time=20.0)
    return [
        *(found or [Situation("as recorded", shape)]),
        Situation("speed wanders by 5 % in 20 s", wanders),
        Situation("pace drifts by 5 %", shape, drift=0.05),
        Situation("starts differ by 5 % (sd)", shape, starts=0.05),
        Situation("starts differ by 12 % (sd)", shape, starts=0.12),
    ]


@dataclass(frozen=True)
class Outcomes:
    """Of `campaigns` of each kind: with any false mark, with the true 5 % found, with another verdict on it;
    how many runs of each the rest said would show it (the median), None where none did."""

    false: int
    found: int
    wrong: int
    needed: float | None
    campaigns: int


def campaigns(situation: Situation, design: Design, count: int) -> Outcomes:
    """`count` campaigns of a variant with itself, and as many with one whose tokens take SLOWER as long."""
    false = found = wrong = 0
    needed: list[float] = []
    for number in range(count):
        same = sides(situation, design, number, 1.0)
        false += any(each.mark in ("better", "worse") for each in claims_of(*same, apart(*same)))
        [tpot] = claims_of(*sides(situation, design, number, SLOWER), [ROW["tpot_p50"]])
        found += tpot.mark == "worse"
        wrong += tpot.mark == "better"
        if tpot.more_runs_s is not None:
            needed.append(tpot.more_runs or math.inf)
    return Outcomes(false, found, wrong, float(np.median(needed)) if needed else None, count)


def sides(situation: Situation, design: Design, number: int, slower: float) -> tuple[list[Run], list[Run]]:
    """The runs of a campaign, A B A B; `slower`: tokens of B take so many times as long."""
    chance = np.random.default_rng([number, 16])
    last, runs = max(2 * design.starts - 1, 1), ([], [])  # type: tuple[int, tuple[list[Run], list[Run]]]
    for place in range(2 * design.starts):
        pace = math.exp(situation.starts * chance.standard_normal() + situation.drift * place / last)
        side, shape = place % 2, situation.shape
        shape = dataclasses.replace(
            shape,
            duration=design.seconds,
            ttft=shape.ttft * pace,
            tpot=shape.tpot * pace * (slower if side else 1.0),
            seed=number,
            noise_seed=1000 * number + place,
            variant="AB"[side],
            started_at=f"2026-01-01T{place // 60:02d}:{place % 60:02d}:00+00:00",
        )
        runs[side].append(run_of(shape, f"{place:04d}"))
    return runs


def claims_of(baseline: list[Run], other: list[Run], rows: Sequence[Row], sharing: float = 1) -> list[Change]:
    """What a report says of these rows; `sharing`: looks that share the false claims."""
    groups = {"A": baseline, "B": other}
    pair, _ = changes.settle("A", "B", groups, _verdicts(groups), MINIMUM_EFFECT / 100, looks=sharing)
    return [changes.change(row, pair) for row in rows]


def _verdicts(groups: Mapping[str, list[Run]]) -> dict[str, str]:
    runs = [run for side in groups.values() for run in side]
    return {run.name: "SATURATED" if server.growing(run) else "VALID" for run in runs}


def made_of(baseline: list[Run], other: list[Run]) -> int:
    """How many repeats `compare` makes of these, looking after each."""
    most = len(baseline)
    for made in range(1, most):
        groups = {"A": baseline[:made], "B": other[:made]}
        found = looks.look(groups, _verdicts(groups), MINIMUM_EFFECT / 100, (made, most))
        if looks.ended(found, made, most, give_up=False):
            return made
    return most


def show_looks(shape: Shape, count: int) -> None:
    """Print the same of campaigns that end once all is decided, with how many repeats they made."""
    print(f"| load | starts of each | any false mark | {100 * (SLOWER - 1):.0f} % in TPOT found | made |")
    print("|---|---:|---:|---:|---:|")
    for situation in situations(shape)[: len(LOADS)]:
        false = found = repeats = 0
        for number in range(count):
            for slower in (1.0, SLOWER):
                both = sides(situation, DESIGNS[1], number, slower)
                made = made_of(*both)
                first, second = (side[:made] for side in both)
                rows = apart(first, second) if slower == 1 else [ROW["tpot_p50"]]
                told = claims_of(first, second, rows, looks.sharing(made, DESIGNS[1].starts))
                false += slower == 1 and any(each.mark in ("better", "worse") for each in told)
                found += slower > 1 and told[0].mark == "worse"
                repeats += made
        shares = " | ".join(f"{100 * each / count:.1f} %" for each in (false, found))
        print(f"| {situation.name} | {DESIGNS[1].name} | {shares} | {repeats / count / 2:.2f} |", flush=True)


def apart(baseline: list[Run], other: list[Run]) -> list[Row]:
    """The rows whose change exceeds the minimum effect size: no other can be marked."""
    found = []
    for row in JUDGED:
        first, second = (
            np.array([catalogue.figure(run, row).value for run in side], float) for side in (baseline, other)
        )
        change = intervals.change(first.mean(), second.mean()) if first.mean() else math.inf
        if not abs(change) <= MINIMUM_EFFECT / 200:  # half of it, since a drift that is taken out changes it
            found.append(row)
    return found


def show(shape: Shape, count: int) -> bool:
    """Print the table, a line as soon as it is known; whether the bounds hold."""
    holds = True
    found = f"{100 * (SLOWER - 1):.0f} % in TPOT found"
    print(f"\n| situation | starts of each | any false mark | {found} | else told |")
    print("|---|---:|---:|---:|---|")
    for situation in situations(shape):
        designs = list(DESIGNS)
        for design in designs:  # one more where starts differ: as many as the last said would do
            row = campaigns(situation, design, count)
            told = "" if row.needed is None else f"about {row.needed:.0f} of each would show it"
            shares = " | ".join(f"{100 * each / count:.1f} %" for each in (row.false, row.found))
            print(f"| {situation.name} | {design.name} | {shares} | {told} |", flush=True)
            settled = row.found >= LEAST_FOUND * count or row.needed is not None
            holds &= row.false <= MOST_FALSE * count and row.wrong <= MOST_FALSE / 2 * count and settled
            if situation.starts and design == DESIGNS[-1] and row.needed and row.needed <= MOST_TOLD:
                designs.append(Design(round(row.needed), design.seconds))
    return holds


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
        f"  the server's speed wanders by {100 * shape.wobble:.1f} % (sd), correlation time "
        f"{shape.wobble_time:.1f} s"
    )


def add_arguments(parser: ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("--campaigns", type=whole, default=200, help="of each kind (default: 200)")
    parser.add_argument("--only", choices=("history", "looks"), help="of history, or of looks")
    parser.add_argument("--from", dest="like", type=Path, metavar="RUN", help="a run folder to be like")


def run(given: Namespace) -> int:
    """Exit code 0 when the bounds hold, 1 when not."""
    if given.campaigns < 1:
        raise UsageError(f"--campaigns {given.campaigns}: must be 1 or more")
    if given.only == "history":
        show_history()
        return 0
    shape = shape_of(load_run(given.like)) if given.like else CHAT_MEDIUM
    if given.only == "looks":
        show_looks(shape, given.campaigns)
        return 0
    began = time.process_time()
    print(describe(shape))
    holds = show(shape, given.campaigns)
    print(
        f"\nof {given.campaigns} campaigns each; a mark is beyond {MINIMUM_EFFECT:g} % and the interval; "
        f"{time.process_time() - began:.0f} s of CPU"
    )
    return 0 if holds else 1
