"""A Comparison for tests of the renderer: real figures of the runs given, claims without statistics."""

from collections.abc import Sequence

from reports.document.decision import (
    CompletedOnly,
    Decision,
    Insight,
    ParetoPoint,
    Recommendation,
    ServedRate,
)
from reports.document.metric import Change, Mark, Method, Metric, Reading
from reports.document.run import Counts, Rule, RunInfo
from reports.document.schema import Comparison, Difference, Earlier, File, Variant
from reports.metrics import request_metrics
from reports.metrics.server_side import server_side
from reports.roofline.bounds import describe
from reports.roofline.forecasts import forecasts
from reports.runs.runs import Run
from reports.text import formatting

ROWS = (
    ("output_token_throughput", "Output token throughput", "tok/s", "higher"),
    ("offered_rate", "Offered rate", "req/s", "none"),
    ("completed_rate", "Completed rate", "req/s", "higher"),
    ("ttft_p50", "TTFT p50", "ms", "lower"),
    ("ttft_p99", "TTFT p99", "ms", "lower"),
    ("scheduled_ttft_p50", "TTFT p50 (scheduled)", "ms", "lower"),
    ("scheduled_ttft_p99", "TTFT p99 (scheduled)", "ms", "lower"),
    ("tpot_p50", "TPOT p50", "ms", "lower"),
    ("tpot_p99", "TPOT p99", "ms", "lower"),
    ("itl_p99", "ITL p99", "ms", "lower"),
    ("latency_p50", "Latency p50", "ms", "lower"),
    ("latency_p99", "Latency p99", "ms", "lower"),
    ("slo_attainment", "SLO attainment", "%", "higher"),
)
UNITS = {"tok/s": "tokens/s", "req/s": "1/s", "ms": "s", "%": "share"}


def make_comparison(runs: Sequence[Run], text: str = "plain", written_at: str | None = None) -> Comparison:
    """`text` goes into every free text, so that tests can see whether it is escaped."""
    baseline, *others = dict.fromkeys(run.manifest.variant for run in runs)
    found = [_metric(row, runs, baseline, others) for row in ROWS]
    server = {run.name: server_side(run) for run in runs}
    roofline = describe(runs, server)
    roofline = roofline.model_copy(update={"forecasts": forecasts(runs, server)})
    return Comparison(
        name="test",
        written_at=written_at,
        command="tokenswarm report",
        target="cpu-tiny",
        model=text,
        hardware=text,
        scenario_name="chat-medium",
        slo={"ttft": 0.5, "tpot": 0.05, "share": 0.99},
        minimum_effect=0.03,
        confidence=0.95,
        baseline=baseline,
        note=text,
        title=f"Do not use {text}" if others else "",
        decisions=[
            Decision(
                variant=other,
                kind="serves less",
                preferred=baseline,
                title=f"Do not use {text}",
                reason=f"Worse: {text}.",
                served=[ServedRate(variant=name, offered=20.0, completed=9.0) for name in (baseline, other)],
                confidence=f"One run of each: {text}.",
                disturbed=None,
                compare_at=7.0,
                next=Recommendation(text=text, reason=text, command="make baseline optimized RPS=7"),
            )
            for other in others
        ],
        variants=[
            Variant(
                name=name,
                applied=True,
                reason=None,
                changes=text,
                expected=text,
                result=text,
                command_line=f"serve {text} --name {name}",
                runs=[run.name for run in runs if run.manifest.variant == name],
                verdicts=["VALID"],
            )
            for name in (baseline, *others)
        ]
        + [Variant(name="compiled", applied=False, reason=text, result=f"N/A: {text}", runs=[], verdicts=[])],
        runs=[_run_info(run, text) for run in runs],
        metrics=found,
        methods=[
            Method(variant=name, kind="none", text=text, confidence=0.95, block_s=None, blocks=None)
            for name in others
        ],
        conditions=[
            Difference(condition="seed", values=dict.fromkeys(others, 1), comparable=False, text=text)
        ],
        insights=[
            Insight(kind=kind, variant=others[0] if others else baseline, text=f"{kind}: {text}", figures={})
            for kind in ("win", "trade-off", "ttft", "tpot", "warning")
        ],
        recommendations=[
            Recommendation(text=text, reason=text, command="make baseline optimized RPS=7"),
            Recommendation(text=text, reason=text, command="make compare"),
        ],
        roofline=roofline,
        completed_only=[
            CompletedOnly(
                variant=baseline,
                metric="ttft_p50",
                label="TTFT p50",
                display_unit="ms",
                completed_only=1.0,
                all_requests=2.0,
                completed_only_display="1.0",
                all_requests_display="2.0",
                text=text,
            )
        ],
        pareto=[
            ParetoPoint(
                variant=name, output_token_throughput=1.0, ttft_p50=1.0, pareto_optimal=True, meets_slo=None
            )
            for name in others
        ],
        earlier=[
            Earlier(
                run="20250101T000000Z-baseline",
                variant=baseline,
                started_at="2025-01-01T00:00:00+00:00",
                verdict="VALID",
                metrics={"ttft_p50": 0.1},
                comparable=False,
                differences=[text],
            )
        ],
        files=[File(path="comparison.json", what=text)],
    )


def _metric(
    row: tuple[str, str, str, str], runs: Sequence[Run], baseline: str, others: Sequence[str]
) -> Metric:
    name, label, unit, better = row
    firsts = {
        variant: next(run for run in runs if run.manifest.variant == variant)
        for variant in (baseline, *others)
    }
    figures = {variant: request_metrics.figures(run)[name] for variant, run in firsts.items()}
    base = figures[baseline].value
    return Metric.model_validate(
        {
            "name": name,
            "label": label,
            "unit": UNITS[unit],
            "display_unit": unit,
            "better": better,
            "latency": unit == "ms",
            "definition": figures[baseline].definition,
            "readings": [
                Reading(
                    variant=variant,
                    value=figure.value,
                    lower_bound=figure.lower_bound,
                    count=figure.count,
                    by_run=[figure.value],
                    display=formatting.number(figure.value, unit, figure.lower_bound),
                )
                for variant, figure in figures.items()
            ],
            "changes": [_change(variant, base, figures[variant].value, better) for variant in others],
        }
    )


def _change(variant: str, base: float | None, value: float | None, better: str) -> Change:
    change = value / base - 1 if value is not None and base else None
    mark: Mark = "not comparable"
    if change is not None:
        mark = (
            "no difference shown"
            if abs(change) < 0.03
            else "better"
            if (change > 0) == (better == "higher")
            else "worse"
        )
    return Change(
        variant=variant,
        mark=mark,
        change=change,
        low=None if change is None else (1 + change) * 0.95 - 1,
        above=None,
        below=None,
        high=None if change is None else (1 + change) * 1.05 - 1,
        display=formatting.percent(change),
        display_interval="n/a" if change is None else formatting.span(change - 0.05, change + 0.05),
        reason="for a test",
        warning=None,
    )


def _run_info(run: Run, text: str) -> RunInfo:
    manifest = run.manifest
    return RunInfo(
        run=run.name,
        variant=manifest.variant,
        repeat=1,
        verdict="VALID",
        rules=[
            Rule(
                rule="dispatch_delay",
                verdict="CLIENT-LIMITED",
                passed=True,
                figure=0.4,
                bound=5,
                unit="ms",
                text=text,
                advice=text,
                checked=True,
            ),
            Rule(
                rule="backlog",
                verdict="SATURATED",
                passed=False,
                figure=4,
                bound=1,
                unit="req/s",
                text=text,
                advice=text,
                checked=True,
            ),
        ],
        started_at=manifest.started_at or "",
        ended="complete",
        scenario_name="chat-medium",
        scenario_hash="0123456789ab",
        seed=1,
        rate=20.0,
        window_s=run.window_length,
        drained_at=manifest.drained_at,
        client_error=text,
        accounting=Counts(**request_metrics.accounting(run)),
        accounting_all=Counts(**request_metrics.accounting(run, window_only=False)),
        errors={text: 3},
        conditions={"vllm": "0.32.0", "machine": text},
        server=server_side(run),
    )
