"""Everything that comparison.json holds: a pure function of the runs.

The baseline's runs come first; each other variant is judged against them, in pairs of arrivals where
the schedules are the same.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from reports.comparison import changes, claims, comparability, exclusions, served_only
from reports.comparison.breakdown import parts
from reports.comparison.pairs import Pair
from reports.comparison.pareto import pareto
from reports.comparison.survivors_only import completed_only
from reports.document.decision import Decision, Insight, ParetoPoint, Recommendation
from reports.document.lookup import Facts
from reports.document.metric import Metric, Reading
from reports.document.run import Counts, Rule, RunInfo
from reports.document.schema import Comparison, Earlier, File, Variant
from reports.findings import decision_words, insights, make_command, recommend
from reports.metrics import catalogue, request_metrics
from reports.metrics.catalogue import HEADLINE, ROWS, Row
from reports.metrics.instrument import client_error
from reports.metrics.server_side import server_side
from reports.metrics.stalls import stalls
from reports.roofline import bounds
from reports.roofline.forecasts import forecasts
from reports.runs.conditions import conditions, differences
from reports.runs.earlier import earlier_runs
from reports.runs.index import Entry
from reports.runs.machines import machines, one_server
from reports.runs.runs import Run
from reports.runs.selection import NotApplied
from reports.text import formatting
from reports.verdict import validity
from reports.verdict.rule import Rule as Judged

NOT_TOLD = "not in the file"
EARLIER = (*HEADLINE, "ttft_p99", "output_token_throughput", "completed_rate")


def assemble(
    runs: Sequence[Run],
    *,
    baseline: str,
    minimum_effect: float,
    name: str,
    command: str,
    floors: Mapping[str, float] = claims.FLOORS,
    labels: Mapping[str, str] | None = None,
    note: str | None = None,
    not_applied: Sequence[NotApplied] = (),
    known_runs: Sequence[Entry] = (),
    looks: float = 1,
    written_at: str | None = None,
) -> Comparison:
    """Everything of the report. `minimum_effect`: a fraction. `known_runs`: of the history. `looks`: how
    often the runs are looked at.

    One variant alone gives a report without changes. Disturbed repeats are excluded from all figures
    where sound ones stand in (`exclusions`).
    """
    groups, infos, excluded = _sound(runs, baseline)
    ordered = [run for group in groups.values() for run in group]
    verdicts = {info.run: info.verdict for info in infos}
    others = [name for name in groups if name != baseline]
    settled = [
        changes.settle(baseline, name, groups, verdicts, minimum_effect, floors, known_runs, looks)
        for name in others
    ]
    pairs, loads = [pair for pair, _ in settled], [each for _, found in settled for each in found]
    rows = [_metric(row, groups, pairs) for row in ROWS if not row.of_gpu or _any_has(row, ordered)]
    variants = [_variant(variant, group, verdicts) for variant, group in groups.items()]
    variants += [_absent(each) for each in not_applied]
    first = groups[baseline][0].manifest
    slo = first.scenario.get("slo") or None
    facts = Facts(baseline, minimum_effect, {row.name: row for row in rows}, variants, infos, slo)
    for variant in variants:
        if variant.runs:
            variant.result = result_line(facts, variant.name)
    server = {info.run: info.server for info in infos}
    roofline = bounds.describe(ordered, server)
    roofline.forecasts = forecasts(ordered, server)
    points = pareto(facts)
    found = machines(groups)
    again = make_command.conditions(groups[baseline][0], found.hosts, [each.name for each in variants])
    methods = [pair.method for pair in pairs]
    decisions = [
        decision_words.decided(facts, variant.name, methods, one_server(groups)) for variant in facts.others
    ]
    title, urgent = _overall(facts, decisions, points)
    advice = make_command.under_same_conditions([*urgent, *recommend.recommendations(facts)], again)
    for each in decisions:
        [each.next] = make_command.under_same_conditions([each.next], again)
    return Comparison(
        name=name,
        written_at=written_at,
        command=command,
        target=first.target or "unknown",
        model=first.model or "unknown",
        hardware=found.hardware,
        server=found.server,
        load_from=found.load_from,
        scenario_name=first.scenario_name or "unknown",
        slo=slo,
        minimum_effect=minimum_effect,
        confidence=claims.level(looks),
        baseline=baseline,
        floors=dict(floors),
        labels=dict(labels or {}),
        note=note,
        title=title,
        decisions=decisions,
        variants=variants,
        runs=infos,
        excluded=excluded,
        metrics=rows,
        parts=parts(groups),
        methods=methods,
        conditions=[
            *differences({run.name: conditions(run) for run in ordered}),
            *loads,
        ],
        insights=[*insights.insights(facts), *_served(baseline, groups)],
        recommendations=recommend.ordered(advice),
        roofline=roofline,
        completed_only=[line for group in groups.values() for line in completed_only(group[0])],
        pareto=points,
        earlier=_earlier(groups, known_runs, own={info.run for info in (*infos, *excluded)}),
        files=_files(),
    )


def _sound(runs: Sequence[Run], baseline: str) -> tuple[dict[str, list[Run]], list[RunInfo], list[RunInfo]]:
    """(each variant's runs, what they say, what those say that are excluded); the baseline first."""
    groups: dict[str, list[Run]] = {baseline: []}
    for run in runs:
        groups.setdefault(run.manifest.variant, []).append(run)
    repeats = [[run_info(run, number) for number, run in enumerate(group, 1)] for group in groups.values()]
    excluded = [info for group in repeats for info in exclusions.excluded(group)]
    kept = {variant: exclusions.without(excluded, group) for variant, group in groups.items()}
    names = {run.name for group in kept.values() for run in group}
    return kept, [info for group in repeats for info in group if info.run in names], excluded


def _any_has(row: Row, runs: Sequence[Run]) -> bool:
    return any(catalogue.figure(run, row).value is not None for run in runs)


def _metric(row: Row, groups: dict[str, list[Run]], pairs: Sequence[Pair]) -> Metric:
    figures = {variant: [catalogue.figure(run, row) for run in group] for variant, group in groups.items()}
    definition = next(iter(figures.values()))[0].definition
    return Metric(
        name=row.name,
        label=row.label,
        unit=row.unit,  # type: ignore[arg-type]
        display_unit=row.display_unit,
        better=row.better,
        latency=row.latency,
        definition=definition,
        readings=[_reading(row, groups[variant], found) for variant, found in figures.items()],
        changes=[changes.change(row, pair) for pair in pairs],
    )


def _reading(row: Row, runs: Sequence[Run], found: Sequence[request_metrics.Figure]) -> Reading:
    value, bound = claims.value_of(found)
    told = all(catalogue.untold(run, row) is None for run in runs)
    shown = (
        formatting.NOT_GIVEN if changes.thin(row, runs) else formatting.number(value, row.display_unit, bound)
    )
    return Reading(
        variant=runs[0].manifest.variant,
        value=value,
        lower_bound=bound,
        count=sum(figure.count for figure in found),
        by_run=[figure.value for figure in found],
        display=shown if told else NOT_TOLD,
    )


def run_info(run: Run, repeat: int) -> RunInfo:
    """What one run says, with its verdict; `repeat`: which one of its variant it is, from 1."""
    manifest, rules = run.manifest, validity.check(run)
    verdict = validity.verdict(rules)
    return RunInfo(
        run=run.name,
        variant=manifest.variant,
        repeat=repeat,
        verdict=verdict.label,
        elsewhere="" if (who := validity.who(run, verdict)) == validity.WHO[verdict] else who,
        rules=[_rule(rule) for rule in rules],
        started_at=manifest.started_at or "unknown",
        ended=manifest.ended,
        labels=manifest.labels,
        note=manifest.note,
        scenario_name=manifest.scenario_name or "unknown",
        scenario_hash=manifest.scenario_hash or "unknown",
        seed=manifest.seed,
        rate=request_metrics.rate(run, "offered_rate").value,
        window_s=run.window_length,
        drained_at=manifest.drained_at,
        client_error=client_error(manifest.client_error),
        accounting=Counts(**request_metrics.accounting(run)),
        accounting_all=Counts(**request_metrics.accounting(run, window_only=False)),
        errors=request_metrics.errors(run),
        conditions=conditions(run) | comparability.came(run),
        server=server_side(run),
        stalls=stalls(run),
    )


def _overall(
    facts: Facts, decisions: Sequence[Decision], points: Sequence[ParetoPoint]
) -> tuple[str, list[Recommendation]]:
    """The decision of the whole report in one line, and what to do first."""
    if len(decisions) < 2:
        return "".join(each.title for each in decisions), [each.next for each in decisions]
    taken = recommend.best(points, facts.minimum_effect, _only_worse(facts))
    title = decision_words.of_several(facts, decisions, [each.variant for each in taken])
    return title, [recommend.choice(points, taken, facts.minimum_effect)]


def _only_worse(facts: Facts) -> list[str]:
    """The variants that were shown worse than the baseline in something, and better in nothing."""
    names = [variant.name for variant in facts.others]
    return [name for name in names if facts.marked(name, "worse") and not facts.marked(name, "better")]


def _rule(rule: Judged) -> Rule:
    return Rule(
        rule=rule.rule,
        verdict=rule.verdict.label,
        passed=rule.passed,
        figure=rule.figure if rule.figure is not None and math.isfinite(rule.figure) else None,
        bound=rule.bound,
        unit=rule.unit,
        text=rule.text,
        advice=rule.advice,
        checked=rule.checked,
    )


def _variant(name: str, runs: Sequence[Run], verdicts: dict[str, str]) -> Variant:
    server: dict[str, Any] = runs[0].manifest.server or {}
    return Variant(
        name=name,
        applied=True,
        reason=None,
        changes=server.get("changes"),
        expected=server.get("expected"),
        result="",
        command_line=server.get("command_line"),
        environment={str(key): str(value) for key, value in (server.get("environment") or {}).items()},
        runs=[run.name for run in runs],
        verdicts=[verdicts[run.name] for run in runs],
    )


def _absent(refused: NotApplied) -> Variant:
    return Variant(
        name=refused.variant,
        applied=False,
        reason=refused.reason,
        changes=refused.changes,
        expected=refused.expected,
        result=f"N/A: {refused.reason}",
        command_line=refused.command_line,
        runs=[],
        verdicts=[],
    )


def result_line(facts: Facts, variant: str) -> str:
    """What came out for one variant, in one line."""
    if variant == facts.baseline:
        return "the reference"
    if why := decision_words.blocked(facts, variant):
        return f"not comparable: {why}"
    better, worse = facts.marked(variant, "better"), facts.marked(variant, "worse")
    parts = [f"better: {facts.brief(better, variant)}"] if better else []
    parts += [f"worse: {facts.brief(worse, variant)}"] if worse else []
    return "; ".join(parts) or "no difference shown"


def _served(baseline: str, groups: dict[str, list[Run]]) -> list[Insight]:
    found = [served_only.insight(baseline, other, groups) for other in groups if other != baseline]
    return [each for each in found if each is not None]


def _earlier(groups: dict[str, list[Run]], known: Sequence[Entry], own: set[str]) -> list[Earlier]:
    """What is known of runs before these; `own`: the names of this report's."""
    found = []
    for variant, group in groups.items():
        for entry, differing in earlier_runs([each for each in known if each.run not in own], group[0]):
            found.append(
                Earlier(
                    run=entry.run,
                    variant=variant,
                    started_at=entry.manifest.started_at or "unknown",
                    verdict=entry.summary.verdict or "not judged",
                    metrics={name: entry.summary.metrics.get(name) for name in EARLIER},
                    comparable=not differing,
                    differences=differing,
                )
            )
    return found


def _files() -> list[File]:
    """Of the report itself; who writes it knows where the runs lie."""
    return [
        File(path="README.md", what="this report"),
        File(path="report.html", what="this report in one file, figures inside, works offline"),
        File(path="comparison.json", what="all figures; its schema is docs/comparison.schema.json"),
    ]
