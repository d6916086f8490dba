"""What to do next, each with the figure that says so and the command that does it."""

import re
import shlex
from collections.abc import Collection, Mapping, Sequence

from reports.document.decision import ParetoPoint, Recommendation
from reports.document.lookup import Facts
from reports.runs.commandline import batch_limit
from reports.runs.selection import how_to_run
from reports.text import formatting

STEP_LENGTH = ("DURATION=", "WARMUP=")  # a search for the capacity has steps of its own length
VARIANT = re.compile(r"""VARIANT(?P<many>S)?=(?P<names>"[^"]*"|'[^']*'|\S+)""")
OPTION = re.compile(r"--(warmup|duration) (\d+)")
LOADS_ONE = ("make baseline", "make optimized", "make capacity")  # commands of one variant
SPIKES = 5.0  # ITL p99 so many times TPOT p50: something long sits between the steps
FULL = 0.95  # share of the largest batch allowed that counts as full


def recommendations(facts: Facts) -> list[Recommendation]:
    """In the order of urgency: can the figures be trusted, is there a limit, what to try."""
    found: list[Recommendation] = []
    for rule in (_broken, _unsure, _capacity, _full_batch, _spikes, _eager, _priority, _hardware):
        found += [each for each in rule(facts) if each.text not in {known.text for known in found}]
    return found


def choice(
    points: Sequence[ParetoPoint], minimum_effect: float, worse: Collection[str] = ()
) -> list[Recommendation]:
    """Of several variants that meet the SLO, those to take: they give most tokens; of those that do, they
    answer first; then whole answers and tokens come soonest. Within the fraction `minimum_effect` of the best
    counts as good. `worse`: the variants that were shown worse than the baseline in something, and better in
    nothing."""
    if len(points) < 3:
        return []
    meeting = [point for point in points if point.usable and point.meets_slo]
    if not meeting:
        return [
            Recommendation(
                text="None of the variants is shown to meet the SLO at this rate.",
                reason="SLO attainment is below the share asked, the queue grew, or the run cannot be used.",
                command="make capacity",
            )
        ]
    most = max(point.output_token_throughput for point in meeting)
    left = [point for point in meeting if point.output_token_throughput >= most * (1 - minimum_effect)]
    left = [point for point in left if point.variant not in worse] or left
    for name in ("ttft_p50", "latency_p50", "tpot_p50"):
        left = _quickest(left, name, minimum_effect)
    named = formatting.listed([point.variant for point in left])
    either = " (nothing here tells them apart)" if len(left) > 1 else ""
    best = left[0]
    times = [
        f"{label} p50 {formatting.number(value, 'ms')} ms"
        for label, value in (("TTFT", best.ttft_p50), ("latency", best.latency_p50), ("TPOT", best.tpot_p50))
        if value is not None
    ]
    size = f"{100 * minimum_effect:g} %"
    return [
        Recommendation(
            text=f"Under the SLO, take {named}{either}.",
            reason=f"Of the {len(meeting)} variants that meet it, none gives over {size} more tokens. "
            "Of those that give as many, first tokens, then whole answers and each token come soonest. "
            "It has "
            f"{formatting.number(best.output_token_throughput, 'tok/s')} tok/s, "
            f"{formatting.listed(times)} ({best.variant}).",
            command=f"make capacity VARIANT={shlex.quote(best.variant)}",
        )
    ]


def _quickest(points: Sequence[ParetoPoint], name: str, minimum_effect: float) -> list[ParetoPoint]:
    """Those within `minimum_effect` of the shortest; all where one is not known."""
    times = [getattr(point, name) for point in points]
    if None in times:
        return list(points)
    return [
        point for point, time in zip(points, times, strict=True) if time <= min(times) * (1 + minimum_effect)
    ]


def under_same_conditions(
    found: Sequence[Recommendation],
    settings: Sequence[str],
    hosts: Sequence[str],
    names: Mapping[str, str] | None = None,
) -> list[Recommendation]:
    """With the runs' settings in each command. `hosts`: the servers that were not launched by us; a command
    can load one that is named to it, but make no other variant of it, so such commands are left out.
    `names`: how make is told a variant, by its name in the report."""
    commands = [_on(hosts, _with(_told(each.command, names or {}), settings)) for each in found]
    return [
        each.model_copy(update={"command": command}) for each, command in zip(found, commands, strict=True)
    ]


def _told(command: str | None, names: Mapping[str, str]) -> str | None:
    """With the variants as make is told them; None where it would have to compare one with itself."""
    found = VARIANT.search(command or "")
    if command is None or found is None:
        return command
    many, given = found["many"], found["names"].strip("\"'")
    for name in sorted(names, key=len, reverse=True):  # one with a space in it is no single word
        given = given.replace(name, names[name]) if " " in name else given
    words = list(dict.fromkeys(names.get(word, word) for word in given.split()))
    if many and len(words) < 2:
        return f"make run VARIANT={words[0]}" if command.startswith("make sweep") else None
    setting = f'VARIANTS="{" ".join(words)}"' if many else f"VARIANT={words[0]}"
    return command[: found.start()] + setting + command[found.end() :]


def _with(command: str | None, settings: Sequence[str]) -> str | None:
    if command is None:
        return None
    names = list(settings)
    if command.startswith("make capacity"):
        names = [each for each in names if not each.startswith(STEP_LENGTH)]
    if " SCENARIO=" in command:  # another load, to which what this one was given need not fit
        names = [each for each in names if each.startswith(("TARGET=", "WORKERS="))]
    return " ".join([command, *(each for each in names if f" {each.partition('=')[0]}=" not in command)])


def _on(hosts: Sequence[str], command: str | None) -> str | None:
    if command is None or not hosts:
        return command
    loads_one = command.startswith(LOADS_ONE) and len(hosts) == 1
    if loads_one and " HOST=" in command:
        return command
    return f"{command} HOST={shlex.quote(hosts[0])}" if loads_one else None


def _ran(facts: Facts) -> list[str]:
    return [variant.name for variant in facts.variants if variant.runs]


def _broken(facts: Facts) -> list[Recommendation]:
    """Runs that say nothing of the server."""
    found = []
    for run in facts.runs:
        failed = [
            rule for rule in run.rules if not rule.passed and rule.verdict in ("INVALID", "CLIENT-LIMITED")
        ]
        if failed:
            advice = _in_words_of_make(failed[0].advice)
            text = f"Measure {run.variant} again: {advice or 'its run cannot be used'}"
            command = " ".join([how_to_run(run.variant, facts.baseline), *_settings(failed[0].advice)])
            found.append(Recommendation(text=_end(text), reason=_end(failed[0].text), command=command))
    return found


def _settings(advice: str) -> list[str]:
    """'WARMUP=14' of an advice that names --warmup 14: the setting of make."""
    return [f"{name.upper()}={value}" for name, value in OPTION.findall(advice)]


def _in_words_of_make(advice: str) -> str:
    return OPTION.sub(lambda found: f"{found[1].upper()}={found[2]}", advice)


def _unsure(facts: Facts) -> list[Recommendation]:
    """Repeats, where the data are too few for a mark."""
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
            count = max(3, 2 * max(len(each.runs) for each in facts.variants))
            return [
                Recommendation(
                    text=f"Repeat the comparison with {variant.name}, interleaved, for narrower intervals.",
                    reason=f"Wider than the minimum effect, {100 * facts.minimum_effect:g} %: {intervals}.",
                    command=f"make compare REPEATS={count}{_variants(facts)}",
                )
            ]
    return []


def _variants(facts: Facts) -> str:
    """The setting of make that names those that ran, where they are not the two that it takes by itself."""
    ran = _ran(facts)
    return "" if ran == ["baseline", "optimized"] else f' VARIANTS="{" ".join(ran)}"'


def _wide(facts: Facts, metric: str, variant: str) -> bool:
    change = facts.change(metric, variant)
    return change.low is None or change.high is None or max(-change.low, change.high) > facts.minimum_effect


def _capacity(facts: Facts) -> list[Recommendation]:
    """The rate that meets the SLO, where the offered one does not."""
    found = []
    for name in _ran(facts):
        offered, completed = facts.value("offered_rate", name), facts.value("completed_rate", name)
        if "SATURATED" in facts.verdicts(name) and offered is not None and completed is not None:
            found.append(
                Recommendation(
                    text=f"Find the rate at which {name} meets the SLO, and compare below it.",
                    reason=f"{name} ran SATURATED: {completed:.2f} of {offered:.2f} req/s were completed.",
                    command=f"make capacity VARIANT={shlex.quote(name)}",
                )
            )
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
    for name in _ran(facts):
        gap, usual = facts.value("itl_p99", name), facts.value("tpot_p50", name)
        if gap is not None and usual and gap > SPIKES * usual and "chunked-prefill" not in _ran(facts):
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
    if eager and len(eager) == len(_ran(facts)):
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
    for name in _ran(facts):
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
    ran = _ran(facts)
    if ran and all("SATURATED" in facts.verdicts(name) for name in ran):
        best = max(facts.value("completed_rate", name) or 0.0 for name in ran)
        offered = formatting.number(facts.value("offered_rate", ran[0]), "req/s")
        return [
            Recommendation(
                text="For this rate, look at faster hardware (the what-if table gives bounds) or replicas.",
                reason=f"The best of these variants completed {best:.2f} of {offered} req/s offered.",
                command=None,
            )
        ]
    return []


def _sweep(facts: Facts, *variants: str) -> str:
    names = dict.fromkeys([facts.baseline, *variants])
    return f'make sweep VARIANTS="{" ".join(names)}"'


def _end(text: str) -> str:
    return text.rstrip(".") + "."
