"""The first screen of a report: the decision, at most six rows, one line each of confidence and setup."""

from collections.abc import Mapping, Sequence

from reports.document.decision import Recommendation
from reports.document.metric import Change, Metric
from reports.document.run import RunInfo
from reports.document.schema import Comparison
from reports.document.screen import FirstScreen, ScreenLine, ScreenRow, Tone
from reports.pages.blocks import Block, Code, Drawing, Text, Tiles
from reports.text.formatting import listed, quantity, slo

ROWS = (  # what users feel first; at most six are known
    "slo_attainment",
    "completed_rate",
    "output_token_throughput",
    "scheduled_ttft_p99",
    "tpot_p50",
    "energy_per_token",
    "energy_per_good_request",
    "latency_p50",
)
MOST = 6
CPU_MODEL = "cpu-tiny"  # whose depth the project chooses by the machine
NO_MARK: tuple[str, Tone] = ("", "")
MARKS: dict[str, tuple[str, Tone]] = {
    "better": ("▲ better", "good"),
    "worse": ("▼ worse", "bad"),
    "no difference shown": ("= no difference shown", "quiet"),
    "unstable": ("~ unstable", "doubt"),
    "not comparable": ("? not comparable", "doubt"),
}


def describe(comparison: Comparison) -> FirstScreen:
    """The first screen of a report."""
    alone = len(comparison.decisions) < 2  # of several variants the decisions stand in place of the rows
    variant = comparison.decisions[0].variant if comparison.decisions and alone else None
    return FirstScreen(
        title=title(comparison),
        baseline=comparison.baseline,
        variant=variant,
        confidence=comparison.sure,
        rows=_rows(comparison, variant) if alone else [],
        lines=_lines(comparison),
        next=comparison.recommendations[0] if comparison.recommendations else None,
    )


def title(comparison: Comparison) -> str:
    """The report's heading: the decision, where there is one."""
    if comparison.title:
        return comparison.title
    others = [variant.name for variant in comparison.variants if variant.name != comparison.baseline]
    against = f"{listed(others)} against {comparison.baseline}" if others else comparison.baseline
    return f"{against}: {comparison.scenario_name} on {where(comparison)}"


def blocks(screen: FirstScreen, figure: Drawing | None) -> list[Block]:
    """The same as parts of a page."""
    made: list[Block] = (
        [Tiles(screen.baseline, screen.variant, screen.confidence, screen.rows)] if screen.rows else []
    )
    made += [Text(line.text, f"{line.lead}. " if line.lead else "") for line in screen.lines]
    made += next_step(screen.next)
    return [*made, figure] if figure is not None else made


def next_step(step: Recommendation | None) -> list[Block]:
    """What to do next, with its command."""
    if step is None:
        return []
    return [Text(step.text, "Next. "), *([Code(step.command)] if step.command else [])]


def _lines(comparison: Comparison) -> list[ScreenLine]:
    lines = []
    decisions, found = comparison.decisions, verdicts(comparison)
    if decisions:
        found = f"{decisions[0].confidence} {found}"
    for each in decisions if decisions[1:] else []:
        lines.append((each.variant, f"{each.title}."))
    for each in decisions if not decisions[1:] else []:
        if each.disturbed:
            lines.append(("Disturbed", each.disturbed))
        elif each.kind == "cannot tell":
            lines.append(("", each.reason))
        if each.same_server:
            lines.append(("One server", each.same_server))
    lines.append(("Confidence", found))
    if given := labels(comparison):
        lines.append(("Label", given))
    lines.append(("Setup", setup(comparison)))
    return [ScreenLine(lead=lead, text=text) for lead, text in lines]


def labels(comparison: Comparison) -> str:
    """What users called the report and its runs: 'ticket: 7; optimized: night run, the new driver'."""
    told = _given(comparison.labels, comparison.note)
    of_runs: dict[str, list[str]] = {}
    for run in comparison.runs:
        if given := _given(run.labels, run.note):
            of_runs.setdefault(", ".join(given), []).append(run.variant)
    everyone = {run.variant for run in comparison.runs}
    for said, whose in of_runs.items():
        named = list(dict.fromkeys(whose))
        told.append(said if set(named) == everyone else f"{listed(named)}: {said}")
    return "; ".join(told)


def _given(labels: Mapping[str, str], note: str | None) -> list[str]:
    named = [value if key == "name" else f"{key}: {value}" for key, value in labels.items()]
    return [*named, note] if note else named


def _metrics(comparison: Comparison) -> list[Metric]:
    """The metrics of the first screen, the most felt first."""
    known = {metric.name: metric for metric in comparison.metrics if _known(metric)}
    return [known[name] for name in ROWS if name in known][:MOST]


def _known(metric: Metric) -> bool:
    """Whether any variant has the figure, if only as a bound or withheld for want of requests."""
    return any(
        reading.value is not None or reading.lower_bound is not None or reading.count
        for reading in metric.readings
    )


def _rows(comparison: Comparison, variant: str | None) -> list[ScreenRow]:
    """Both values, change, interval and mark; the values alone where there is nothing to compare with."""
    found = []
    for metric in _metrics(comparison):
        values = {reading.variant: reading.display for reading in metric.readings}
        change = next((each for each in metric.changes if each.variant == variant), None)
        mark, tone = NO_MARK if change is None else mark_of(metric, change, comparison.minimum_effect)
        found.append(
            ScreenRow(
                label=metric.label,
                unit=metric.display_unit,
                before=values.get(comparison.baseline, "n/a"),
                after=values.get(variant or "", ""),
                change="" if change is None else change.display,
                interval="" if change is None else change.display_interval,
                mark=mark,
                tone=tone,
                definition=metric.definition,
            )
        )
    return found


def mark_of(metric: Metric, change: Change, minimum_effect: float) -> tuple[str, Tone]:
    """The mark in words and its tone. What the load sets was not looked for; where the whole interval lies
    within the minimum effect size, the two are shown to be the same, which is more than no difference."""
    text, tone = MARKS[change.mark]
    if change.mark != "no difference shown":
        return text, tone
    if metric.better == "none":
        return "= set by the load", tone
    if change.low is None or change.high is None:
        return ("= equal" if change.display == "0.0 %" else text), tone
    same = max(-change.low, change.high) <= minimum_effect
    return (f"= the same within {100 * minimum_effect:g} %" if same else text), tone


def verdicts(comparison: Comparison) -> str:
    """'Verdicts: baseline VALID, optimized SATURATED.'"""
    told = [f"{run.variant} {run.verdict}{_elsewhere(run)}" for run in comparison.runs]
    text = f"Verdicts: {', '.join(dict.fromkeys(told))}."
    gone = [f"{run.run} ({run.verdict})" for run in comparison.excluded]
    return text + (f" Excluded, other repeats stand in: {listed(gone)}." if gone else "")


def _elsewhere(run: RunInfo) -> str:
    """' (via: 1.1 varnish fell behind)', where it was not the server."""
    return f" ({run.elsewhere} fell behind)" if run.elsewhere else ""


def where(comparison: Comparison) -> str:
    """What the load met: the target; without a name for it the model, else the server's address."""
    named = (comparison.target, comparison.model, comparison.server)
    return next((name for name in named if name and name != "unknown"), "unknown")


def setup(comparison: Comparison) -> str:
    """Model, hardware, vLLM, load and date, in one line."""
    first: RunInfo | None = comparison.runs[0] if comparison.runs else None
    vllm = first.conditions.get("vLLM") if first else None
    layers = first.conditions.get("model layers") if first else None
    model = (
        f"{comparison.model} ({layers} layers)"
        if layers and comparison.model == CPU_MODEL
        else comparison.model
    )
    parts = [model, machine(comparison), f"vLLM {vllm}" if vllm else "", flags(comparison)]
    if first is not None:
        rate = "" if first.rate is None else f", {quantity(first.rate)} req/s"
        load = f"{first.scenario_name}{rate} for {quantity(first.window_s)} s"
        parts.append(f"{load}, {seeds(comparison.runs)}")
        pinned = first.conditions.get("pinned cores")
        parts.append(f"cores of their own: {pinned}" if pinned else "")
        parts.append(f"SLO {slo(comparison.slo)}")
        parts.append(first.started_at[:10])
    return "; ".join(part for part in parts if part) + "."


def machine(comparison: Comparison) -> str:
    """The server's hardware, and the load's machine where that is another."""
    parts = []
    if comparison.server is not None:
        parts.append(f"{comparison.server} (not launched by us)")
    if comparison.hardware != "unknown":
        parts.append(comparison.hardware)
    elif comparison.server is not None:
        parts.append("its hardware is not known")
    if comparison.load_from is not None:
        parts.append(f"load from {comparison.load_from}")
    return ", ".join(parts) or "hardware unknown"


def flags(comparison: Comparison) -> str:
    """What the variants change, as their own descriptions say."""
    told = [
        f"{variant.name}: {variant.changes}"
        for variant in comparison.variants
        if variant.changes and variant.name != comparison.baseline
    ]
    return "; ".join(told[:2])


def seeds(runs: Sequence[RunInfo]) -> str:
    """'seed 1', or 'seeds 1 and 2': of all runs."""
    found = list(dict.fromkeys("not said" if run.seed is None else str(run.seed) for run in runs))
    return f"{'seeds' if found[1:] else 'seed'} {listed(found or ['not said'])}"
