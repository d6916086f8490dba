"""Which variant serves its users better: the decision as data, from figures that are judged already.

The order is that of what users feel. First whether each variant serves the offered load: one that serves
materially less is never preferred, whatever those saw whom it served. Then SLO attainment, then the rest.
Pure: no file, no clock, no run.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal[
    "cannot tell",  # the figures cannot be used, or not be compared
    "serves less",
    "serves more",
    "unclear",  # one may serve less, which is not shown: that prefers neither
    "better",
    "worse",
    "trade-off",
    "no difference",
]

SLO = "slo_attainment"
# Below the lower of the two served rates a queue has room to come and go (docs/metrics.md: at 92 % of a
# server's capacity and more, chance alone decides whether one run keeps up).
HEADROOM = 0.8
NEXT_TO_NOTHING = 0.05  # requests per second


@dataclass(frozen=True)
class Side:
    """What one variant was offered and what it served, requests per second; None: not measured.

    `keeps_up`: none of its runs was SATURATED. `drowns`: all of them were.
    """

    name: str
    offered: float | None
    completed: float | None
    keeps_up: bool = True
    drowns: bool = False


@dataclass(frozen=True)
class Evidence:
    """What is shown of a variant against the baseline.

    `rate`: the mark of the completed rate. `better`, `worse`: names of the rows that are marked so.
    `unusable`: why nothing can be said, in words, or None.
    """

    baseline: Side
    variant: Side
    rate: str
    better: Sequence[str] = ()
    worse: Sequence[str] = ()
    unusable: str | None = None
    minimum_effect: float = 0.03


@dataclass(frozen=True)
class Choice:
    """`preferred`: a variant's name, None where neither is. `compare_at`: the rate, requests per second, at
    which to compare the two instead, where one of them or both fell behind. `because`: names of rows."""

    kind: Kind
    preferred: str | None
    compare_at: float | None = None
    because: Sequence[str] = field(default=())


def decide(given: Evidence) -> Choice:
    """The decision on one variant against the baseline."""
    if given.unusable is not None:
        return Choice("cannot tell", None)
    baseline, variant = given.baseline, given.variant
    if serves_less(variant, baseline, given.rate == "worse", given.minimum_effect):
        return Choice("serves less", baseline.name, rate_to_compare(baseline, variant), ("completed_rate",))
    if serves_less(baseline, variant, given.rate == "better", given.minimum_effect):
        return Choice("serves more", variant.name, rate_to_compare(baseline, variant), ("completed_rate",))
    lower = rate_to_compare(baseline, variant) if baseline.drowns or variant.drowns else None
    kind, preferred, because = _by_marks(given)
    behind = None if baseline.keeps_up and variant.keeps_up else _behind(given)
    if behind is not None and preferred in (None, behind):
        return Choice("unclear", None, lower, ("completed_rate",))
    return Choice(kind, preferred, lower, because)


def serves_less(one: Side, other: Side, shown: bool, minimum_effect: float) -> bool:
    """Whether the first serves materially less. `shown`: its completed rate is marked worse."""
    return shown and _lags(one, other, minimum_effect)


def rate_to_compare(one: Side, other: Side) -> float | None:
    """Requests per second that both should serve, to two digits; None where one served next to nothing."""
    rates = [side.completed for side in (one, other)]
    known = [rate for rate in rates if rate is not None and rate > NEXT_TO_NOTHING]
    if len(known) < 2:
        return None
    rate = HEADROOM * min(known)
    digits = 1 - math.floor(math.log10(rate))
    return math.floor(rate * 10.0**digits + 1e-9) / 10.0**digits


def _behind(given: Evidence) -> str | None:
    """Who may serve less, though that is not shown. Of two that keep up neither does: what differs then is
    which answers ended inside of the window."""
    pairs = ((given.baseline, given.variant), (given.variant, given.baseline))
    return next((one.name for one, other in pairs if _lags(one, other, given.minimum_effect)), None)


def _lags(one: Side, other: Side, minimum_effect: float) -> bool:
    """Whether the first's served rate is lower by more than the minimum effect size."""
    if one.completed is None or other.completed is None:
        return False
    return one.completed < other.completed * (1 - minimum_effect)


def _by_marks(given: Evidence) -> tuple[Kind, str | None, Sequence[str]]:
    """By SLO attainment where it is marked, else by what got better and what got worse."""
    baseline, variant = given.baseline.name, given.variant.name
    if SLO in given.better:
        return "better", variant, _first(SLO, given.better)
    if SLO in given.worse:
        return "worse", baseline, _first(SLO, given.worse)
    if given.better and given.worse:
        return "trade-off", None, (*given.better, *given.worse)
    if given.better:
        return "better", variant, tuple(given.better)
    if given.worse:
        return "worse", baseline, tuple(given.worse)
    return "no difference", None, ()


def _first(name: str, names: Sequence[str]) -> tuple[str, ...]:
    return (name, *(each for each in names if each != name))
