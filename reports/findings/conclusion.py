"""The conclusion in three sentences, and one line for each variant, written from the figures."""

from reports.document.lookup import SPOKEN, SPOKEN_TOO, Facts
from reports.document.schema import Conclusion
from reports.metrics.catalogue import COUNTS
from reports.text import formatting

FIRST_TOKEN = ("ttft_p50", "ttft_p99")
REST = ("tpot_p50", "tpot_p99", "itl_p99")
# What shows that a server falls behind: the work that is not done, and what a queue decides.
BEHIND = (*FIRST_TOKEN, "latency_p50", "latency_p99", "completed_rate", "unfinished", "slo_attainment")
# What each respect is: of whom a gain in it speaks, and its own name.
WHOM = {
    "first token": ("who wait for the start of an answer (short interactive turns)", "first tokens"),
    "tokens": ("who read or process long answers as they stream", "the pace of tokens"),
    "work": ("whose cost is the machine's work (batch jobs, many users)", "the machine's work"),
    "whole": ("who wait for the whole answer", "whole answers"),
    "slo": ("who are held to the SLO", "the SLO"),
    "kept": ("whose requests must not fail", "requests that end well"),
}
VAGUE = 0.25  # an interval that does not exclude so large a loss says little


def conclude(facts: Facts, variant: str) -> Conclusion:
    """What got better, what got worse, whether to use it and for whom."""
    size = f"the interval and the minimum effect size of {100 * facts.minimum_effect:g} %"
    blocked = _blocked(facts, variant)
    if blocked:
        unknown = f"with {variant} cannot be said: the figures are not comparable."
        return Conclusion(
            better=f"What got better {unknown}",
            worse=f"What got worse {unknown}",
            use=f"No advice on {variant}: {blocked}.",
        )
    better, worse = facts.marked(variant, "better"), facts.marked(variant, "worse")
    gained, lost = _warning(facts, variant, better), _warning(facts, variant, worse)
    if gained and lost:
        lost = lost.partition(", so ")[0]  # the reader has just been told what it means
    return Conclusion(
        better=f"Better with {variant}: {facts.phrases(better, variant)}{_bracket(gained)}."
        if better
        else f"Nothing got better with {variant} beyond {size}.",
        worse=f"Worse with {variant}: {facts.phrases(worse, variant)}{_bracket(lost)}."
        if worse
        else f"Nothing got worse with {variant} beyond {size}.",
        use=_use(facts, variant, better, worse),
    )


def _warning(facts: Facts, variant: str, metrics: list[str]) -> str:
    return next((w for name in metrics if (w := facts.change(name, variant).warning)), "")


def _bracket(warning: str) -> str:
    return f"; ⚠ {warning}" if warning else ""


def _use(facts: Facts, variant: str, better: list[str], worse: list[str]) -> str:
    baseline = facts.baseline
    falling = [name for name in (baseline, variant) if _all_saturated(facts, name)]
    steady = [name for name in (baseline, variant) if not _saturated(facts, name)]
    keeps_up = f"keeps up with the offered {_rate(facts, variant)}"
    if falling == [baseline] and steady == [variant] and _behind(better):
        price = ", at the price named above" if worse else ""
        return f"Use {variant}{price}: it {keeps_up}, {baseline} does not."
    if falling == [variant] and steady == [baseline] and _behind(worse):
        return f"Do not use {variant} at this rate: {baseline} {keeps_up}, {variant} falls behind" + (
            "; at a rate that both keep up with, the balance may differ." if better else "."
        )
    neither = len(falling) == 2
    both = f"Neither keeps up with the offered {_rate(facts, variant)}; at this rate " if neither else ""
    caution = "" if neither or len(steady) == 2 else _caution(facts, variant)
    advice = f"{both}{_balance(facts, variant, better, worse)}{caution}."
    return advice if advice.startswith(variant) else advice[0].upper() + advice[1:]


def _behind(marked: list[str]) -> bool:
    return any(name in BEHIND for name in marked)


def _saturated(facts: Facts, variant: str) -> list[int]:
    """The numbers of the repeats that ran SATURATED."""
    return [run.repeat for run in facts.runs_of(variant) if run.verdict == "SATURATED"]


def _all_saturated(facts: Facts, variant: str) -> bool:
    return len(_saturated(facts, variant)) == len(facts.runs_of(variant))


def _caution(facts: Facts, variant: str) -> str:
    """One verdict is a test's result and may be chance: by itself it prefers neither of the two."""
    named = [_which(facts, name) for name in (facts.baseline, variant) if _saturated(facts, name)]
    who = formatting.listed(named)
    return f"; {who} ran SATURATED, but that one keeps up and the other does not is not shown"


def _which(facts: Facts, variant: str) -> str:
    """'baseline', 'repeats 1 and 3 of baseline'"""
    numbers = _saturated(facts, variant)
    if _all_saturated(facts, variant):
        return variant
    return (
        f"repeat{'s' if len(numbers) > 1 else ''} {formatting.listed([str(n) for n in numbers])} of {variant}"
    )


def _balance(facts: Facts, variant: str, better: list[str], worse: list[str]) -> str:
    """The advice without its full stop."""
    saturated = any(_saturated(facts, name) for name in (facts.baseline, variant))
    tell = "" if saturated else "more or longer runs may tell"  # of a queue that grows they say no more
    if not better and not worse and facts.marked(variant, "unstable"):
        text = f"repeats agree too little to prefer {variant} or {facts.baseline}"
        return f"{text}; {tell}" if tell else text
    if not better and not worse:
        return f"there is no reason in these figures to prefer {variant} or {facts.baseline}"
    if better and not worse:
        vague = _vague(facts, variant)
        if vague:
            names = formatting.listed([facts.spoken(name) for name in vague])
            text = f"use {variant} for what got better; little is known of {names}"
            return f"{text}: {tell}" if tell else text
        return f"use {variant} for everyone: nothing here speaks against it"
    if worse and not better:
        return f"stay with {facts.baseline}: {variant} gains nothing here"
    return _by_whom(facts.baseline, variant, _kinds(better), _kinds(worse))


def _by_whom(baseline: str, variant: str, gains: list[str], costs: list[str]) -> str:
    """Who gains and who loses; in some respects one may do both."""
    both = [WHOM[kind][1] for kind in gains if kind in costs]
    for_whom = [WHOM[kind][0] for kind in gains if kind not in costs]
    not_for = [WHOM[kind][0] for kind in costs if kind not in gains]
    said = [f"use {variant} for those {formatting.listed(for_whom)}"] if for_whom else []
    said += [f"stay with {baseline} for those {formatting.listed(not_for)}"] if not_for else []
    if both and len(said) < 2:
        respects = formatting.listed(both)
        said.append(f"{variant} gains and loses in {respects}: choose by the percentile that counts for you")
    return "; ".join(said)


def _vague(facts: Facts, variant: str) -> list[str]:
    """The spoken metrics of which the runs say little: repeats disagree, or a large loss is not excluded.

    The interval of a count is left aside: relative to a few, it is wide where nothing is amiss.
    """
    return [name for name in (*SPOKEN, *SPOKEN_TOO) if _is_vague(facts, name, variant)]


def _is_vague(facts: Facts, name: str, variant: str) -> bool:
    change, row = facts.change(name, variant), facts.metrics[name]
    if change.mark == "unstable":
        return True
    if change.mark != "no difference shown" or name in COUNTS:
        return False
    before, after = facts.value(name, facts.baseline), facts.value(name, variant)
    if before is not None and before == after:
        return False
    loss = change.high if row.better == "lower" else change.low
    return loss is None or abs(loss) > VAGUE and (loss > 0) == (row.better == "lower")


def _kinds(names: list[str]) -> list[str]:
    kinds = {
        **dict.fromkeys(FIRST_TOKEN, "first token"),
        **dict.fromkeys(REST, "tokens"),
        "output_token_throughput": "work",
        "completed_rate": "work",
        "latency_p50": "whole",
        "latency_p99": "whole",
        "slo_attainment": "slo",
        "failed": "kept",
        "unfinished": "kept",
    }
    return list(dict.fromkeys(kinds[name] for name in names))


def _blocked(facts: Facts, variant: str) -> str | None:
    change = facts.change("output_token_throughput", variant)
    if all(
        facts.change(name, variant).mark == "not comparable"
        for name in ("ttft_p50", "latency_p50", "completed")
    ):
        return change.reason if change.mark == "not comparable" else facts.change("ttft_p50", variant).reason
    return None


def _rate(facts: Facts, variant: str) -> str:
    rate = facts.value("offered_rate", variant)
    return f"{formatting.number(rate, 'req/s')} req/s"


def result_line(facts: Facts, variant: str) -> str:
    """What came out for one variant, in one line."""
    if variant == facts.baseline:
        return "the reference"
    blocked = _blocked(facts, variant)
    if blocked:
        return f"not comparable: {blocked}"
    better, worse = facts.marked(variant, "better"), facts.marked(variant, "worse")
    if not better and not worse:
        return "no difference shown"
    parts = [f"better: {facts.brief(better, variant)}"] if better else []
    parts += [f"worse: {facts.brief(worse, variant)}"] if worse else []
    return "; ".join(parts)
