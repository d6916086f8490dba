"""The first screen of a report: the decision, at most six rows, one line each of confidence and setup."""

from collections.abc import Sequence

from reports.document.metric import Change, Metric
from reports.document.run import RunInfo
from reports.document.schema import Comparison
from reports.pages.blocks import Block, Code, Drawing, Text, Tile, Tiles, Tone
from reports.text.formatting import listed, quantity, slo

ROWS = (  # what users feel first; at most six are known
    "slo_attainment",
    "completed_rate",
    "output_token_throughput",
    "scheduled_ttft_p99",
    "tpot_p50",
    "energy_per_token",
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


def title(comparison: Comparison) -> str:
    """The report's heading: the decision, where there is one."""
    if comparison.audit:
        return comparison.audit.title
    if len(comparison.decisions) == 1:
        return comparison.decisions[0].title
    if comparison.decisions and comparison.recommendations:
        first = comparison.recommendations[0].text
        if first.startswith(("Under the SLO", "None of the variants")):
            return first.rstrip(".")
    others = [variant.name for variant in comparison.variants if variant.name != comparison.baseline]
    against = f"{listed(others)} against {comparison.baseline}" if others else comparison.baseline
    return f"{against}: {comparison.scenario_name} on {where(comparison)}"


def result(comparison: Comparison, figure: Drawing | None) -> list[Block]:
    """The blocks of the first screen."""
    blocks: list[Block] = []
    given = [f"{key}: {value}" for key, value in comparison.labels.items()]
    given += [comparison.note] if comparison.note else []
    for decision in comparison.decisions:
        several = len(comparison.decisions) > 1
        if several:
            blocks.append(Text(f"{decision.title}.", f"{decision.variant}. "))
            continue
        blocks.append(tiles(comparison, decision.variant))
        if decision.disturbed:
            blocks.append(Text(decision.disturbed, "Disturbed. "))
        open_ = decision.kind == "cannot tell" and not decision.disturbed
        if open_ or "answered for every variant" in decision.reason:
            blocks.append(Text(decision.reason))
        blocks.append(Text(f"{decision.confidence} {verdicts(comparison)}", "Confidence. "))
    if not comparison.decisions:
        blocks.append(tiles(comparison, None))
        blocks.append(Text(verdicts(comparison), "Confidence. "))
    if given:
        blocks.append(Text("; ".join(given), "Label. "))
    blocks.append(Text(setup(comparison), "Setup. "))
    if len(comparison.decisions) == 1 and comparison.audit is None:
        step = comparison.decisions[0].next
        blocks.append(Text(step.text, "Next. "))
        blocks += [Code(step.command)] if step.command else []
    return [*blocks, figure] if figure is not None else blocks


def rows(comparison: Comparison) -> list[Metric]:
    """The metrics of the first screen, the most felt first."""
    known = {metric.name: metric for metric in comparison.metrics if _known(metric)}
    return [known[name] for name in ROWS if name in known][:MOST]


def _known(metric: Metric) -> bool:
    """Whether any variant has the figure, if only as a bound or withheld for want of requests."""
    return any(
        reading.value is not None or reading.lower_bound is not None or reading.count
        for reading in metric.readings
    )


def tiles(comparison: Comparison, variant: str | None) -> Tiles:
    """Both values, change, interval and mark; the values alone where there is nothing to compare with."""
    found = []
    for metric in rows(comparison):
        values = {reading.variant: reading.display for reading in metric.readings}
        change = next((each for each in metric.changes if each.variant == variant), None)
        mark, tone = NO_MARK if change is None else mark_of(metric, change)
        found.append(
            Tile(
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
    return Tiles(comparison.baseline, variant, found)


def mark_of(metric: Metric, change: Change) -> tuple[str, Tone]:
    """The mark in words and its tone; what the load sets, or what is equal, was not looked for."""
    text, tone = MARKS[change.mark]
    if change.mark != "no difference shown":
        return text, tone
    equal = "= set by the load" if metric.better == "none" else "= equal"
    return (equal if metric.better == "none" or change.display == "0.0 %" else text), tone


def verdicts(comparison: Comparison) -> str:
    """'Verdicts: baseline VALID, optimized SATURATED.'"""
    told = [f"{run.variant} {run.verdict}" for run in comparison.runs]
    text = f"Verdicts: {', '.join(dict.fromkeys(told))}."
    gone = [f"{run.run} ({run.verdict})" for run in comparison.excluded]
    return text + (f" Excluded, other repeats stand in: {listed(gone)}." if gone else "")


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
