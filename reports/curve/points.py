"""What each run of a curve says at its rate, with intervals, and what may be claimed of two at one rate."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from common import commandline
from reports.comparison import resampling
from reports.comparison.changes import change, settle
from reports.comparison.pairs import blocks_of
from reports.document.metric import Change
from reports.metrics import catalogue
from reports.metrics.catalogue import ROW, Row
from reports.runs.runs import Run
from reports.statistics import intervals
from reports.statistics.crossing import Crossing, Redraw, crossing
from reports.verdict.judge import judge
from reports.verdict.rule import Verdict
from reports.verdict.slo import Standing, standing, state_of, step_of

ROWS = tuple(
    ROW[name] for name in ("slo_attainment", "ttft_p50", "ttft_p99", "tpot_p50", "output_token_throughput")
)
SUSTAINED = (Verdict.VALID.label, Verdict.TOO_SHORT.label)


@dataclass(frozen=True)
class Reading:
    """A figure with its 95 % interval, in SI units; of a percentile beyond the data only what it is above."""

    value: float | None
    low: float | None = None
    high: float | None = None
    above: float | None = None


@dataclass(frozen=True)
class Point:
    """One variant at one rate."""

    variant: str
    rate: float  # asked for
    run: Run

    @cached_property
    def verdict(self) -> str:
        return judge(self.run).verdict.label

    @property
    def fell_behind(self) -> bool:
        """Whether its server could not keep up with the rate."""
        return self.verdict == Verdict.SATURATED.label

    @property
    def sustained(self) -> bool:
        """Whether its figures are those of a server alone that kept up; else nobody can choose it."""
        return self.verdict in SUSTAINED

    @cached_property
    def standing(self) -> Standing | None:
        """What it says of the SLO; None for a scenario without one."""
        return standing(self.run, judge(self.run).rules) if self.run.manifest.scenario.get("slo") else None

    @cached_property
    def readings(self) -> Mapping[str, Reading]:
        return {row.name: _reading(self.run, row) for row in ROWS}

    @property
    def gpus(self) -> int:
        """Of its server, as its command says."""
        return gpus(self.run)

    @property
    def per_user(self) -> float | None:
        """Tokens/s that one user sees: 1 / TPOT p50."""
        value = self.readings["tpot_p50"].value
        return 1 / value if value else None

    @property
    def per_gpu(self) -> float:
        """Output tokens/s of one GPU."""
        return (self.readings["output_token_throughput"].value or 0.0) / self.gpus


def gpus(run: Run) -> int:
    """How many GPUs its server was told to use; 1 where nothing says otherwise."""
    return commandline.gpus(commandline.words(run.manifest.server or {}))


def divisor(points: Sequence[Point]) -> str:
    """Whose tokens/s `per_gpu` is, in a word: a server whose launcher found a CPU has no GPU."""
    hardware = [(point.run.manifest.server or {}).get("hardware") or {} for point in points]
    return "machine" if {each.get("kind") for each in hardware} == {"cpu"} else "GPU"


def _reading(run: Run, row: Row) -> Reading:
    found = catalogue.figure(run, row)
    if found.value is None:
        return Reading(None, above=found.lower_bound)
    blocks = blocks_of(run)
    draws = resampling.draws(run, row, blocks)
    together = max(resampling.clustering(run, row, blocks), blocks.together if row.waits else 1.0)
    interval = intervals.expanded_interval(draws, blocks.count / together)
    if interval is None:
        return Reading(found.value)
    low, high = interval.low, interval.high
    if row.unit == "share":
        low, high = max(low, 0.0), min(high, 1.0)
    return Reading(found.value, low, high if np.isfinite(high) else None)


def changes(before: Point, after: Point, minimum_effect: float) -> dict[str, Change]:
    """The marks of one variant against another at one rate, by row, as a report of the two has them."""
    verdicts = {each.run.name: each.verdict for each in (before, after)}
    groups = {each.variant: [each.run] for each in (before, after)}
    pair, _ = settle(before.variant, after.variant, groups, verdicts, minimum_effect)
    return {row.name: change(row, pair) for row in ROWS}


def limit(points: Sequence[Point], slo: Mapping[str, float], redraw: Redraw | None) -> Crossing | None:
    """The rate at which a variant leaves the SLO, from all its points together; None where they cannot say:
    all met it, or all missed it."""
    share = float(slo.get("share") or 0.99)
    found = [(point, point.standing) for point in points if point.standing is not None]
    states = [state_of(standing, share)[0] for _, standing in found]
    if not {"met", "missed"} <= set(states):
        return None
    steps = [
        step_of(point.run, point.rate, standing)
        for (point, standing), state in zip(found, states, strict=True)
        if state != "unclear"
    ]
    middle = float(np.exp(np.mean([np.log(step.rate) for step in steps])))
    return crossing(steps, 1 - share, middle, slo.get("ttft"), redraw)


def front(points: Sequence[Point], minimum_effect: float) -> list[Point]:
    """The sustained points that no other of them is better than: neither in tokens/s per user nor per GPU by
    more than the minimum effect size without being worse in the other."""
    known = [point for point in points if point.sustained and point.per_user is not None]
    return [point for point in known if not any(_beats(other, point, minimum_effect) for other in known)]


def _beats(other: Point, point: Point, minimum_effect: float) -> bool:
    gains = (other.per_user or 0.0) / (point.per_user or 1.0), other.per_gpu / max(point.per_gpu, 1e-12)
    return max(gains) > 1 + minimum_effect and min(gains) >= 1
