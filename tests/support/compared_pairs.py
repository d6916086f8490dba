"""Many simulated pairs of runs, each through the report's statistics by itself: blocks of time, or repeats.

Without what one start leaves open, which would hide how wide these intervals are.
"""

import dataclasses
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from bench.synthetic import Shape
from bench.verdict import JUDGED, run_of
from reports.commands.compare import MINIMUM_EFFECT
from reports.comparison.claims import Setting, claim, estimate
from reports.comparison.pairs import by_time
from reports.metrics import catalogue
from reports.metrics.catalogue import HEADLINE
from reports.runs.runs import Run


@dataclass(frozen=True)
class Outcome:
    """How often each metric was called worse, better or neither, and in how many pairs which held."""

    marks: dict[str, Counter[str]]
    quiet: int  # pairs in which no headline metric was claimed to differ
    found: int  # pairs in which every headline metric was called worse
    pairs: int


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
