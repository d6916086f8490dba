"""What came inside a run's window, and when: what the rates of loadgen.records.rates are sums of.

The comparison draws the same amounts anew.
"""

from dataclasses import dataclass

import numpy as np

from loadgen.records.rates import RATES
from reports.metrics.durations import finished_at, met_slo
from reports.metrics.gaps import token_flow
from reports.runs.runs import Floats, Run

PARTS_OF_SECOND = 10  # tokens are counted by the second; a resample's blocks may begin at any moment of it


@dataclass(frozen=True, eq=False)
class Amounts:
    """What came inside the window. Arrays of one length."""

    at: Floats  # seconds into the window
    each: Floats  # how much came then; NaN where it is not defined
    total: float | None = None  # where it is known more exactly than by their sum


def amounts(run: Run, name: str) -> Amounts:
    """Those that one of RATES is made of."""
    found: Amounts = RATES[name].of(_Came(run))
    return found


def due(run: Run) -> Floats:
    """When the judged arrivals came due, seconds into the window."""
    return run.records.numbers("due")[run.judged] - run.window[0]


@dataclass(frozen=True, eq=False)
class _Came:
    """What a rate may be made of."""

    run: Run

    @property
    def due(self) -> Amounts:
        at = self.run.records.numbers("due")[self.run.offered] - self.run.window[0]
        return Amounts(at, np.ones(len(at)))

    @property
    def completed(self) -> Amounts:
        at, (start, end) = finished_at(self.run), self.run.window
        inside = at[(at >= start) & (at < end)] - start
        return Amounts(inside, np.ones(len(inside)))

    @property
    def tokens(self) -> Amounts:
        flow = token_flow(self.run)
        each = np.repeat(flow.per_second / PARTS_OF_SECOND, PARTS_OF_SECOND)
        at = (np.arange(len(each), dtype=np.float64) + 0.5) / PARTS_OF_SECOND - self.run.window[0]
        inside = (at >= 0) & (at < self.run.window_length)
        return Amounts(at[inside], each[inside], flow.in_window)

    @property
    def good(self) -> Amounts:
        at, good = due(self.run), met_slo(self.run)
        return Amounts(at, np.full(len(at), np.nan) if good is None else good.astype(np.float64))
