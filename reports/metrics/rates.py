"""Rates and shares of a run, each a function with its entry; it says when how much came.

The figure is the sum over the window / its length (a share: / the arrivals); the comparison draws the same
amounts anew. RATES is read as METRICS of loadgen.records.metrics is, but for the live page and the exports.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

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


@dataclass(frozen=True)
class Rate:
    """One entry."""

    name: str
    label: str
    unit: str
    display_unit: str
    better: Literal["higher", "lower", "none"]
    definition: str  # the first paragraph of the function's docstring: what summary.json says
    text: str  # all of it: what docs/metrics.md says
    of_slo: bool  # whether it says how many met the SLO
    amounts: Callable[[Run], Amounts]


RATES: dict[str, Rate] = {}  # in the order of the tables


def rate(
    label: str,
    unit: str,
    display_unit: str,
    better: Literal["higher", "lower", "none"],
    *,
    of_slo: bool = False,
) -> Callable[[Callable[[Run], Amounts]], Callable[[Run], Amounts]]:
    """The entry of the function below it; `unit` "share": of the arrivals."""

    def keep(function: Callable[[Run], Amounts]) -> Callable[[Run], Amounts]:
        name, text = function.__name__, function.__doc__ or ""
        first = " ".join(text.split("\n\n")[0].split())
        whole = " ".join(text.split())
        RATES[name] = Rate(name, label, unit, display_unit, better, first, whole, of_slo, function)
        return function

    return keep


@rate("Output token throughput", "tokens/s", "tok/s", "higher")
def output_token_throughput(run: Run) -> Amounts:
    """Output tokens received inside the window / the window's length, of all requests, finished or not.

    Requests of the warm-up count with the tokens that fall inside the window. A chunk whose token count
    the server did not say has its share of the request's total, or 1 if there is none.
    """
    flow = token_flow(run)
    each = np.repeat(flow.per_second / PARTS_OF_SECOND, PARTS_OF_SECOND)
    at = (np.arange(len(each), dtype=np.float64) + 0.5) / PARTS_OF_SECOND - run.window[0]
    inside = (at >= 0) & (at < run.window_length)
    return Amounts(at[inside], each[inside], flow.in_window)


@rate("Offered rate", "1/s", "req/s", "none")
def offered_rate(run: Run) -> Amounts:
    """Arrivals due inside the window / the window's length."""
    at = due(run)
    return Amounts(at, np.ones(len(at)))


@rate("Completed rate", "1/s", "req/s", "higher")
def completed_rate(run: Run) -> Amounts:
    """Requests whose last token came inside the window and that completed / the window's length.

    Of all requests, those of the warm-up too, as for token throughput. Below the offered rate for long,
    the backlog grows.
    """
    at, (start, end) = finished_at(run), run.window
    inside = at[(at >= start) & (at < end)] - start
    return Amounts(inside, np.ones(len(inside)))


@rate("SLO attainment", "share", "%", "higher", of_slo=True)
def slo_attainment(run: Run) -> Amounts:
    """Arrivals that met every part of the scenario's SLO / all arrivals of the window.

    The SLO's `ttft` and `latency` are the scheduled ones, its `tpot` for requests that have one.
    An arrival that did not complete did not meet it.
    """
    at, good = due(run), met_slo(run)
    return Amounts(at, np.full(len(at), np.nan) if good is None else good.astype(np.float64))


@rate("Goodput", "1/s", "req/s", "higher", of_slo=True)
def goodput_rate(run: Run) -> Amounts:
    """Arrivals that met every part of the scenario's SLO / the window's length."""
    return slo_attainment(run)


def due(run: Run) -> Floats:
    """When the judged arrivals came due, seconds into the window."""
    return run.records.numbers("due")[run.judged] - run.window[0]
