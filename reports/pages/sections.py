"""The sections of a report in their order: the body, then the appendices. Each is registered
(`section`), here or in a module named sections_….
"""

from collections.abc import Sequence

from reports import pages
from reports.document.decision import ParetoPoint
from reports.document.metric import Change, Metric
from reports.document.run import RunInfo
from reports.document.schema import Comparison, Variant
from reports.pages.blocks import Block, Cell, Drawing, Folded, Section, Table, Text, row
from reports.pages.first_screen import blocks, describe, mark_of, seeds
from reports.pages.section import SECTIONS, Charts, section
from reports.pages.sections_evidence import (
    compared,
    configuration,
    earlier,
    rules,
    shared_reasons,
    verdict,
    where_time_went,
)
from reports.pages.sections_parts import parts
from reports.text.formatting import listed, quantity, slo

WARNING = "⚠"


ORDER = (  # any other section follows these
    *("Audit", "Result", "Why", "What next"),
    *("Appendix A: all figures", "Appendix B: rules of the verdicts", "Appendix C: configuration"),
    *("Appendix D: roofline", "Appendix E: accounting"),
)
SECTIONS.discover(pages.__name__, pages.__path__, "sections_")


def sections(comparison: Comparison, charts: Charts) -> list[Section]:
    """Result, Why, What next; then the appendices. Each says why where it has nothing to show."""
    titles = sorted(SECTIONS, key=lambda title: ORDER.index(title) if title in ORDER else len(ORDER))
    made = [Section(title, SECTIONS[title](comparison, charts)) for title in titles]
    return [each for each in made if each.blocks]


@section("Result")
def _result(comparison: Comparison, charts: Charts) -> list[Block]:
    figure = Drawing(charts["comparison"]) if "comparison" in charts else None
    screen = describe(comparison)
    if comparison.audit:  # its section has said what to do
        screen = screen.model_copy(update={"next": None})
    return blocks(screen, figure)


@section("Appendix A: all figures")
def _all_figures(comparison: Comparison, charts: Charts) -> list[Block]:
    known = ("comparison", "roofline")
    drawn = [name for name in charts if name not in known and not name.startswith("timeline")]
    figures = [Drawing(charts[name]) for name in drawn]
    return [*_results(comparison), where_time_went(comparison), *figures]


@section("Appendix B: rules of the verdicts")
def _all_rules(comparison: Comparison, charts: Charts) -> list[Block]:
    return [_verdicts(comparison), *rules(comparison)]


@section("Appendix C: configuration")
def _set_up(comparison: Comparison, charts: Charts) -> list[Block]:
    known = [facts(comparison), *_optimizations(comparison)]
    return [*known, *configuration(comparison), *earlier(comparison)]


def facts(comparison: Comparison) -> Table:
    """What was measured on what."""
    first = comparison.runs[0] if comparison.runs else None
    told = [
        ("Written", comparison.written_at or "not said"),
        ("Model", comparison.model),
        *_machines(comparison),
        ("Workload", f"{_workload(first)}, {seeds(comparison.runs)}; SLO: {slo(comparison.slo)}"),
        ("Measured tokens per request", _tokens(comparison.runs)),
        ("Duration", _duration(comparison.runs)),
        ("Versions", _versions(first)),
    ]
    return Table("", ["", ""], [row(name, text) for name, text in told])


def _verdicts(comparison: Comparison) -> Table:
    rows = [row(run.run, run.variant, verdict(run.verdict), because(run)) for run in comparison.runs]
    rows += [
        row(run.run, run.variant, verdict(run.verdict), f"{because(run)}: excluded, other repeats stand in")
        for run in comparison.excluded
    ]
    return Table("", ["run", "variant", "verdict", "because"], rows)


def _machines(comparison: Comparison) -> list[tuple[str, str]]:
    """The server, its hardware, and the load's machine where that is another or may be."""
    target = "" if comparison.target == "unknown" else f"target {comparison.target}"
    if comparison.server is None:
        return [("Hardware", comparison.hardware + (f" ({target})" if target else ""))]
    unknown = "" if comparison.load_from is None else "its hardware is not known"
    told = "; ".join(part for part in ("not launched by us", unknown, target) if part)
    rows = [("Server", f"{comparison.server} ({told})")]
    if comparison.hardware != "unknown":
        rows.append(("Hardware", comparison.hardware))
    return rows + ([] if comparison.load_from is None else [("Load from", comparison.load_from)])


def _workload(run: RunInfo | None) -> str:
    if run is None:
        return "n/a"
    rate = "n/a" if run.rate is None else f"{quantity(run.rate)} arrivals/s"
    arrivals = run.conditions.get("arrivals")
    kind = f", {arrivals} arrivals" if arrivals else ""
    tokens = [
        f"{key} {run.conditions[key]}" for key in ("input tokens", "output tokens") if run.conditions.get(key)
    ]
    return ", ".join([f"{run.scenario_name} ({run.scenario_hash})", f"{rate}{kind}", *tokens])


def _tokens(runs: Sequence[RunInfo]) -> str:
    """Mean tokens of the prompts and answers that completed; by variant where they are not the same."""
    names: dict[str, list[str]] = {}
    for run in runs:
        means = [run.conditions.get(f"mean {what} tokens") for what in ("prompt", "output")]
        shown = [quantity(mean) if isinstance(mean, int | float) else "not counted" for mean in means]
        names.setdefault(f"in {shown[0]}, out {shown[1]}", []).append(run.variant)
    if len(names) == 1:
        return f"{next(iter(names))} on average of the completed requests"
    told = [f"{listed(list(dict.fromkeys(who)))}: {text}" for text, who in names.items()]
    return f"{'; '.join(told)} (means of the completed requests)" if told else "n/a"


def _versions(run: RunInfo | None) -> str:
    known = {} if run is None else run.conditions
    names = ("vLLM", "tokenswarm", "locust", "python", "kernel")
    told = {name: str(known[name]) for name in names if known.get(name)}
    if "tokenswarm" in told:
        told["tokenswarm"] = told["tokenswarm"][:12]  # of a commit that is enough
    return ", ".join(f"{name} {version}" for name, version in told.items()) or "not said"


def _duration(runs: Sequence[RunInfo]) -> str:
    """The window that is judged, and how long after the last arrival each run went on."""
    if not runs:
        return "n/a"
    windows = list(dict.fromkeys(f"{quantity(run.window_s)} s" for run in runs))
    ends = list(dict.fromkeys(f"{quantity(run.drained_at)} s" for run in runs))
    return f"window of {listed(windows)}; {'the runs' if runs[1:] else 'the run'} ended after {listed(ends)}"


def because(run: RunInfo) -> str:
    """Why it has its verdict, in words; the rules tell the whole."""
    failed = [rule for rule in run.rules if not rule.passed and rule.verdict == run.verdict]
    told = [rule.text.split(";")[0] for rule in failed]
    open_ = [] if run.ended == "complete" else [run.ended]
    warned = sum(not rule.passed and rule.verdict == "VALID" for rule in run.rules)
    return "; ".join([*open_, *told[:2]]) or (f"{warned} warning" if warned else "every rule passed")


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
    made: list[Block] = [] if others else [_table_alone(comparison)]
    for other in others:
        made.append(_table_of(comparison, other))
        made += [Text(f"{reason}.", "Not comparable: ") for reason in shared_reasons(comparison, other)]
        made += [Text(f"{warning}.", f"{WARNING} ") for warning in _warnings(comparison, other)]
    made += parts(comparison)
    for method in comparison.methods:
        made.append(Text(method.text, f"{method.variant}, how the intervals were computed. "))
    if len(comparison.pareto) > 2:
        made.append(_pareto(comparison))
    made.append(Text("docs/metrics.md defines each figure and rule."))
    definitions = [row(metric.label, metric.definition) for metric in comparison.metrics]
    made.append(Folded("What each figure is", [Table("", ["figure", "definition"], definitions)]))
    return made


def _table_of(comparison: Comparison, other: str) -> Table:
    columns = [
        "",
        "unit",
        comparison.baseline,
        other,
        "change",
        f"{comparison.sure} interval",
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
                _mark(comparison, metric, change, shared, warned),
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


def _mark(
    comparison: Comparison, metric: Metric, change: Change | None, shared: list[str], warned: str
) -> Cell:
    """The mark in words; why, where nothing is claimed and that is not `shared`; that a run was SATURATED
    in the line itself, what that means below the table."""
    if change is None:
        return Cell("n/a", "quiet")
    text, tone = mark_of(metric, change, comparison.minimum_effect)
    if change.mark in ("unstable", "not comparable") and change.reason not in shared:
        text += f": {change.reason}"
    if change.warning:
        text += f" {warned}"
    return Cell(text, tone)


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
            _number(point.slo_attainment, 100),
            _standing(point),
            "n/a" if point.meets_slo is None else "yes" if point.meets_slo else "no",
        )
        for point in comparison.pareto
    ]
    columns = ["variant", "tok/s", "TTFT p50, ms", "TPOT p50, ms", "completed/s", "SLO attainment, %"]
    columns += ["throughput against TTFT", "meets the SLO"]
    return Table("All variants", columns, rows, frozenset({1, 2, 3, 4, 5}))


def _number(value: float | None, factor: float = 1.0) -> Cell:
    return Cell("n/a") if value is None else Cell(quantity(factor * value), sort=value)


def _standing(point: ParetoPoint) -> Cell:
    if not point.usable:
        return Cell("its run cannot be used", "quiet")
    return Cell("▲ Pareto-optimal", "good") if point.pareto_optimal else Cell("dominated", "quiet")
