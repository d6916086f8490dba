"""The verdict on a run: what may be concluded from it, and the rules that say so.

Each rule gives its figure, its bound and what to do next; the worst failed rule decides. A rule that
lacks what it needs says "not checked" instead of passing in silence.
"""

from collections.abc import Sequence

from reports.runs.runs import Run
from reports.verdict import rules_agreement, rules_client, rules_measurement, rules_path, rules_server
from reports.verdict.rule import Rule, Verdict, not_checked


def check(run: Run) -> list[Rule]:
    """All rules, in the order in which a reader wants them: our own measurement, the client, the server."""
    rules: list[Rule] = []
    for module in (rules_measurement, rules_agreement, rules_client, rules_path, rules_server):
        rules.extend(_within_limits(rule(run), run) for rule in module.RULES)
    return rules


def _within_limits(rule: Rule, run: Run) -> Rule:
    """The rule, or "not checked" where the run's source cannot tell what it needs."""
    why = run.limits.rules.get(rule.rule)
    return rule if why is None else not_checked(rule.rule, rule.verdict, rule.bound, rule.unit, why)


def verdict(rules: Sequence[Rule]) -> Verdict:
    """The worst verdict among the failed rules; VALID when none failed."""
    return max((rule.verdict for rule in rules if not rule.passed), default=Verdict.VALID)
