"""What came inside a run's window, and when: what the rates of loadgen.records.rates are sums of.

The comparison draws the same amounts anew.
"""

import math
from dataclasses import dataclass

import numpy as np

from loadgen.records.rates import RATES
from reports.metrics.durations import finished_at, met_slo
from reports.metrics.gaps import token_flow
from reports.runs.runs import Floats, Run

# Tokens and energy are told by the second; a resample's blocks may begin at any moment of it.
PARTS_OF_SECOND = 10
ENERGY = "gpu:energy_joules_total"  # of each GPU, as loadgen.master.gpu reads it


@dataclass(frozen=True, eq=False)
class Amounts:
    """What came inside the window. Arrays of one length."""

    at: Floats  # seconds into the window
    each: Floats  # how much came then; NaN where it is not defined
    known: float | None = None  # their sum, where it is known more exactly

    @property
    def total(self) -> float:
        return float(self.each.sum()) if self.known is None else self.known

    @property
    def count(self) -> int:
        """How many came; of what comes as one sum, that."""
        return len(self.at) if self.known is None else round(self.known)


def amounts(run: Run, name: str) -> Amounts:
    """Those that one of RATES is made of."""
    found: Amounts = RATES[name].of(_Came(run))
    return found


def per(run: Run, name: str) -> Amounts | None:
    """Those that it is divided by; None: by the time."""
    of = RATES[name].per
    found: Amounts | None = None if of is None else of(_Came(run))
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
    def judged(self) -> Amounts:
        at = due(self.run)
        return Amounts(at, np.ones(len(at)))

    @property
    def energy(self) -> Amounts:
        """J of all the server's GPUs, even between two readings. None at all where a reading lacks."""
        (start, end), series = self.run.window, self.run.server
        edges = np.linspace(start, end, math.ceil((end - start) * PARTS_OF_SECOND) + 1)
        whole = np.zeros(len(edges) - 1)
        readings = [series.gauge(ENERGY, "sum", **labels) for labels in series.label_sets(ENERGY)]
        for found in readings:
            if found is None or found[0][0] > start or found[0][-1] < end:
                return Amounts(np.empty(0), np.empty(0), math.nan)
            gained = np.concatenate([[0.0], np.cumsum(np.maximum(np.diff(found[1]), 0.0))])
            whole += np.diff(np.interp(edges, found[0], gained))
        middle = (edges[:-1] + edges[1:]) / 2 - start
        return Amounts(middle, whole, None if readings else math.nan)

    @property
    def good(self) -> Amounts:
        at, good = due(self.run), met_slo(self.run)
        return Amounts(at, np.full(len(at), np.nan) if good is None else good.astype(np.float64))
