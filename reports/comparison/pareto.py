"""Throughput against TTFT p50 of all variants, and which of them another one beats."""

from reports.document.decision import ParetoPoint
from reports.document.lookup import Facts


def pareto(facts: Facts) -> list[ParetoPoint]:
    """A point for each variant that has both figures."""
    found = []
    for variant in facts.variants:
        if not variant.runs:
            continue
        name = variant.name
        work, wait = facts.value("output_token_throughput", name), facts.value("ttft_p50", name)
        if work is None or wait is None:
            continue
        share, usable = facts.value("slo_attainment", name), _usable(facts, name)
        behind = "SATURATED" in facts.verdicts(name)  # with more time the queue would break any bound
        meets = None if share is None else share >= facts.asked_share and not behind
        found.append(
            ParetoPoint(
                variant=name,
                output_token_throughput=work,
                ttft_p50=wait,
                completed_rate=facts.value("completed_rate", name),
                tpot_p50=facts.value("tpot_p50", name),
                latency_p50=facts.value("latency_p50", name),
                slo_attainment=share,
                usable=usable,
                pareto_optimal=usable,
                meets_slo=meets if usable else None,
            )
        )
    for point in found:
        rivals = [rival for rival in found if rival is not point and rival.usable]
        point.pareto_optimal = point.usable and not any(_beats(facts, rival, point) for rival in rivals)
    return found


def _usable(facts: Facts, name: str) -> bool:
    """Whether its runs tell of the server, under the load that the baseline had."""
    if name == facts.baseline or not facts.usable(facts.baseline):
        return facts.usable(name)
    return facts.usable(name) and facts.change("completed", name).mark != "not comparable"


def _beats(facts: Facts, rival: ParetoPoint, point: ParetoPoint) -> bool:
    """Shown better in one of the two and worse in neither."""
    work = _better(
        facts,
        "output_token_throughput",
        rival.variant,
        point.variant,
        rival.output_token_throughput / point.output_token_throughput
        if point.output_token_throughput
        else None,
    )
    wait = _better(
        facts,
        "ttft_p50",
        rival.variant,
        point.variant,
        point.ttft_p50 / rival.ttft_p50 if rival.ttft_p50 else None,
    )
    return max(work, wait) > 0 and min(work, wait) >= 0


def _better(facts: Facts, metric: str, rival: str, variant: str, gain: float | None) -> int:
    """1: the rival is better, -1: worse, 0: neither is shown. Against the baseline the mark decides;
    of two others, which have no interval, the minimum effect size. `gain`: how many times as good."""
    if facts.baseline in (rival, variant):
        other = rival if variant == facts.baseline else variant
        sign = {"better": 1, "worse": -1}.get(facts.change(metric, other).mark, 0)
        return sign if other == rival else -sign
    if gain is None:
        return 0
    return 1 if gain > 1 + facts.minimum_effect else -1 if gain < 1 / (1 + facts.minimum_effect) else 0
