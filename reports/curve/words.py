"""Which variant to take at which rate, in words: where the marks change sides. Pure."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from reports.document.metric import Change
from reports.text import formatting


@dataclass(frozen=True)
class Sides:
    """One figure of one variant against the first, by rate. `behind`: who fell behind at a rate."""

    label: str
    first: str
    other: str
    changes: Mapping[float, Change]
    behind: Mapping[float, Collection[str]] = field(default_factory=dict)


def sentence(found: Sides) -> str:
    """'TTFT p50: below 11 req/s take A, above it B (measured at 10 and 20).' Nobody is to take what fell
    behind, however well it did by those whom it served."""
    signs = {"better": 1, "worse": -1}
    shown = [(rate, signs[each.mark]) for rate, each in sorted(found.changes.items()) if each.mark in signs]
    name = {1: found.other, -1: found.first}
    firm = [(rate, sign) for rate, sign in shown if name[sign] not in found.behind.get(rate, ())]
    if not firm and shown:
        told = formatting.listed([f"{name[sign]} at {rate:g}" for rate, sign in shown])
        return f"{found.label}: better only where the server fell behind: {told} req/s."
    if not firm:
        return f"{found.label}: no difference shown at any rate."
    turns = [(one, two) for one, two in zip(firm, firm[1:], strict=False) if one[1] != two[1]]
    if not turns:
        rates = formatting.listed([f"{rate:g}" for rate, _ in firm])
        return f"{found.label}: take {name[firm[0][1]]} (shown at {rates} req/s)."
    if len(turns) > 1:
        told = formatting.listed([f"{name[sign]} at {rate:g}" for rate, sign in firm])
        return f"{found.label}: changes sides more than once: {told} req/s."
    (low, before), (high, after) = turns[0]
    at = crossing_rate(low, high, found.changes)
    return (
        f"{found.label}: below {formatting.quantity(at)} req/s take {name[before]}, above it {name[after]} "
        f"(shown at {low:g} and {high:g})."
    )


def crossing_rate(low: float, high: float, changes: Mapping[float, Change]) -> float:
    """Where the change passes through 0 between two rates at which it is shown: linear in the logarithms."""
    inside = [rate for rate in sorted(changes) if low <= rate <= high and changes[rate].change is not None]
    logs = [math.log1p(max(changes[rate].change or 0.0, -0.999)) for rate in inside]
    for place in range(len(inside) - 1):
        one, two = logs[place], logs[place + 1]
        if one * two <= 0 and one != two:
            begin, end = math.log(inside[place]), math.log(inside[place + 1])
            return math.exp(begin + (end - begin) * one / (one - two))
    return math.sqrt(low * high)


def headline(limits: Sequence[tuple[str, tuple[float, float, float] | str]]) -> str:
    """'A meets the SLO up to 22.1 req/s (90 % interval 21 to 23). B …'"""
    told = []
    for name, found in limits:
        if isinstance(found, str):
            told.append(f"{name} {found}")
        else:
            rate, low, high = (formatting.quantity(each) for each in found)
            told.append(f"{name} meets the SLO up to {rate} req/s (90 % interval {low} to {high})")
    return ". ".join(told) + "."
