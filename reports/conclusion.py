"""The conclusion in three sentences, and one line for each variant, written from the figures."""

from reports import wording
from reports.comparison import Conclusion
from reports.facts import Facts

FIRST_TOKEN = ("ttft_p50", "ttft_p99")
REST = ("tpot_p50", "tpot_p99", "itl_p99")


def conclude(facts: Facts, variant: str) -> Conclusion:
    """What got better, what got worse, whether to use it and for whom."""
    size = f"the interval and the {100 * facts.matters:g} % that matters"
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
    falling = [name for name in (baseline, variant) if "SATURATED" in facts.verdicts(name)]
    keeps_up = f"keeps up with the offered {_rate(facts, variant)}"
    if falling == [baseline]:
        price = ", at the price named above" if worse else ""
        return f"Use {variant}{price}: it {keeps_up}, {baseline} does not."
    if falling == [variant]:
        return f"Do not use {variant} at this rate: {baseline} {keeps_up}, {variant} falls behind" + (
            "; at a rate that both keep up with, the balance may differ." if better else "."
        )
    both = f"Neither keeps up with the offered {_rate(facts, variant)}; at this rate " if falling else ""
    return _capital(both + _balance(facts, variant, better, worse))


def _balance(facts: Facts, variant: str, better: list[str], worse: list[str]) -> str:
    if not better and not worse and facts.marked(variant, "unstable"):
        return (
            f"repeats agree too little to prefer {variant} or {facts.baseline}; more or longer runs may tell."
        )
    if not better and not worse:
        return f"there is no reason in these figures to prefer {variant} or {facts.baseline}."
    if better and not worse:
        return f"use {variant} for everyone: nothing here speaks against it."
    if worse and not better:
        return f"stay with {facts.baseline}: {variant} gains nothing here."
    gains, costs = _kinds(better), _kinds(worse)
    whom = {
        "first token": "who wait for the start of an answer (short interactive turns)",
        "tokens": "who read or process long answers as they stream",
        "work": "whose cost is the machine's work (batch jobs, many users)",
        "whole": "who wait for the whole answer",
        "slo": "who are held to the SLO",
    }
    for_whom, not_for = [whom[k] for k in gains if k not in costs], [whom[k] for k in costs if k not in gains]
    if not for_whom or not not_for:
        return (
            f"{variant} gains and loses in the same respects; choose by the percentile that counts for you."
        )
    takers, others = wording.listed(for_whom), wording.listed(not_for)
    return f"use {variant} for those {takers}; stay with {facts.baseline} for those {others}."


def _kinds(names: list[str]) -> list[str]:
    kinds = {
        **dict.fromkeys(FIRST_TOKEN, "first token"),
        **dict.fromkeys(REST, "tokens"),
        "output_token_throughput": "work",
        "completed_rate": "work",
        "latency_p50": "whole",
        "latency_p99": "whole",
        "goodput_share": "slo",
        "failed": "whole",
        "unfinished": "whole",
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
    return f"{wording.number(rate, 'req/s')} req/s"


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


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
