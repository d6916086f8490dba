"""Does a run that is stopped early ever turn a claim round? `tokenswarm bench stopping`.

Simulates pairs of runs of two queueing servers under the same arrivals, of which many fall behind. Each pair
is compared as it is, and as it would be had the runs been stopped where that is beyond doubt.
"""

import dataclasses
import time
from argparse import ArgumentParser, Namespace
from collections import Counter

import numpy as np

from bench.synthetic import Shape, Truth, make_manifest, simulate, stopped
from bench.verdict import CHAT_MEDIUM, JUDGED, recorded
from common.usage import UsageError, whole
from reports.comparison.changes import change, settle
from reports.runs.runs import Run
from reports.verdict.rules import server

LOADS, SLOWER = (0.7, 1.8), (0.75, 1.35)  # offered / capacity, the first's; the second's times
DRAIN = 20.0  # s; about what the longest answer of such a load may take under the SLO
AROUND = 9.0  # s; what a run takes around itself
Marks = dict[str, str]


def pair(number: int) -> tuple[list[Run], list[Run], float, float]:
    """The whole runs of a pair, the same stopped, and how many seconds both take."""
    rng = np.random.default_rng(number)
    load, slower = rng.uniform(*LOADS), rng.uniform(*SLOWER)
    shape = dataclasses.replace(
        CHAT_MEDIUM, slots=max(int(CHAT_MEDIUM.rate * CHAT_MEDIUM.service / load), 4), seed=number
    )
    other = dataclasses.replace(shape, ttft=shape.ttft * slower, tpot=shape.tpot * slower)
    every, cut, seconds = [], [], [0.0, 0.0]
    for noise, (variant, each) in enumerate((("A", shape), ("B", other))):
        each = dataclasses.replace(each, variant=variant, noise_seed=2 * number + noise)
        truth = simulate(each)
        early = stopped(truth, DRAIN)
        every.append(recorded(each, truth, variant))
        cut.append(every[-1] if early is None else _recorded(each, *early, variant))
        seconds[0] += truth.drained_at + AROUND
        seconds[1] += (truth if early is None else early[0]).drained_at + AROUND
    return every, cut, seconds[0], seconds[1]


def _recorded(shape: Shape, truth: Truth, why: str, name: str) -> Run:
    run = recorded(shape, truth, name)
    asked = {"start": truth.window[0], "end": shape.warmup + shape.duration}
    told = make_manifest(name, shape, truth) | {"window": asked, "schedule_end": truth.window[1]}
    manifest = type(run.manifest).model_validate(told | {"stopped_early": why})
    return dataclasses.replace(run, manifest=manifest)


def marks(runs: list[Run]) -> Marks:
    """What the comparison says of each figure."""
    verdicts = {run.name: "SATURATED" if server.saturated(run) else "VALID" for run in runs}
    found, _ = settle("A", "B", {run.name: [run] for run in runs}, verdicts, 0.03)
    return {row.name: change(row, found).mark for row in JUDGED}


def add_arguments(parser: ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("--pairs", type=whole, default=500, help="of runs (default: 500)")


def run(given: Namespace) -> int:
    """Print what came of it. Exit code 0 where no claim was turned round and each stopped run is SATURATED as
    a whole, too; else 1."""
    if given.pairs < 1:
        raise UsageError(f"--pairs {given.pairs}: must be 1 or more")
    began, counts, spent = time.process_time(), Counter[str](), np.zeros(2)
    for number in range(given.pairs):
        every, cut, *seconds = pair(number)
        early = [whole for whole, one in zip(every, cut, strict=True) if one is not whole]
        if not early:
            continue
        spent += seconds
        counts["pairs"] += 1
        counts["runs"] += len(early)
        counts["not saturated"] += sum(not server.saturated(run) for run in early)
        before, after = marks(every), marks(cut)
        for name, mark in before.items():
            claimed = mark in ("better", "worse"), after[name] in ("better", "worse")
            counts["turned"] += all(claimed) and mark != after[name]
            counts["kept"] += all(claimed) and mark == after[name]
            counts["lost"] += claimed[0] and not claimed[1]
            counts["new"] += claimed[1] and not claimed[0]
    print(f"{given.pairs} pairs; in {counts['pairs']} a run is stopped, {counts['runs']} runs in all")
    print(f"stopped, though the whole run is not SATURATED: {counts['not saturated']}")
    print(f"claims: {counts['turned']} turned round, {counts['kept']} kept, {counts['lost']} no longer made,")
    print(f"  {counts['new']} made of the stopped runs alone")
    if counts["pairs"]:
        print(f"time of these pairs: {spent[1] / spent[0]:.2f} of the whole runs'")
    print(f"{time.process_time() - began:.0f} s of CPU")
    return 1 if counts["turned"] or counts["not saturated"] else 0
