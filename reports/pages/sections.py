"""The sections of a report, in their order: the body, then the appendices.

Of another tool's result files, the audit stands before them.
"""

from collections.abc import Mapping, Sequence

from reports.charts.chart import Chart
from reports.document.schema import Change, Comparison, ParetoPoint, RunInfo, Variant
from reports.pages.blocks import (
    Block,
    Cell,
    Drawing,
    Folded,
    Section,
    Table,
    Text,
    quantity,
    row,
)
from reports.pages.sections_audit import audit_blocks
from reports.pages.sections_evidence import (
    accounting,
    compared,
    configuration,
    earlier,
    files,
    insights,
    recommendations,
    shared_reasons,
    verdict,
)
from reports.pages.sections_parts import parts
from reports.pages.sections_roofline import roofline_blocks
from reports.text.formatting import listed, slo

MARKS = {
    "better": Cell("▲ better", "good"),
    "worse": Cell("▼ worse", "bad"),
    "no difference shown": Cell("= no difference shown", "quiet"),
    "unstable": Cell("~ unstable", "doubt"),
    "not comparable": Cell("? not comparable", "doubt"),
}
WARNING = "⚠"


def sections(comparison: Comparison, charts: Mapping[str, Chart]) -> list[Section]:
    """Result, Why, What next; then the appendices. Each says why where it has nothing to show."""
    audit = [] if comparison.audit is None else [Section("Audit", audit_blocks(comparison.audit))]
    others = [name for name in charts if name not in ("comparison", "roofline")]
    timelines = [Drawing(charts[name]) for name in others if name.startswith("timeline")]
    figures = [Drawing(charts[name]) for name in others if not name.startswith("timeline")]
    first = Drawing(charts["comparison"]) if "comparison" in charts else None
    return [
        *audit,
        Section("Result", result(comparison, first)),
        Section("Why", why(comparison)),
        Section("What next", recommendations(comparison)),
        Section("Appendix A: all figures", [*_results(comparison), *figures]),
        Section("Appendix B: rules of the verdicts", rules(comparison)),
        Section("Appendix C: configuration", [*_optimizations(comparison), *configuration(comparison)]),
        Section("Appendix D: roofline", roofline_blocks(comparison, charts.get("roofline"))),
        Section("Appendix E: accounting", [*accounting(comparison), *timelines, *files(comparison)]),
    ]


def because(run: RunInfo) -> str:
    """Which rules failed; what they saw stands among the warnings."""
    failed = [
        rule.rule.replace("_", " ") + (" (a warning)" if rule.verdict == "VALID" else "")
        for rule in run.rules
        if not rule.passed
    ]
    open_ = [] if run.ended == "complete" else [run.ended]
    return "; ".join([*open_, *failed]) or "every rule passed"


def _optimizations(comparison: Comparison) -> list[Block]:
    rows = [
        row(
            variant.name,
            variant.changes or "not said",
            variant.expected or "not said",
            _applied(variant),
            variant.result,
        )
        for variant in comparison.variants
    ]
    return [Table("", ["variant", "what it changes", "expected", "applied", "result"], rows)]


def _applied(variant: Variant) -> Cell:
    if not variant.applied:
        return Cell(f"N/A: {variant.reason}", "doubt")
    return Cell("yes") if variant.command_line else Cell("not known: not launched by us", "doubt")


def _results(comparison: Comparison) -> list[Block]:
    others = compared(comparison)
    blocks: list[Block] = [] if others else [_table_alone(comparison)]
    for other in others:
        blocks.append(_table_of(comparison, other))
        blocks += [Text(f"{reason}.", "Not comparable: ") for reason in shared_reasons(comparison, other)]
        blocks += [Text(f"{warning}.", f"{WARNING} ") for warning in _warnings(comparison, other)]
    blocks += parts(comparison)
    for method in comparison.methods:
        blocks.append(Text(method.text, f"{method.variant}, how sure. "))
    if len(comparison.pareto) > 2:
        blocks.append(_pareto(comparison))
    definitions = [row(metric.label, metric.definition) for metric in comparison.metrics]
    blocks.append(Folded("What each figure is", [Table("", ["figure", "definition"], definitions)]))
    return blocks


def _table_of(comparison: Comparison, other: str) -> Table:
    columns = [
        "",
        "unit",
        comparison.baseline,
        other,
        "change",
        f"{100 * comparison.confidence:.0f} % interval",
        "",
        "n",
    ]
    rows, shared, warned = [], shared_reasons(comparison, other), _warned(comparison, other)
    for metric in comparison.metrics:
        readings = {reading.variant: reading for reading in metric.readings}
        before, after = readings.get(comparison.baseline), readings.get(other)
        change = next((each for each in metric.changes if each.variant == other), None)
        if before is None or after is None:
            continue
        rows.append(
            row(
                metric.label,
                metric.display_unit,
                Cell(before.display, sort=before.value),
                Cell(after.display, sort=after.value),
                Cell(change.display if change else "n/a", sort=change.change if change else None),
                change.display_interval if change else "n/a",
                _mark(change, shared, warned),
                _counts(before.count, after.count),
            )
        )
    return Table(f"{other} against {comparison.baseline}", columns, rows, frozenset({2, 3, 4, 5, 7}))


def _counts(before: int, after: int) -> str:
    """'1,207', or '180,556 / 149,048' where the two differ."""
    return f"{before:,}" if before == after else f"{before:,} / {after:,}"


def _warnings(comparison: Comparison, other: str) -> list[str]:
    """What the short mark in the lines of the table stands for."""
    changes = [change for metric in comparison.metrics for change in metric.changes]
    return list(dict.fromkeys(each.warning for each in changes if each.variant == other and each.warning))


def _warned(comparison: Comparison, other: str) -> str:
    """'⚠ optimized SATURATED': the warning as it stands in a line of the table."""
    names = [
        each.name
        for each in comparison.variants
        if each.name in (comparison.baseline, other) and "SATURATED" in each.verdicts
    ]
    return f"{WARNING} {'both' if len(names) == 2 else listed(names or [other])} SATURATED"


def _mark(change: Change | None, shared: list[str], warned: str) -> Cell:
    """The mark in words; why, where nothing is claimed and that is not `shared`; that a run was SATURATED
    in the line itself, what that means below the table."""
    if change is None:
        return Cell("n/a", "quiet")
    mark = MARKS[change.mark]
    text = mark.text
    if change.mark in ("unstable", "not comparable") and change.reason not in shared:
        text += f": {change.reason}"
    if change.warning:
        text += f" {warned}"
    return Cell(text, mark.tone)


def _table_alone(comparison: Comparison) -> Table:
    rows = [
        row(
            metric.label, metric.display_unit, Cell(reading.display, sort=reading.value), f"{reading.count:,}"
        )
        for metric in comparison.metrics
        for reading in metric.readings[:1]
    ]
    return Table(
        "One variant, so no changes", ["", "unit", comparison.baseline, "n"], rows, frozenset({2, 3})
    )


def _pareto(comparison: Comparison) -> Table:
    rows = [
        row(
            point.variant,
            Cell(quantity(point.output_token_throughput), sort=point.output_token_throughput),
            Cell(quantity(1000 * point.ttft_p50), sort=point.ttft_p50),
            _number(point.tpot_p50, 1000),
            _number(point.completed_rate),
            _number(point.goodput_share, 100),
            _standing(point),
            "n/a" if point.meets_slo is None else "yes" if point.meets_slo else "no",
        )
        for point in comparison.pareto
    ]
    columns = ["variant", "tok/s", "TTFT p50, ms", "TPOT p50, ms", "completed/s", "goodput, %"]
    columns += ["throughput against TTFT", "holds the SLO"]
    return Table("All variants", columns, rows, frozenset({1, 2, 3, 4, 5}))


def _number(value: float | None, factor: float = 1.0) -> Cell:
    return Cell("n/a") if value is None else Cell(quantity(factor * value), sort=value)


def _standing(point: ParetoPoint) -> Cell:
    if not point.usable:
        return Cell("its run cannot be used", "quiet")
    return Cell("▲ nothing beats it", "good") if point.unbeaten else Cell("beaten", "quiet")
