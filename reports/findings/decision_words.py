"""The decision in words: its title, the reason, how sure it is, what to do next."""

import shlex
from collections.abc import Sequence

from reports.document.decision import Decision, Recommendation, ServedRate
from reports.document.lookup import Facts
from reports.document.metric import Method
from reports.document.run import RunInfo
from reports.findings.decision import Choice, Evidence, Side, decide
from reports.text import formatting

USUAL = ("baseline", "optimized")  # what make loads without being told
SAID = 2  # rows in a title; the table has all
SERVING = ("completed_rate", "slo_attainment", "output_token_throughput", "ttft_p50")
MEASURING = ("INVALID", "DISTURBED", "CLIENT-LIMITED")  # such runs say nothing of the server
ORDER = (  # what users feel first
    "slo_attainment",
    "failed",
    "ttft_p99",
    "ttft_p50",
    "tpot_p50",
    "latency_p50",
    "latency_p99",
    "tpot_p99",
    "itl_p99",
    "output_token_throughput",
    "completed_rate",
    "unfinished",
)


def decided(
    facts: Facts,
    variant: str,
    methods: Sequence[Method],
    labels_only: str | None,
    advice: Sequence[Recommendation],
) -> Decision:
    """The decision on a variant. `labels_only`: what is known of one address that answered for every variant;
    `advice`: what else may be done, in the order of urgency."""
    given = evidence(facts, variant)
    found = decide(given)
    reason = _reason(facts, variant, given, found)
    return Decision(
        variant=variant,
        kind=found.kind,
        preferred=found.preferred,
        title=title(facts, variant, given, found),
        reason=f"{reason} {labels_only}" if labels_only else reason,
        served=[
            ServedRate(variant=side.name, offered=side.offered, completed=side.completed)
            for side in (given.baseline, given.variant)
        ],
        confidence=_confidence(facts, variant, methods),
        disturbed=_disturbed(facts, variant),
        compare_at=found.compare_at,
        next=_next(facts, given, found, advice),
    )


def evidence(facts: Facts, variant: str) -> Evidence:
    """What the tables show of a variant against the baseline."""
    return Evidence(
        _side(facts, facts.baseline),
        _side(facts, variant),
        facts.change("completed_rate", variant).mark,
        sorted(facts.marked(variant, "better"), key=ORDER.index),
        sorted(facts.marked(variant, "worse"), key=ORDER.index),
        blocked(facts, variant),
        facts.minimum_effect,
    )


def blocked(facts: Facts, variant: str) -> str | None:
    """Why no figure of the variant can be held against the baseline's, in words; None where some can."""
    names = ("ttft_p50", "latency_p50", "completed")
    if not all(facts.change(name, variant).mark == "not comparable" for name in names):
        return None
    broken = [run for name in (facts.baseline, variant) for run in facts.runs_of(name)]
    told = [_broken(run) for run in broken if run.verdict in MEASURING]
    if told:
        return "; ".join(dict.fromkeys(told))
    change = facts.change("output_token_throughput", variant)
    return change.reason if change.mark == "not comparable" else facts.change("ttft_p50", variant).reason


def title(facts: Facts, variant: str, given: Evidence, found: Choice) -> str:
    """The decision in one line."""
    at, baseline = _at(given), facts.baseline
    served, other = _of(given.variant), _plain(given.baseline)
    if given.baseline.keeps_up and found.kind == "serves less":
        other = "all of it"
    neither = given.baseline.drowns and given.variant.drowns
    match found.kind:
        case "cannot tell":
            return f"No decision on {variant}{at}: {_why_none(facts, variant)}"
        case "serves less":
            return f"Do not use {variant}{at}: it serves {served}, {baseline} {other}"
        case "serves more" if neither:
            return f"Prefer {variant}{at}: it serves {served}, {baseline} {other}; neither keeps up"
        case "serves more":
            return f"Use {variant}{at}: it serves {served}, {baseline} {other}"
        case "better":
            return f"Use {variant}{at}: {_rows(facts, variant, found.because)}"
        case "worse":
            return f"Stay with {baseline}{at}: {variant} has {_rows(facts, variant, found.because)}"
        case "trade-off":
            gained, lost = (_rows(facts, variant, names, 1) for names in (given.better, given.worse))
            return f"{variant} is a trade-off{at}: {gained}, but {lost}"
        case "unclear":
            return f"Neither is preferred{at}: the rates served may differ by chance"
    if neither:
        return f"Neither {variant} nor {baseline} keeps up{at}: {served} and {other} are served"
    return f"No difference shown between {variant} and {baseline}{at}"


def _why_none(facts: Facts, variant: str) -> str:
    """In a few words; the reason has the figures."""
    names = (facts.baseline, variant)
    hurt = [name for name in names if any(run.verdict in MEASURING for run in facts.runs_of(name))]
    if len(hurt) == 1:
        return f"the run of {hurt[0]} was disturbed"
    return "both runs were disturbed" if hurt else "its figures cannot be compared"


def _reason(facts: Facts, variant: str, given: Evidence, found: Choice) -> str:
    if given.unusable is not None:
        return f"{_sentence(given.unusable)} So the figures of the two say nothing of each other."
    if found.kind in ("serves less", "serves more"):
        less = facts.baseline if found.kind == "serves more" else variant
        rows = [name for name in SERVING if facts.change(name, variant).mark in ("better", "worse")]
        text = f"{facts.phrases(rows, variant)}."
        return f"{text[0].upper()}{text[1:]} What those felt whom {less} did serve decides nothing."
    if found.kind == "unclear":
        change = facts.change("completed_rate", variant)
        return (
            f"The completed rate moved by {change.display} ({change.display_interval}), which chance may do."
        )
    parts = []
    if given.better:
        parts.append(f"Better with {variant}: {facts.phrases(given.better[:4], variant)}.")
    if given.worse:
        parts.append(f"Worse with {variant}: {facts.phrases(given.worse[:4], variant)}.")
    return " ".join(parts) or "No figure moved beyond its interval and the minimum effect size."


def _confidence(facts: Facts, variant: str, methods: Sequence[Method]) -> str:
    """Runs, how the intervals were made, and what is not given for want of requests."""
    runs = [len(facts.runs_of(name)) for name in (facts.baseline, variant)]
    how = {
        "paired blocks of time": "the same arrivals in both, intervals from paired blocks of time",
        "unpaired blocks of time": "different arrivals, intervals from blocks of time",
        "runs in pairs": "intervals from pairs of runs",
        "runs": "intervals from the runs",
        "none": "no intervals",
    }
    method = next((each for each in methods if each.variant == variant), None)
    number = "one run of each" if runs == [1, 1] else f"{runs[0]} and {runs[1]} runs"
    parts = [f"{number}, {how[method.kind] if method else 'no intervals'}"]
    parts += [facts.spoken_change("completed_rate", variant)]
    short = [run for name in (facts.baseline, variant) for run in facts.runs_of(name) if _few(run)]
    if short:
        rule = next(rule for rule in short[0].rules if rule.rule == "enough_requests")
        parts.append(f"no p99 is given: {rule.figure:g} requests, {rule.bound:g} needed")
    return ". ".join(formatting.capital(part) for part in parts if part) + "."


def _few(run: RunInfo) -> bool:
    return any(rule.rule == "enough_requests" and not rule.passed for rule in run.rules)


def _disturbed(facts: Facts, variant: str) -> str | None:
    told = [
        _broken(run)
        for name in (facts.baseline, variant)
        for run in facts.runs_of(name)
        if run.verdict in MEASURING
    ]
    return _sentence(". ".join(dict.fromkeys(told))) if told else None


def _broken(run: RunInfo) -> str:
    """Which run cannot be used, and what was seen of it."""
    failed = [rule.text for rule in run.rules if not rule.passed and rule.verdict == run.verdict]
    what = "the measurement failed" if run.verdict == "INVALID" else "the load generator fell behind"
    seen = "".join(f". {formatting.capital(text)}" for text in failed[:SAID])
    return f"{run.run}: {what}{seen}"


def _next(facts: Facts, given: Evidence, found: Choice, advice: Sequence[Recommendation]) -> Recommendation:
    pair = (given.baseline.name, given.variant.name)
    if found.kind == "cannot tell" and advice:
        return advice[0]
    if found.compare_at is not None:
        rate = f"{found.compare_at:g}"
        return Recommendation(
            text=f"Compare the two at {rate} req/s, which both can serve.",
            reason=f"{_plain(given.baseline)} and {_plain(given.variant)} req/s were served.",
            command=_load(pair, f"RPS={rate}"),
        )
    behind = [side.name for side in (given.variant, given.baseline) if not side.keeps_up]
    if behind:
        return Recommendation(
            text=f"Find the rate that {behind[0]} serves.",
            reason=f"It does not serve {_at(given).strip()}.",
            command=f"make capacity VARIANT={shlex.quote(behind[0])}",
        )
    short = [each for each in advice if "DURATION=" in (each.command or "")]
    if short:
        return short[0]
    if found.kind in ("trade-off", "no difference", "unclear") and pair:
        return next((each for each in advice if "REPEATS=" in (each.command or "")), _again(pair))
    best = found.preferred or facts.baseline
    return Recommendation(
        text=f"Find the highest rate that {best} serves within the SLO.",
        reason="One rate says nothing of the next.",
        command=f"make capacity VARIANT={shlex.quote(best)}",
    )


def _again(pair: tuple[str, str]) -> Recommendation:
    given = "" if pair == USUAL else f" VARIANTS={shlex.quote(' '.join(pair))}"
    return Recommendation(
        text="Repeat the comparison, for narrower intervals.",
        reason="One run of each does not say how much runs differ.",
        command=f"make compare REPEATS=3{given}",
    )


def _load(pair: tuple[str, str], setting: str) -> str:
    if pair == USUAL:
        return f"make {' '.join(pair)} {setting}"
    return f'make compare REPEATS=1 VARIANTS="{" ".join(shlex.quote(name) for name in pair)}" {setting}'


def _side(facts: Facts, name: str) -> Side:
    verdicts = [run.verdict for run in facts.runs_of(name)]
    return Side(
        name,
        facts.value("offered_rate", name),
        facts.value("completed_rate", name),
        "SATURATED" not in verdicts,
        bool(verdicts) and all(verdict == "SATURATED" for verdict in verdicts),
    )


def _at(given: Evidence) -> str:
    """' at 20 req/s'; nothing where the rate is not known."""
    offered = given.variant.offered or given.baseline.offered
    return "" if offered is None else f" at {offered:.3g} req/s"


def _of(side: Side) -> str:
    """'8.62 of 20.12'"""
    return f"{_plain(side)} of {formatting.number(side.offered, 'req/s')}"


def _plain(side: Side) -> str:
    return formatting.number(side.completed, "req/s")


def _rows(facts: Facts, variant: str, names: Sequence[str], limit: int = SAID) -> str:
    return facts.brief(list(names)[:limit], variant)


def _sentence(text: str) -> str:
    return text.rstrip(".") + "."
