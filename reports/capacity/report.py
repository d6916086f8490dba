"""The highest rate that meets the SLO: what capacity.json and README.md say of a search for it.

Times in seconds, rates in arrivals per second.
"""

from dataclasses import dataclass
from typing import Any

from reports.metrics.request_metrics import Figure
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
class End:
    """One end of the bracket: a rate and all its runs together."""

    rate: float
    state: State
    runs: int
    judged: int
    met: int
    why: str


@dataclass(frozen=True)
class Capacity:
    """A search and what came of it. `conditions`: what was run on what, in words, in a reader's order."""

    name: str
    variant: str
    slo: dict[str, float]
    tolerance: float
    steps: list[Step]
    low: End | None  # the highest rate that met the SLO
    high: End | None  # the lowest above it that did not
    found: bool  # the bracket is as narrow as asked
    ended: str  # why the search ended
    conditions: dict[str, str]
    command: str


def to_json(found: Capacity) -> dict[str, Any]:
    """capacity.json; docs/capacity.md explains it."""
    low, high = found.low, found.high
    return {
        "name": found.name,
        "variant": found.variant,
        "capacity": low.rate if low else None,
        "found": found.found,
        "ended": found.ended,
        "low": _end(low),
        "high": _end(high),
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
    low, high = found.low, found.high
    if low is None and high is None:
        return f"Nothing can be said of {found.variant}: {found.ended}."
    if low is None:
        assert high is not None
        return f"{found.variant} met the SLO at no rate tried, down to {high.rate:g} requests/s: {high.why}."
    text = f"{found.variant} meets the SLO at {low.rate:g} requests/s"
    if high is None:
        return f"{text}; no higher rate was seen to miss it ({found.ended})."
    if high.state == "unclear":
        return f"{text}; {high.rate:g} could not be measured ({high.why}), so the limit may lie higher."
    apart = _share(high.rate / low.rate - 1)
    text += f" and misses it at {high.rate:g}: the limit lies between, {apart} apart."
    return text if found.found else f"{text} That is wider than asked ({found.ended})."


def shown(found: Capacity, end: End) -> str:
    """What the steps at one end of the bracket showed."""
    here = [step for step in found.steps if step.rate == end.rate and step.judged]
    shares = formatting.listed([_share(step.met / step.judged) for step in here])
    text = f"At {end.rate:g}/s {end.met:,} of {end.judged:,} arrivals met the SLO, which asks for "
    text += f"{100 * found.slo['share']:g} %: {shares} in {_steps(len(here))}."
    return text + (f" It counts as missed: {end.why}." if end.state == "missed" and end.why else "")


def _share(value: float) -> str:
    return f"{100 * value:.1f} %"


def _steps(count: int) -> str:
    return "1 step" if count == 1 else f"{count} steps"


def readme(found: Capacity) -> str:
    """README.md of the search."""
    parts = [f"# Capacity of {inline(found.variant)}", f"**{inline(headline(found))}**"]
    parts.append("\n".join(f"- {inline(name)}: {inline(text)}" for name, text in found.conditions.items()))
    parts.append("## Confidence")
    parts += [inline(shown(found, end)) for end in (found.low, found.high) if end is not None]
    parts.append(
        "Steps so short differ by chance. Arrivals share a queue, and a step may have fewer bursts than is "
        "usual at its rate. The highest rate that met the SLO is rather one that was lucky, so the limit "
        "may lie some per cent below. Longer steps narrow that (DURATION=60), and another SEED= shows by "
        "how much."
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
        f"A rate **met** the SLO when {most} of the arrivals due in its steps' windows met all of it, "
        "and no queue grew. TTFT and latency are the scheduled ones. A server that falls "
        "behind misses the SLO in a longer run. It **missed** when fewer did, even with the client granted "
        "its own lateness. What our own measurement leaves open is **unclear**, and treated as missed. "
        "That a step is too short for a p99, or begins slower than it goes on, is no objection here. The "
        "share is what is asked, and it counts everything. A result near the limit and the two ends are "
        "asked for twice, and both runs count. Every step has prompts of its own, so that no cache helps."
    )


def _end(end: End | None) -> dict[str, Any] | None:
    return None if end is None else vars(end)


def _time(figure: Figure) -> dict[str, float | int | None]:
    return {"value": figure.value, "lower_bound": figure.lower_bound, "count": figure.count}
