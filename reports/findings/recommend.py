"""What to do next, each with the figure that says so and the command that does it."""

import re
import shlex
from collections.abc import Collection, Sequence

from common.commandline import batch_limit
from reports.document.decision import ParetoPoint, Recommendation
from reports.document.lookup import Facts
from reports.document.metric import Change
from reports.document.run import UNUSABLE, RunInfo
from reports.findings.make_command import repeat, run_all
from reports.runs.selection import how_to_run
from reports.text import formatting

OPTION = re.compile(r"--(warmup|duration) (\d+)")
SETTING = re.compile(r"\b(?:WARMUP|DURATION|WORKERS)=\d+")
WORKERS = "WORKERS=n"  # as rules advise it
TOO_FEW = "enough_requests"  # the rule's name
MANY = 100  # starts of each: more are not advised
SPIKES = 5.0  # ITL p99 so many times TPOT p50: something long sits between the steps
FULL = 0.95  # share of the largest batch allowed that counts as full


def recommendations(facts: Facts) -> list[Recommendation]:
    """In the order of urgency: can the figures be trusted, is there a limit, what to try."""
    found: list[Recommendation] = []
    for rule in (broken, too_short, unsure, _capacity, _full_batch, _spikes, _eager, _priority, _hardware):
        found += rule(facts)
    return found


def ordered(found: Sequence[Recommendation]) -> list[Recommendation]:
    """Each thing to do once: of those with the same command, or without one the same words, the first."""
    return list({each.command or each.text: each for each in reversed(found)}.values())[::-1]


def fell_behind(facts: Facts, variant: str, reason: str) -> Recommendation:
    """Of a variant that ran SATURATED: the rate that it serves, or what kept requests from its engine."""
    rules = [rule for run in facts.runs_of(variant) if run.elsewhere for rule in run.rules]
    advice = [rule.advice for rule in rules if not rule.passed and rule.verdict == "SATURATED"]
    if advice:
        return Recommendation(text=f"{formatting.capital(advice[0])}.", reason=reason, command=None)
    return capacity(variant, reason)


def capacity(variant: str, reason: str) -> Recommendation:
    """The rate that a variant serves."""
    return Recommendation(
        text=f"Find the highest rate that {variant} serves within the SLO.",
        reason=reason,
        command=f"make capacity VARIANT={shlex.quote(variant)}",
    )


def best(
    points: Sequence[ParetoPoint], minimum_effect: float, worse: Collection[str] = ()
) -> list[ParetoPoint]:
    """Of several variants that meet the SLO, those to take: they give most tokens; of those that do, they
    answer first; then whole answers and tokens come soonest. Within the fraction `minimum_effect` of the best
    counts as good. `worse`: the variants that were shown worse than the baseline in something, and better in
    nothing. Empty where none meets it."""
    left = meeting(points)
    if not left:
        return []
    most = max(point.output_token_throughput for point in left)
    left = [point for point in left if point.output_token_throughput >= most * (1 - minimum_effect)]
    left = [point for point in left if point.variant not in worse] or left
    for name in ("ttft_p50", "latency_p50", "tpot_p50"):
        left = _quickest(left, name, minimum_effect)
    return left


def meeting(points: Sequence[ParetoPoint]) -> list[ParetoPoint]:
    """Those that meet the SLO; of a load without one, all that can be used."""
    usable = [point for point in points if point.usable]
    if all(point.meets_slo is None for point in usable):
        return usable
    return [point for point in usable if point.meets_slo]


def choice(
    points: Sequence[ParetoPoint], taken: Sequence[ParetoPoint], minimum_effect: float
) -> Recommendation:
    """What follows from the best of several variants."""
    if not taken:
        return Recommendation(
            text="Find a rate at which one of them meets the SLO.",
            reason="SLO attainment is below the share asked, the queue grew, or the run cannot be used.",
            command="make capacity",
        )
    first, many = taken[0], len(meeting(points))
    times = [
        f"{label} p50 {formatting.number(value, 'ms')} ms"
        for label, value in (
            ("TTFT", first.ttft_p50),
            ("latency", first.latency_p50),
            ("TPOT", first.tpot_p50),
        )
        if value is not None
    ]
    work = formatting.number(first.output_token_throughput, "tok/s")
    return capacity(
        first.variant,
        f"Of the {many} variants that meet the SLO at this rate, none gives over {100 * minimum_effect:g} % "
        "more tokens. Of those that give as many, first tokens, then whole answers and each token come "
        f"soonest. It has {work} tok/s, {formatting.listed(times)}.",
    )


def _quickest(points: Sequence[ParetoPoint], name: str, minimum_effect: float) -> list[ParetoPoint]:
    """Those within `minimum_effect` of the shortest; all where one is not known."""
    times = [getattr(point, name) for point in points]
    if None in times:
        return list(points)
    return [
        point for point, time in zip(points, times, strict=True) if time <= min(times) * (1 + minimum_effect)
    ]


def ran(facts: Facts) -> list[str]:
    """The names of the variants that have runs."""
    return [variant.name for variant in facts.variants if variant.runs]


def broken(facts: Facts) -> list[Recommendation]:
    """Runs that say nothing of the server, made anew: with a cure all variants, since they are to have the
    same; else those that need it. One step for each advice."""
    seen: dict[str, list[tuple[str, str]]] = {}
    for run in facts.runs:
        failed = [rule for rule in run.rules if not rule.passed and rule.verdict in UNUSABLE]
        if failed:
            first = next((rule for rule in failed if rule.verdict == run.verdict), failed[0])
            told = run.variant, _end(formatting.capital(first.text))
            seen.setdefault(_in_words_of_make(first.advice, run), []).append(told)
    return [_anew(facts, advice, told) for advice, told in seen.items()]


def _anew(facts: Facts, advice: str, told: Sequence[tuple[str, str]]) -> Recommendation:
    """`told`: variants, and what was seen of a run of each."""
    cure, hurt = SETTING.findall(advice), list(dict.fromkeys(name for name, _ in told))
    names = ran(facts) if cure else hurt
    first = _end(formatting.capital(advice.split(": ")[0].split("; ")[0]))
    how = f", with {' '.join(cure)}." if cure else f". {first}"
    parts = [
        *dict.fromkeys(text for _, text in told),
        *map(_end, map(formatting.capital, advice.split("; "))),
    ]
    one = len(names) == 1 and not cure
    return Recommendation(
        text=_end(f"Measure {formatting.listed(names)} again{how}"),
        reason=" ".join(part for part in parts if part != "."),
        command=how_to_run(names[0], facts.baseline) if one else run_all(names, *cure),
    )


def _in_words_of_make(advice: str, run: RunInfo) -> str:
    """'WARMUP=14' for --warmup 14, and twice as many workers as the run had for WORKERS=n."""
    advice = OPTION.sub(lambda found: f"{found[1].upper()}={found[2]}", advice)
    lanes = run.conditions.get("lanes")
    return advice.replace(WORKERS, f"WORKERS={2 * lanes if isinstance(lanes, int) and lanes else 2}")


def too_short(facts: Facts) -> list[Recommendation]:
    """Runs of too few requests for a p99. How long is enough, `under_same_conditions` adds."""
    short = [rule for run in facts.runs for rule in run.rules if rule.rule == TOO_FEW and not rule.passed]
    if not short or any(run.verdict in UNUSABLE for run in facts.runs):
        return []
    few = min(rule.figure for rule in short if isinstance(rule.figure, int | float))
    return [
        Recommendation(
            text="Run longer, for a p99.",
            reason=f"It needs {short[0].bound} requests, and there were {few:g}.",
            command=run_all(ran(facts)),
        )
    ]


def unsure(facts: Facts) -> list[Recommendation]:
    """Repeats, where the data are too few for a mark."""
    if broken(facts):
        return []
    for variant in facts.others:
        if "SATURATED" in facts.verdicts(facts.baseline) | facts.verdicts(variant.name):
            continue  # longer and more runs of a growing queue say nothing more
        unsure = [
            name
            for name in ("ttft_p50", "ttft_p99", "tpot_p50", "latency_p50", "output_token_throughput")
            if facts.change(name, variant.name).mark in ("no difference shown", "unstable")
            and _wide(facts, name, variant.name)
        ]
        if unsure:
            intervals = formatting.listed(
                [f"{facts.metrics[n].label} {facts.change(n, variant.name).display_interval}" for n in unsure]
            )
            told = f"Wider than {100 * facts.minimum_effect:g} %: {intervals}."
            return [repeated(facts, told, [facts.change(name, variant.name) for name in unsure])]
    return []


def repeated(facts: Facts, reason: str, unsure: Sequence[Change] = ()) -> Recommendation:
    """The same comparison from several runs of each: as many as show the change that is nearest to it."""
    count = max(3, 2 * max(len(each.runs) for each in facts.variants))
    known = [(each.more_runs, each.more_runs_s or 0.0) for each in unsure if each.more_runs is not None]
    runs, seconds = min(known, default=(0, 0.0))
    if not count <= runs <= MANY:
        return Recommendation(
            text="Repeat the comparison, for narrower intervals.",
            reason=reason,
            command=repeat(ran(facts), count),
        )
    return Recommendation(
        text=f"Repeat the comparison from {runs} starts of {seconds:.0f} s each.",
        reason=f"{reason} About so many show the change that is nearest to being shown.",
        command=f"{repeat(ran(facts), runs)} DURATION={seconds:.0f}",
    )


def _wide(facts: Facts, metric: str, variant: str) -> bool:
    change = facts.change(metric, variant)
    return change.low is None or change.high is None or max(-change.low, change.high) > facts.minimum_effect


def _capacity(facts: Facts) -> list[Recommendation]:
    """The rate that meets the SLO, where the offered one does not; of several variants the best is asked."""
    found = []
    for name in ran(facts) if len(facts.others) < 2 else ():
        offered, completed = facts.reading("offered_rate", name), facts.reading("completed_rate", name)
        if "SATURATED" in facts.verdicts(name):
            served = f"{completed.display} of {offered.display} req/s were completed"
            found.append(fell_behind(facts, name, f"{name} ran SATURATED: {served}."))
    return found


def _full_batch(facts: Facts) -> list[Recommendation]:
    """Larger batches, where requests wait outside a full one."""
    for variant in facts.variants:
        limit = batch_limit(shlex.split(variant.command_line or ""))
        largest, waiting = (
            facts.server(variant.name, "running_max"),
            facts.server(variant.name, "waiting_mean"),
        )
        larger = [f"batch-{size}" for size in (16, 32) if limit and size > limit]
        if limit and _larger_keeps_up(facts, limit):
            continue
        if (
            limit
            and larger
            and largest is not None
            and waiting is not None
            and waiting >= 1
            and largest >= FULL * limit
        ):
            full = f"{variant.name}: the batch was full ({largest:.0f} of {limit})"
            return [
                Recommendation(
                    text="Try larger batches: the limit of the batch trades TTFT against TPOT.",
                    reason=f"{full} while {waiting:.1f} requests waited on average.",
                    command=_sweep(facts, variant.name, *larger),
                )
            ]
    return []


def _larger_keeps_up(facts: Facts, limit: int) -> bool:
    """Whether a variant of the report has a larger limit, or none, and keeps up: then it is known."""
    steady = [each for each in facts.variants if each.runs and "SATURATED" not in facts.verdicts(each.name)]
    limits = [batch_limit(shlex.split(each.command_line or "")) for each in steady]
    return any(each is None or each > limit for each in limits)


def _spikes(facts: Facts) -> list[Recommendation]:
    """Chunked prefill, where prefills stop the decoding."""
    for name in ran(facts):
        gap, usual = facts.value("itl_p99", name), facts.value("tpot_p50", name)
        if gap is not None and usual and gap > SPIKES * usual and "chunked-prefill" not in ran(facts):
            times = f"{gap / usual:.0f} times TPOT p50"
            return [
                Recommendation(
                    text="Try chunked prefill: it keeps long prefills from stopping the tokens of others.",
                    reason=f"{name}: ITL p99 is {formatting.number(gap, 'ms')} ms, {times}.",
                    command=_sweep(facts, name, "chunked-prefill"),
                )
            ]
    return []


def _eager(facts: Facts) -> list[Recommendation]:
    """Compiled graphs, where nothing is compiled."""
    eager = [each for each in facts.variants if each.runs and "--enforce-eager" in (each.command_line or "")]
    if eager and len(eager) == len(ran(facts)):
        name = eager[0].name
        tpot = facts.reading("tpot_p50", name).display
        return [
            Recommendation(
                text="Try compiled graphs: they take the launch of single operations out of every step.",
                reason=f"Every variant ran with --enforce-eager; TPOT p50 of {name} is {tpot} ms.",
                command=_sweep(facts, name, "compiled"),
            )
        ]
    return []


def _priority(facts: Facts) -> list[Recommendation]:
    """Priorities, where the queue makes some miss the SLO."""
    for name in ran(facts):
        share, queue = facts.value("slo_attainment", name), facts.server(name, "queue_mean")
        bound = (facts.slo or {}).get("ttft")
        if (
            share is not None
            and queue is not None
            and isinstance(bound, int | float)
            and queue > bound > 0
            and share < facts.asked_share
        ):
            wait = f"the mean wait in the queue is {formatting.number(queue, 'ms')} ms"
            return [
                Recommendation(
                    text="If some requests matter more, try priority scheduling and a load with priorities.",
                    reason=f"{name}: {100 * share:.1f} % met the SLO; {wait}.",
                    command=f"{_sweep(facts, name, 'priority')} SCENARIO=chat-priority",
                )
            ]
    return []


def _hardware(facts: Facts) -> list[Recommendation]:
    """Another accelerator, where every variant falls behind."""
    names = ran(facts)
    if names and all("SATURATED" in facts.verdicts(name) for name in names):
        most = formatting.number(max(facts.value("completed_rate", name) or 0.0 for name in names), "req/s")
        offered = formatting.number(facts.value("offered_rate", names[0]), "req/s")
        return [
            Recommendation(
                text="For this rate, look at faster hardware (the what-if table gives bounds) or replicas.",
                reason=f"The best of these variants completed {most} of {offered} req/s offered.",
                command=None,
            )
        ]
    return []


def _sweep(facts: Facts, *variants: str) -> str:
    names = dict.fromkeys([facts.baseline, *variants])
    return f'make sweep VARIANTS="{" ".join(names)}"'


def _end(text: str) -> str:
    return text.rstrip(".") + "."
