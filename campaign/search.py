"""The search for the highest rate that meets the SLO: a bracket by doubling or halving, narrowed. No I/O."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from reports.verdict.slo import Standing, State, state_of, wilson

MOST_RUNS = 2  # at one rate: what could be chance is asked for once more, and so are the ends that are named
ROUNDING = 1e-3  # of a rate, see _round
LEAST_ARRIVALS = 10  # in one step; at a lower rate a step says nothing


@dataclass
class Rung:
    """One rate and what its runs said."""

    rate: float
    share: float  # what the SLO asks for
    runs: list[Standing] = field(default_factory=list)

    @property
    def usable(self) -> list[Standing]:
        return [run for run in self.runs if state_of(run, self.share)[0] != "unclear"]

    @property
    def met(self) -> int:
        return sum(run.met for run in self.usable)

    @property
    def judged(self) -> int:
        return sum(run.judged for run in self.usable)

    @property
    def behind(self) -> bool:
        """Every usable run fell behind: one alone may be chance."""
        return all(run.behind for run in self.usable)

    @property
    def worked_off(self) -> float:
        """Requests completed per second, on average over its runs."""
        return sum(run.completed_rate for run in self.usable) / len(self.usable) if self.usable else math.nan

    @property
    def state(self) -> State:
        """Of all runs at this rate together."""
        if not self.usable:
            return "unclear"
        return "met" if self.met >= self.share * self.judged and not self.behind else "missed"

    @property
    def interval(self) -> tuple[float, float]:
        return wilson(self.met, self.judged)

    @property
    def could_be_chance(self) -> bool:
        """Whether another run might turn it over. No miss at all does not count as near the limit."""
        if self.state == "unclear":
            return True
        if self.met >= self.share * self.judged:  # met, or missed by falling behind
            return any(run.behind for run in self.usable) or (
                self.met < self.judged and self.interval[0] < self.share
            )
        return self.interval[1] >= self.share


@dataclass(frozen=True)
class Search:
    """What is looked for: rates in arrivals per second; `tolerance` is (high - low) / low at the end."""

    start: float
    tolerance: float
    step_seconds: float

    def next_rate(self, rungs: Sequence[Rung]) -> float | None:
        """The rate of the next step; None when the search is over."""
        if not rungs:
            return self.start
        last = rungs[-1]
        if last.could_be_chance and len(last.runs) < MOST_RUNS:
            return last.rate
        low, high = bracket(rungs)
        if low is None:
            assert high is not None, "a rung met it, missed it or was unclear"
            lower = _round(high.rate / 2)
            return lower if lower * self.step_seconds >= LEAST_ARRIVALS else None
        if high is None:
            return _round(2 * low.rate)
        if self._close(low, high):
            return next((end.rate for end in (low, high) if len(end.runs) < MOST_RUNS), None)
        return _round(self._hint(low, high) or math.sqrt(low.rate * high.rate))

    def narrow(self, rungs: Sequence[Rung]) -> bool:
        """Whether the server's limit is known as closely as asked."""
        low, high = bracket(rungs)
        if low is None or high is None or high.state != "missed":
            return False
        return self._close(low, high)

    def _close(self, low: Rung, high: Rung) -> bool:
        return high.rate <= (1 + self.tolerance) * (1 + ROUNDING) * low.rate

    def _hint(self, low: Rung, high: Rung) -> float | None:
        """A rate beside the one that an overloaded server worked off, which its limit is often near.

        First just below it, and when that met it just above. Only where the server was clearly overloaded:
        elsewhere the hint would creep down from `high`, and halving the bracket is quicker.
        """
        if not high.worked_off * (1 + self.tolerance) < high.rate:
            return None
        below, above = high.worked_off / math.sqrt(1 + self.tolerance), low.rate * (1 + self.tolerance)
        if below > low.rate * (1 + ROUNDING):
            return below
        return above if high.worked_off > low.rate else None


def bracket(rungs: Sequence[Rung]) -> tuple[Rung | None, Rung | None]:
    """The highest rate that met the SLO, and the lowest above it that missed it or was unclear."""
    not_met = [rung for rung in rungs if rung.state != "met"]
    high = min(not_met, key=lambda rung: rung.rate, default=None)
    met = [rung for rung in rungs if rung.state == "met" and (high is None or rung.rate < high.rate)]
    return max(met, key=lambda rung: rung.rate, default=None), high


def _round(rate: float) -> float:
    """Four digits: finer than any step can tell, and readable."""
    return float(f"{rate:.4g}")
