"""The verdict on a run: what may be concluded from it, and the rules that say so.

Each rule gives its figure, its bound and what to do next; the worst failed rule decides. A rule that
lacks what it needs says "not checked" instead of passing in silence.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from reports.runs import Run


class Verdict(IntEnum):
    """What may be concluded, from all to nothing; the larger one wins."""

    VALID = 0  # none of the others
    SATURATED = 1  # the server fell behind, so latencies depend on how long the test ran
    CLIENT_LIMITED = 2  # requests left late or the worker's loop stalled
    INVALID = 3  # our own measurement failed

    @property
    def label(self) -> str:
        return self.name.replace("_", "-")

    @property
    def exit_code(self) -> int:
        """0 valid, 3 saturated, 4 client-limited, 5 invalid."""
        return {Verdict.VALID: 0, Verdict.SATURATED: 3, Verdict.CLIENT_LIMITED: 4, Verdict.INVALID: 5}[self]


@dataclass(frozen=True)
class Rule:
    """One rule's outcome. `verdict`: what the run becomes when the rule fails; VALID: it only warns."""

    rule: str
    verdict: Verdict
    passed: bool
    figure: float | None
    bound: float | None
    unit: str
    text: str
    advice: str = ""
    checked: bool = True


def not_checked(rule: str, verdict: Verdict, bound: float | None, unit: str, why: str) -> Rule:
    """A rule whose figure cannot be had; it neither passes nor fails the run."""
    return Rule(rule, verdict, True, None, bound, unit, f"not checked: {why}", checked=False)


def check(run: Run) -> list[Rule]:
    """All rules, in the order in which a reader wants them: our own measurement, the client, the server."""
    from reports import rules_agreement, rules_client, rules_measurement, rules_server  # they import Rule

    rules: list[Rule] = []
    for module in (rules_measurement, rules_agreement, rules_client, rules_server):
        rules.extend(_within_limits(rule(run), run) for rule in module.RULES)
    return rules


def _within_limits(rule: Rule, run: Run) -> Rule:
    """The rule, or "not checked" where the run's source cannot tell what it needs."""
    why = run.limits.rules.get(rule.rule)
    return rule if why is None else not_checked(rule.rule, rule.verdict, rule.bound, rule.unit, why)


def verdict(rules: Sequence[Rule]) -> Verdict:
    """The worst verdict among the failed rules; VALID when none failed."""
    return max((rule.verdict for rule in rules if not rule.passed), default=Verdict.VALID)
