"""The search for the highest rate that meets the SLO: which rate is tried next, and when it is over. No I/O.

Each step's waits or misses, and the bursts that it was sent, are fitted together (`reports.statistics`).
A step is asked for where the answer may lie, rather above: one without a miss says little.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from reports.statistics.crossing import Crossing, Redraw, crossing
from reports.statistics.queue_fit import Step
from reports.verdict.slo import State

LEAST_STEPS = 4  # fewer may agree by chance
LEAST_ARRIVALS = 10  # in one step; at a lower rate a step says nothing
MOST_UNCLEAR = 2  # steps at one rate: what could not be measured is asked for once more
PLACES = (0.5, 0.7, 0.8, 0.9, 0.7, 0.85)  # of the answer's distribution, where the next steps are, in turn
FURTHER, FARTHEST = 1.3, 2.0  # times the last rate, until one step met the SLO and another missed it
BELOW = 0.8  # of a rate that could not be measured


@dataclass(frozen=True)
class Tried:
    """A step: its rate, what it says of the SLO, and its arrivals; None where they say nothing (unclear)."""

    rate: float
    state: State
    step: Step | None


@dataclass(frozen=True)
class Search:
    """What is looked for. Rates are arrivals per second; `tolerance`: half the width of the interval, as a
    share of the rate, at which the search ends; `share`: of arrivals that have to meet the SLO; `ttft`: its
    bound on TTFT, s; `redraw`: the arrivals of many more such steps, where the scenario says them."""

    start: float
    tolerance: float
    step_seconds: float
    share: float
    ttft: float | None = None
    redraw: Redraw | None = field(default=None, compare=False)

    def found(self, tried: Sequence[Tried]) -> Crossing | None:
        """The rate, as far as the steps tell; None before the first that can be used."""
        steps = [each.step for each in tried if each.step is not None]
        return crossing(steps, 1 - self.share, self.start, self.ttft, self.redraw) if steps else None

    def next_rate(self, tried: Sequence[Tried], found: Crossing | None) -> float | None:
        """The rate of the next step; None when the search is over."""
        if not tried:
            return self.start
        last = tried[-1]
        if last.state == "unclear" and _unclear(tried, last.rate) < MOST_UNCLEAR:
            return last.rate
        if found is None or self.narrow(tried, found):
            return None
        bad = [each.rate for each in tried if _unclear(tried, each.rate) >= MOST_UNCLEAR]
        if bad and min(bad) <= found.rate:
            return None
        rate = found.quantile(PLACES[(len(tried) - 1) % len(PLACES)])
        rates, states = [each.rate for each in tried], {each.state for each in tried}
        rate = rate if "missed" in states else max(rate, FURTHER * max(rates))
        rate = rate if "met" in states else min(rate, min(rates) / FURTHER)
        rate = min([rate, FARTHEST * max(rates), *(BELOW * each for each in bad)])
        return float(f"{rate:.4g}") if rate * self.step_seconds >= LEAST_ARRIVALS else None

    def narrow(self, tried: Sequence[Tried], found: Crossing | None) -> bool:
        """Whether the rate is known as closely as asked: some step met the SLO, some missed it."""
        states = {each.state for each in tried}
        if found is None or not {"met", "missed"} <= states or len(tried) < LEAST_STEPS:
            return False
        low, high = found.interval
        return high - low <= 2 * self.tolerance * found.rate


def _unclear(tried: Sequence[Tried], rate: float) -> int:
    """How many steps at that rate could not be measured, where none could."""
    here = [each.state for each in tried if each.rate == rate]
    return len(here) if set(here) == {"unclear"} else 0
