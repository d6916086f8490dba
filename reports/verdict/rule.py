"""One rule on a run: its figure, its bound, what to do next, and the verdict that its failing brings."""

from collections.abc import Callable
from dataclasses import dataclass

from common.registry import Registry
from reports.runs.runs import Run, kept
from reports.verdict.verdict import Verdict as Verdict


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
    """A rule whose figure cannot be had, and why; it neither passes nor fails the run."""
    return Rule(rule, verdict, True, None, bound, unit, why, checked=False)


RULES: Registry[Callable[[Run], Rule]] = Registry("rule")  # each by the name that its outcome bears
_THERE: dict[str, Callable[[Run], bool]] = {}  # of some: whether a run has what they are about


def concerns(name: str, run: Run) -> bool:
    """Whether a rule is about something that the run has."""
    return name not in _THERE or _THERE[name](run)


def rule_where(there: Callable[[Run], bool]) -> Callable[[Callable[[Run], Rule]], Callable[[Run], Rule]]:
    """A decorator as `rule`; of a run that has not what it is about the verdict does not name it."""

    def keep(function: Callable[[Run], Rule]) -> Callable[[Run], Rule]:
        _THERE[function.__name__] = there
        return rule(function)

    return keep


def rule(function: Callable[[Run], Rule]) -> Callable[[Run], Rule]:
    """A decorator: the function of this name is a rule of every verdict."""
    return RULES.register(function.__name__)(kept(function))
