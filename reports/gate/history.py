"""Is a run worse than those of its kind before it? By a change of their level, not by the last one alone.

Of its kind: of one variant under one load on one target and hardware. The runs' software may differ, since
that is what a history is to show. A run that says nothing of the server (INVALID, DISTURBED,
CLIENT-LIMITED) is none.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from reports.document.run import UNUSABLE
from reports.gate.gate import FIGURES, Case, Gate
from reports.metrics.catalogue import COUNTS, ROW, Row
from reports.runs.earlier import of_its_kind
from reports.runs.index import Entry
from reports.runs.selection import without_records
from reports.statistics.change_point import Change, last_change
from reports.text import formatting

Floats = NDArray[np.float64]

LEVEL = 0.05  # of all figures together, shared among them (Bonferroni)
LEAST = 5  # earlier runs: with fewer a change would have to be enormous
USELESS = (*UNUSABLE, None)
JUDGED = tuple(ROW[name] for name in FIGURES if name not in COUNTS)


@dataclass(frozen=True)
class Series:
    """The runs of one kind, oldest first; the last is the one that is checked."""

    runs: Sequence[str]
    figures: Mapping[str, Sequence[float | None]]  # by row; a percentile beyond the data: its lower bound


def series(checked: Entry, known: Sequence[Entry], last: int) -> Series:
    """The `last` runs of its kind before it, and the run."""
    before = of_its_kind(without_records(checked.manifest, checked.folder), known)
    usable = islice((each for each in before if each.summary.verdict not in USELESS), last)
    entries = [*reversed(list(usable)), checked]
    return Series(
        [each.run for each in entries],
        {row.name: [each.summary.least(row.name) for each in entries] for row in JUDGED},
    )


def gate_of(found: Series, verdict: str | None, minimum_effect: float, setup: str) -> Gate:
    """The gate of the last run of a series."""
    run, earlier = found.runs[-1], len(found.runs) - 1
    if verdict in USELESS:
        cases = [Case(run, "measurement", "error", f"the run is {verdict or 'not judged'}")]
    elif earlier < LEAST:
        told = formatting.counted(earlier, "earlier run")
        text = f"there are {told} of its kind; from {LEAST} on it is judged"
        cases = [Case(run, "history", "skipped", text)]
    else:
        cases = [_case(found, row, minimum_effect) for row in JUDGED]
    return Gate(f"check of {run}", cases, setup)


def _case(found: Series, row: Row, minimum_effect: float) -> Case:
    values, run = found.figures[row.name], found.runs[-1]
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return Case(run, row.label, "skipped", "not measured in each of the runs")
    numbers = np.array(known)
    logs = bool((numbers > 0).all()) and row.unit != "share"
    change = last_change(np.log(numbers) if logs else numbers, LEVEL / len(JUDGED))
    unit = formatting.after(row.display_unit)
    now = f"{formatting.number(known[-1], row.display_unit)}{unit}"
    if change is None:
        return Case(run, row.label, "passed", f"no change of level in {len(values)} runs", now=now)
    before, after = (
        _level(part, logs) for part in (numbers[change.before : change.start], numbers[change.start :])
    )
    size, own = (value / before - 1 if before else 0.0 for value in (after, numbers[-1]))
    sign = 1 if row.better == "lower" else -1
    # The run itself, too: one before it may have been odd.
    worse = min(sign * size, sign * own) > minimum_effect
    return Case(
        run,
        row.label,
        "failed" if worse else "passed",
        _told(found, change, abs(size) > minimum_effect),
        f"{formatting.number(before, row.display_unit)}{unit}",
        f"{formatting.number(after, row.display_unit)}{unit}",
        formatting.percent(size),
    )


def _told(found: Series, change: Change, matters: bool) -> str:
    since = found.runs[change.start]
    count = len(found.runs) - change.start
    sizes = f"{formatting.counted(count, 'run')} of it, {change.start - change.before} before"
    text = f"another level since {since} ({sizes})"
    chance = f"{change.chance:.2g}" if change.chance > 1e-4 else "0.0001 or less"
    return f"{text}, by chance in {chance} of such series" + (
        "" if matters else "; smaller than the minimum effect"
    )


def _level(values: Floats, logs: bool) -> float:
    return float(np.exp(np.log(values).mean()) if logs else values.mean())
