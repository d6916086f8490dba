"""The highest rate that meets the SLO: what capacity.json and README.md say of a search for it.

Times in seconds, rates in arrivals per second.
"""

from dataclasses import dataclass
from typing import Any

from reports.metrics.request_metrics import Figure
from reports.statistics.crossing import CONFIDENCE
from reports.text import formatting
from reports.text.escape import inline, markdown_code
from reports.verdict.slo import State

FIGURE = "latency-against-rate"
COLUMNS = {  # of a step: the metric of summary.json; TTFT and latency as the SLO counts them, scheduled
    f"{name}_{suffix}": f"{source}_{suffix}"
    for name, source in (("ttft", "scheduled_ttft"), ("tpot", "tpot"), ("latency", "scheduled_latency"))
    for suffix in ("p50", "p99")
}


@dataclass(frozen=True)
class Step:
    """One run of the search. `times`: by the names of COLUMNS."""

    number: int
    rate: float  # asked for
    seed: int
    run: str  # its folder, relative to the search's
    verdict: str
    failed_rules: list[str]  # that the verdict comes from
    state: State
    why: str
    judged: int
    met: int
    offered_rate: float
    completed_rate: float
    output_token_throughput: float
    times: dict[str, Figure]


@dataclass(frozen=True)
class Capacity:
    """A search and what came of it. `conditions`: what was run on what, in words, in a reader's order."""

    name: str
    variant: str
    slo: dict[str, float]
    tolerance: float
    steps: list[Step]
    rate: float | None  # that meets the SLO; None where no step met it, or none missed it
    interval: tuple[float, float] | None  # that holds it with 90 %
    found: bool  # the interval is as narrow as asked
    ended: str  # why the search ended
    conditions: dict[str, str]
    command: str


def to_json(found: Capacity) -> dict[str, Any]:
    """capacity.json; docs/capacity.md explains it."""
    return {
        "name": found.name,
        "variant": found.variant,
        "capacity": found.rate,
        "interval": found.interval,
        "confidence": CONFIDENCE,
        "found": found.found,
        "ended": found.ended,
        "tolerance": found.tolerance,
        "slo": found.slo,
        "conditions": found.conditions,
        "command": found.command,
        "steps": [
            {**vars(step), "times": {name: _time(figure) for name, figure in step.times.items()}}
            for step in found.steps
        ],
    }


def headline(found: Capacity) -> str:
    """What came out, in one or two sentences."""
    rates = {state: [step.rate for step in found.steps if step.state == state] for state in ("met", "missed")}
    if found.rate is not None and found.interval is not None:
        low, high = found.interval
        text = f"{found.variant} meets the SLO up to {found.rate:.4g} requests/s "
        text += f"({100 * CONFIDENCE:.0f} % interval {low:.4g} to {high:.4g})."
        return text if found.found else f"{text} That is wider than asked: {found.ended}."
    if rates["met"]:
        text = f"{found.variant} meets the SLO at {max(rates['met']):g} requests/s"
        return f"{text}; no higher rate was seen to miss it ({found.ended})."
    if rates["missed"]:
        text = f"{found.variant} met the SLO at no rate tried, down to {min(rates['missed']):g} requests/s"
        return f"{text}: {found.ended}."
    return f"Nothing can be said of {found.variant}: {found.ended}."


def _share(value: float) -> str:
    return f"{100 * value:.1f} %"


def readme(found: Capacity) -> str:
    """README.md of the search."""
    parts = [f"# Capacity of {inline(found.variant)}", f"**{inline(headline(found))}**"]
    parts.append("\n".join(f"- {inline(name)}: {inline(text)}" for name, text in found.conditions.items()))
    parts.append("## Confidence")
    parts.append(
        "Steps so short differ by chance: arrivals share a queue, and a step may have fewer bursts than is "
        "usual at its rate. All steps were fitted together, each with the arrivals that it had. The interval "
        "is of the rate at which such steps meet the SLO's share on average. docs/capacity.md says how often "
        "it holds that. More steps (MAX\\_STEPS=20) or longer ones (DURATION=60) narrow it."
    )
    parts.append(f"![Latency and share of arrivals within the SLO against the rate](./{FIGURE}.svg)")
    parts += ["## Steps", _table(found), "## What counts", _rules(found.slo["share"])]
    parts += ["## Again", markdown_code(found.command, "")]
    return "\n\n".join(parts) + "\n"


def _table(found: Capacity) -> str:
    head = ["step", "rate", "offered", "seed", "within the SLO", "TTFT p50 / p99", "TPOT p50 / p99"]
    head += ["completed", "verdict", "the SLO", "run"]
    rows = [head, ["---:"] * 7 + ["---:", "---", "---", "---"]]
    rows += [_row(step) for step in found.steps]
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines) + "\n\nRates in requests/s, times in ms; TTFT is the scheduled one."


def _row(step: Step) -> list[str]:
    share = f"{step.met:,} of {step.judged:,}"
    share += f" = {_share(step.met / step.judged)}" if step.judged else ""
    return [
        str(step.number),
        f"{step.rate:g}",
        f"{step.offered_rate:.2f}",
        str(step.seed),
        share,
        _pair(step, "ttft"),
        _pair(step, "tpot"),
        f"{step.completed_rate:.2f}",
        step.verdict,
        inline(f"{step.state}: {step.why}" if step.why else step.state),
        f"[{inline(step.run)}](./{step.run}/)",
    ]


def _pair(step: Step, metric: str) -> str:
    found = (step.times[f"{metric}_{suffix}"] for suffix in ("p50", "p99"))
    return " / ".join(inline(formatting.number(each.value, "ms", each.lower_bound)) for each in found)


def _rules(share: float) -> str:
    most = f"{100 * share:g} %"
    return (
        f"A step **met** the SLO when {most} of the arrivals due in its window met all of it, and no queue "
        "grew. TTFT and latency are the scheduled ones. It **missed** when fewer did, even with the client "
        "granted its own lateness. What our own measurement leaves open is **unclear**, and left out. That a "
        "step is too short for a p99, or begins slower than it goes on, is no objection here. The share is "
        "what is asked, and it counts everything. Every step has prompts of its own, so that no cache helps."
    )


def _time(figure: Figure) -> dict[str, float | int | None]:
    return {"value": figure.value, "lower_bound": figure.lower_bound, "count": figure.count}
