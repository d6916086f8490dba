"""The verdict on a run: what may be concluded from it, and the rules that say so.

Each rule gives its figure, its bound and what to do next; the worst failed rule decides. A rule that
lacks what it needs says "not checked" instead of passing in silence.
"""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import replace

from reports.runs.runs import Run
from reports.verdict import rules
from reports.verdict.both_sides import elsewhere
from reports.verdict.rule import RULES, Rule, Verdict, concerns, not_checked

ORDER = (
    "measurement",
    "agreement",
    "machine",
    "gpu",
    "client",
    "path",
    "server",
)  # of the modules, as a reader wants them


WHO = {
    Verdict.VALID: "nobody",
    Verdict.TOO_SHORT: "the run",
    Verdict.SATURATED: "the server",
    Verdict.CLIENT_LIMITED: "the load generator",
    Verdict.DISTURBED: "others on the machine",
    Verdict.INVALID: "the measurement",
}
CAUSED = (Verdict.SATURATED, Verdict.CLIENT_LIMITED)  # what others on the machine can bring about, and:
CAUSED_RULES = ("warmup_long_enough", "outside_server")


def check(run: Run) -> list[Rule]:
    """All rules: our own measurement, the machine, the client, the server; of one module as they stand there.

    Where others took the cores, nobody knows who would have kept up: the rules that fail for it say so.
    """
    asked = [rule for name, rule in in_order().items() if concerns(name, run)]
    found = [_within_limits(rule(run), run) for rule in asked]
    if not all(rule.passed for rule in found if rule.verdict == Verdict.DISTURBED):
        found = [_while_disturbed(rule) for rule in found]
    return [_by_whom(rule, run) for rule in found]


def in_order() -> dict[str, Callable[[Run], Rule]]:
    """All rules there are by their names, as `check` gives those that concern a run."""
    return dict(sorted(RULES.items(), key=lambda each: _place(each[1])))


def who(run: Run, verdict: Verdict) -> str:
    """Who kept the figures from being the server's under this load: WHO, and of a queue who had it."""
    there = elsewhere(run) if verdict is Verdict.SATURATED else None
    return WHO[verdict] if there is None else there.who


def _by_whom(rule: Rule, run: Run) -> Rule:
    """A queue is not the server's, nor a lower rate its cure, where it stood before the server."""
    if rule.passed or rule.verdict is not Verdict.SATURATED or (there := elsewhere(run)) is None:
        return rule
    return replace(rule, text=f"{rule.text}; {there.text}", advice=there.advice)


def _while_disturbed(rule: Rule) -> Rule:
    if rule.passed or not (rule.verdict in CAUSED or rule.rule in CAUSED_RULES):
        return rule
    advice = "nothing of it says who is to blame: others had the machine meanwhile"
    return replace(rule, verdict=Verdict.DISTURBED, advice=advice)


def _place(rule: Callable[[Run], Rule]) -> tuple[int, str, int]:
    module = rule.__module__.removeprefix(f"{rules.__name__}.")
    place = ORDER.index(module) if module in ORDER else len(ORDER)
    return place, module, inspect.unwrap(rule).__code__.co_firstlineno


def _within_limits(rule: Rule, run: Run) -> Rule:
    """The rule, or "not checked" where the run's source cannot tell what it needs."""
    why = run.limits.rules.get(rule.rule)
    return rule if why is None else not_checked(rule.rule, rule.verdict, rule.bound, rule.unit, why)


def verdict(found: Sequence[Rule]) -> Verdict:
    """The worst verdict among the failed rules; VALID when none failed."""
    return max((rule.verdict for rule in found if not rule.passed), default=Verdict.VALID)
