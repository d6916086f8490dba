"""The metrics of requests (loadgen.records.metrics) over all judged arrivals of a run, none dropped.

A request that failed, was lost, or ended without text never gave what is measured: it counts as infinitely
long. One that was unfinished when the drain ended is censored: known to be longer than what was seen.
"""

from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from loadgen.records.metrics import METRICS, Metric, Moments
from loadgen.records.record import COMPLETED, UNFINISHED
from reports.metrics.gaps import first_chunk
from reports.metrics.survival import Survival
from reports.runs.runs import Floats, Mask, Run, kept


@dataclass(frozen=True, eq=False)
class Durations:
    """One duration per judged arrival that the metric is defined for. Arrays have shape (arrivals,)."""

    rows: NDArray[np.int64]  # which records
    seconds: Floats  # the duration; a lower bound where not known; inf: never
    known: Mask

    def survival(self) -> Survival:
        """Sorted, for percentiles and curves."""
        return Survival.of(self.seconds, self.known)


@kept
def of(run: Run, name: str) -> Durations:
    """One metric of loadgen.records.metrics that is no gap, of all judged arrivals that have it."""
    each, seen = METRICS[name], moments(run)
    seconds, unfinished = _seconds(each, seen), run.records.status_is(UNFINISHED)
    chosen = run.judged if each.defined is None else run.judged & each.defined(seen)
    if each.endless:
        rows = np.flatnonzero(chosen & (unfinished | ~np.isnan(seconds)))
        return Durations(rows, np.nan_to_num(seconds[rows], nan=np.inf), np.ones(len(rows), bool))
    rows = np.flatnonzero(chosen)
    waiting = (unfinished & np.isnan(seconds))[rows]
    found = np.nan_to_num(seconds[rows], nan=np.inf)
    least = _seconds(each, _ended_at(seen, run.closed_at))[rows][waiting]
    found[waiting] = np.maximum(np.nan_to_num(least), 0.0)  # never sent: nothing is known
    return Durations(rows, found, ~waiting)


@kept
def moments(run: Run) -> Moments:
    """Of every record; arrays of shape (records,)."""

    def figure(name: str, missing: float) -> Floats:
        found = run.records.numbers(name)
        return found if np.isnan(missing) else np.where(np.isnan(found), missing, found)

    found = Moments.of(figure, run.records.status_is(COMPLETED), np.where)
    answer = found.first_answer if run.records.has("first_answer") else found.first_token
    return found._replace(first_tokens=first_chunk(run), first_answer=answer)


def finished_at(run: Run) -> Floats:
    """The last token's time of the requests that completed, NaN for all others; shape (records,)."""
    found: Floats = moments(run).finished
    return found


def in_one_piece(run: Run) -> Mask:
    """Which answers of 2 tokens or more came whole at one moment; shape (records,)."""
    numbers = run.records.numbers
    return (numbers("output_tokens") >= 2) & (numbers("last_token") <= numbers("first_token"))


@kept
def met_slo(
    run: Run, granted: float | None = None, slower: tuple[tuple[str, float], ...] = ()
) -> Mask | None:
    """Which judged arrivals met the SLO; shape (judged,), in the records' order. None without an SLO.

    `granted`: take service times instead of scheduled ones, less so many seconds; of TPOT, spread over the
    tokens. `slower`: had each time been so many times as long, by its name in the SLO.
    """
    bounds = run.manifest.scenario.get("slo") or {}
    late = granted is not None
    since = "" if late else "scheduled_"
    parts = {"ttft": f"{since}ttft", "tpot": "tpot", "latency": f"{since}latency"}
    wanted = {key: float(bounds[key]) for key in parts if bounds.get(key) is not None}
    if not wanted:
        return None
    good = run.records.status_is(COMPLETED) & run.judged
    for key, bound in wanted.items():
        found = of(run, parts[key])
        allowed = np.full(len(found.rows), granted or 0.0)
        if key == "tpot":
            after = run.records.numbers("output_tokens") - first_chunk(run)
            allowed /= np.maximum(after[found.rows], 1)
        seconds = found.seconds * dict(slower).get(key, 1.0) - allowed
        good[found.rows[~(found.known & (seconds <= bound))]] = False
    return good[run.judged]


def _seconds(each: Metric, of: Moments) -> Floats:
    assert each.seconds is not None
    with np.errstate(divide="ignore", invalid="ignore"):
        return cast(Floats, each.seconds(of))


def _ended_at(of: Moments, closed: Floats) -> Moments:
    """As if what had not come by then came at that moment."""
    first, finished = (np.where(np.isnan(each), closed, each) for each in (of.first_token, of.finished))
    return of._replace(first_token=first, finished=finished)
