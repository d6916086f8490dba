"""Runs of which one was stopped early: what is compared then is the time that all of them have.

In a saturated run the wait grows as long as it lasts. So a whole run held against a stopped one would look
slower for being longer.
"""

from collections.abc import Sequence

from loadgen.records.record import COMPLETED, UNFINISHED
from reports.metrics.catalogue import Row
from reports.runs.runs import Run

WATCHED = (COMPLETED, UNFINISHED)  # counts that say how long a run was watched after its last arrival


def end_of(runs: Sequence[Run]) -> float | None:
    """The moment (s from the start) at which the first of them was stopped; None where none was."""
    return min((run.window[1] for run in runs if run.manifest.stopped_early), default=None)


def text(runs: Sequence[Run], end: float) -> str:
    """For the report's words on its method."""
    who = next(run for run in runs if run.manifest.stopped_early and run.window[1] == end)
    seconds = f"{end - who.window[0]:.1f} s"
    return f"{who.name} was stopped after {seconds}, SATURATED, so these {seconds} of all runs are compared."


def untold(row: Row, end: float | None) -> str | None:
    """Why a figure of such a pair cannot be compared, or None."""
    if end is None or row.name not in WATCHED:
        return None
    return "one run was stopped early, so the two were watched for different times"
