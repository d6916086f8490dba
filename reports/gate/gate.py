"""A gate: what was held against what, case by case, and whether all of it may pass.

What cannot be told fails a gate as well: a measurement that broke is no reason to merge.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from reports.document.decision import Decision
from reports.document.schema import Comparison, Variant
from reports.text import formatting

EXIT_CODE = 7  # of a gate that did not pass; 3 to 6 and 8 are the runs' verdicts
REASONS = ("worse", "slo")  # what --fail-on takes
# What a user feels, one row each, so that chance has few occasions; every row stands in the report.
FIGURES = ("completed_rate", "ttft_p50", "ttft_p99", "tpot_p50", "latency_p50", "slo_attainment", "failed")

State = Literal["failed", "error", "passed", "skipped"]  # error: it could not be told


@dataclass(frozen=True)
class Case:
    """One figure of one variant or run. `before`, `now`, `change`: as people read them, with their units."""

    subject: str
    figure: str
    state: State
    text: str  # why, in one clause
    before: str = ""
    now: str = ""
    change: str = ""


@dataclass(frozen=True)
class Gate:
    """All cases; `setup`: the conditions, in one line."""

    name: str
    cases: Sequence[Case]
    setup: str

    @property
    def failing(self) -> list[Case]:
        return [case for case in self.cases if case.state in ("failed", "error")]

    @property
    def exit_code(self) -> int:
        return EXIT_CODE if self.failing else 0

    @property
    def headline(self) -> str:
        """What came out, in one line."""
        if self.failing:
            return f"Gate failed: {self.failing[0].subject}, {self.failing[0].figure}: {self.failing[0].text}"
        passed = sum(case.state == "passed" for case in self.cases)
        rest = len(self.cases) - passed
        return f"Gate passed: {passed} cases" + (f"; {rest} could not be judged" if rest else "")


def of_comparison(found: Comparison, fail_on: Collection[str], setup: str) -> Gate:
    """The gate of a report. `fail_on`: of REASONS."""
    cases = [case for variant in found.variants for case in _variant(found, variant, fail_on)]
    return Gate(found.name, cases, setup)


def _variant(found: Comparison, variant: Variant, fail_on: Collection[str]) -> Iterator[Case]:
    if variant.name == found.baseline:
        return
    decision = next((each for each in found.decisions if each.variant == variant.name), None)
    if decision is None:
        yield Case(variant.name, "start", "error", variant.reason or "it was not served")
        return
    if decision.kind == "cannot tell":
        yield Case(variant.name, "measurement", "error", decision.reason)
        return
    if "worse" in fail_on:
        yield from _worse(found, decision)
    if "slo" in fail_on:
        yield _slo(found, variant.name)


def _worse(found: Comparison, decision: Decision) -> Iterator[Case]:
    """A case for each figure; it fails where the report claims that the variant is worse."""
    for metric in found.metrics:
        if metric.name not in FIGURES:
            continue
        change = next(each for each in metric.changes if each.variant == decision.variant)
        before, now = (
            next(each.display for each in metric.readings if each.variant == name)
            for name in (found.baseline, decision.variant)
        )
        unit = formatting.after(metric.display_unit)
        state: State = "failed" if change.mark == "worse" else "passed"
        if change.mark in ("not comparable", "unstable"):
            state = "skipped"
        told = change.display if change.low is None else f"{change.display} ({change.display_interval})"
        text = f"{change.mark}, {change.reason}"
        yield Case(decision.variant, metric.label, state, text, f"{before}{unit}", f"{now}{unit}", told)


def _slo(found: Comparison, variant: str) -> Case:
    """Whether the variant meets the scenario's SLO at this rate."""
    asked = (found.slo or {}).get("share")
    point = next((each for each in found.pareto if each.variant == variant), None)
    if found.slo is None or point is None or point.meets_slo is None or point.slo_attainment is None:
        return Case(variant, "SLO", "error", "whether the SLO is met is not known")
    share = f"{100 * point.slo_attainment:.1f} % of arrivals meet it"
    wanted = f"{formatting.number(100 * asked, '%')} % are asked" if isinstance(asked, float) else ""
    fell = any("SATURATED" in each.verdicts for each in found.variants if each.name == variant)
    text = ", ".join(part for part in (share, wanted, "the server fell behind" if fell else "") if part)
    return Case(
        variant, "SLO", "passed" if point.meets_slo else "failed", text, now=share.partition(" of")[0]
    )
