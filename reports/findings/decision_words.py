"""The decision in words: its title, the reason, its confidence, what to do next."""

from collections.abc import Sequence

from reports.document.decision import Decision, DecisionKind, Recommendation, ServedRate
from reports.document.lookup import Facts
from reports.document.metric import Method
from reports.document.run import RunInfo
from reports.findings import recommend
from reports.findings.decision import HEADROOM, Choice, Evidence, Side, decide
from reports.findings.make_command import run_all
from reports.text import formatting

SAID = 2  # rows in a title; the table has all
SERVING = ("completed_rate", "slo_attainment", "output_token_throughput", "ttft_p50")
FAILED = {  # such runs say nothing of the server
    "INVALID": "the measurement failed",
    "DISTURBED": "other programs took the cores",
    "CLIENT-LIMITED": "the load generator fell behind",
}
STANDS: dict[DecisionKind, tuple[str, str]] = {  # of a variant beside the one to take: of one, of several
    "serves less": ("{} serves less", "{} serve less"),
    "worse": ("{} is worse", "{} are worse"),
    "cannot tell": ("no decision on {}", "no decision on {}"),
}
NOT_BETTER = "{} is not better", "{} are not better"
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
) -> Decision:
    """The decision on a variant. `labels_only`: what is known of one address that answered for every
    variant."""
    given = evidence(facts, variant)
    found = decide(given)
    return Decision(
        variant=variant,
        kind=found.kind,
        preferred=found.preferred,
        title=title(facts, variant, given, found),
        reason=_reason(facts, variant, given, found),
        same_server=labels_only,
        served=[
            ServedRate(variant=side.name, offered=side.offered, completed=side.completed)
            for side in (given.baseline, given.variant)
        ],
        confidence=_confidence(facts, variant, methods),
        disturbed=_disturbed(facts, variant),
        compare_at=found.compare_at,
        next=_next(facts, given, found),
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
    told = [_broken(run) for run in broken if run.verdict in FAILED]
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
    if found.kind != "cannot tell" and given.baseline.drowns and given.variant.drowns:
        more = f"; {found.preferred} is the better of the two" if found.preferred else ""
        return f"Use neither{at}: {variant} serves {served}, {baseline} {other}{more}"
    match found.kind:
        case "cannot tell":
            return f"No decision on {variant}{at}: {_why_none(facts, variant)}"
        case "serves less":
            return f"Do not use {variant}{at}: it serves {served}, {baseline} {other}"
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
    return f"No difference shown between {variant} and {baseline}{at}"


def of_several(facts: Facts, decisions: Sequence[Decision], taken: Sequence[str]) -> str:
    """The decision in one line where there are several variants. `taken`: the best that meet the SLO."""
    at, kinds = _at(evidence(facts, decisions[0].variant)), {each.variant: each for each in decisions}
    if not taken:
        return f"Use none{at}: no variant is shown to meet the SLO"
    rest = [each for each in decisions if each.variant not in taken]
    others = _standing(rest)
    if facts.baseline in taken:
        equal = [name for name in taken if name != facts.baseline]
        told = [f"nothing tells {formatting.listed(equal)} from it"] if equal else []
        return f"Stay with {facts.baseline}{at}: {'; '.join([*told, *others])}"
    if len(taken) == 1 and kinds[taken[0]].kind in ("better", "serves more"):
        return "; ".join([kinds[taken[0]].title, *others])
    either = "nothing here tells them apart" if taken[1:] else "of those that meet the SLO it answers first"
    return f"Use {' or '.join(taken)}{at}: {'; '.join([either, *others])}"


def _standing(decisions: Sequence[Decision]) -> list[str]:
    """'batch-8 and batch-16 serve less', 'compiled is worse'"""
    groups: dict[tuple[str, str], list[str]] = {}
    for each in decisions:
        groups.setdefault(STANDS.get(each.kind, NOT_BETTER), []).append(each.variant)
    return [said[len(names) > 1].format(formatting.listed(names)) for said, names in groups.items()]


def _why_none(facts: Facts, variant: str) -> str:
    """In a few words; the figures stand below."""
    hurt = [run for name in (facts.baseline, variant) for run in facts.runs_of(name) if run.verdict in FAILED]
    names = list(dict.fromkeys(run.variant for run in hurt))
    if not hurt:
        return "its figures cannot be compared"
    whose = "both runs" if names[1:] else f"the run of {names[0]}"
    return f"{formatting.listed(list(dict.fromkeys(FAILED[run.verdict] for run in hurt)))} in {whose}"


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
    if method and method.start_sd is not None:
        parts.append(
            f"starts are taken to differ by {100 * method.start_sd:.1f} % (sd; {method.start_sd_from})"
        )
    short = [run for name in (facts.baseline, variant) for run in facts.runs_of(name) if _few(run)]
    if short:
        rule = next(rule for rule in short[0].rules if rule.rule == "enough_requests")
        parts.append(f"no p99 is given: {rule.figure:g} requests, {rule.bound:g} needed")
    return ". ".join(formatting.capital(part) for part in parts) + "."


def _few(run: RunInfo) -> bool:
    return any(rule.rule == "enough_requests" and not rule.passed for rule in run.rules)


def _disturbed(facts: Facts, variant: str) -> str | None:
    told = [
        _broken(run)
        for name in (facts.baseline, variant)
        for run in facts.runs_of(name)
        if run.verdict in FAILED
    ]
    return _sentence(". ".join(dict.fromkeys(told))) if told else None


def _broken(run: RunInfo) -> str:
    """Which run cannot be used, and what was seen of it."""
    failed = [rule.text for rule in run.rules if not rule.passed and rule.verdict == run.verdict]
    return ". ".join([f"{run.run} is {run.verdict}", *map(formatting.capital, failed[:SAID])])


def _next(facts: Facts, given: Evidence, found: Choice) -> Recommendation:
    pair = given.baseline, given.variant
    if found.kind == "cannot tell":
        return next(iter(recommend.broken(facts)), None) or _anew(given)
    if found.compare_at is not None:
        slower, part = min(pair, key=lambda side: side.completed or 0.0).name, f"{100 * HEADROOM:g} %"
        return Recommendation(
            text=f"Compare the two at {found.compare_at:g} req/s, {part} of what {slower} served.",
            reason=f"Of {formatting.number(given.variant.offered, 'req/s')} req/s {pair[0].name} served "
            f"{_plain(pair[0])} and {pair[1].name} {_plain(pair[1])}. A lower rate was not measured.",
            command=run_all([side.name for side in pair], f"RPS={found.compare_at:g}"),
        )
    behind = [side.name for side in (given.variant, given.baseline) if not side.keeps_up]
    if behind:
        return recommend.fell_behind(facts, behind[0], f"It fell behind{_at(given)}.")
    if longer := recommend.too_short(facts):
        return longer[0]
    if found.kind in ("trade-off", "no difference", "unclear"):
        once = recommend.repeated(facts, "One run of each does not say how much runs differ.")
        return next(iter(recommend.unsure(facts)), once)
    return recommend.capacity(found.preferred or facts.baseline, "One rate says nothing of the next.")


def _anew(given: Evidence) -> Recommendation:
    """Where runs of different conditions were held against each other."""
    return Recommendation(
        text="Measure both under the same conditions.",
        reason=_sentence(formatting.capital(given.unusable or "their figures cannot be compared")),
        command=run_all([given.baseline.name, given.variant.name]),
    )


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
