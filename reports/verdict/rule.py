"""One rule on a run: its figure, its bound, what to do next, and the verdict that its failing brings."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

from common.registry import Registry
from reports.runs.runs import Run, kept


class Verdict(IntEnum):
    """What may be concluded, from all to nothing; the larger one wins."""

    VALID = 0  # none of the others
    TOO_SHORT = 1  # too few requests for a p99; all else stands
    SATURATED = 2  # the server fell behind, so latencies depend on how long the test ran
    CLIENT_LIMITED = 3  # requests left late or the worker's loop stalled
    INVALID = 4  # our own measurement failed

    @property
    def label(self) -> str:
        return self.name.replace("_", "-")

    @property
    def exit_code(self) -> int:
        """0 valid, 3 saturated, 4 client-limited, 5 invalid, 6 too short."""
        codes = {Verdict.SATURATED: 3, Verdict.CLIENT_LIMITED: 4, Verdict.INVALID: 5, Verdict.TOO_SHORT: 6}
        return codes.get(self, 0)


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


def rule(function: Callable[[Run], Rule]) -> Callable[[Run], Rule]:
    """A decorator: the function of this name is a rule of every verdict."""
    return RULES.register(function.__name__)(kept(function))
