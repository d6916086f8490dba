"""How fast tokens came to those who were served, where many were not: conditional, and named so.

Over all arrivals TPOT cannot be said once many never got a first token. The arrivals that got one with
both variants are the same requests, so their TPOT can be held against each other. They are no sample of
all: a queue serves in order, so they came early.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from reports.document.decision import Insight
from reports.metrics import durations
from reports.metrics.survival import Survival
from reports.runs.conditions import same_schedule
from reports.runs.runs import Floats, Mask, Run
from reports.statistics import intervals
from reports.text import formatting

UNSERVED = 0.05  # share of arrivals without a first token from which those with one are a group of their own
MANY = 0.01  # share of arrivals, as the rule unfinished_share has it
FEWEST = 30  # requests; the median of fewer says little


@dataclass(frozen=True)
class Served:
    """Median TPOT, seconds, of the arrivals of the window that got a first token with both variants."""

    before: float
    after: float
    count: int
    unserved: tuple[int, int]  # arrivals without a first token: baseline's, variant's
    due: int


def served_tpot(baseline: Run, other: Run) -> Served | None:
    """TPOT p50 of the same arrivals in both runs, of those that got a first token in both.

    None where the runs have different arrivals, where nearly all were served, or where few were.
    """
    if not same_schedule(baseline, other):
        return None
    started = _started(baseline), _started(other)
    due = int(baseline.judged.sum())
    unserved = tuple(due - len(each) for each in started)
    both = np.intersect1d(*started, assume_unique=True)
    if max(unserved) < UNSERVED * due or len(both) < FEWEST:
        return None
    medians = [_median(run, both) for run in (baseline, other)]
    if medians[0] is None or medians[1] is None:
        return None
    return Served(medians[0], medians[1], len(both), (unserved[0], unserved[1]), due)


def unserved(baseline: Sequence[Run], other: Sequence[Run]) -> str | None:
    """Who never got a first token, in words, where in one of the runs more than MANY of its arrivals did
    not: what is said of those that got one is then said of survivors."""
    told = []
    for runs in (baseline, other):
        due = sum(int(run.judged.sum()) for run in runs)
        none = sum(int((run.judged & np.isnan(run.records.numbers("first_token"))).sum()) for run in runs)
        if due and none > MANY * due:
            told.append(f"{none:,} of {due:,} got none with {runs[0].manifest.variant}")
    return " and ".join(told) or None


def insight(baseline: str, other: str, groups: Mapping[str, Sequence[Run]]) -> Insight | None:
    """The line of a report; of the first run of each."""
    found = served_tpot(groups[baseline][0], groups[other][0])
    if found is None:
        return None
    first = " of their first runs" if max(len(groups[name]) for name in (baseline, other)) > 1 else ""
    change = formatting.percent(intervals.change(found.before, found.after))
    excluded = " and ".join(
        f"{count:,} with {name}"
        for name, count in zip((baseline, other), found.unserved, strict=True)
        if count
    )
    text = (
        f"{found.count:,} arrivals{first} got a first token with both variants. For them TPOT p50 was "
        f"{formatting.number(found.before, 'ms')} ms with {baseline} and "
        f"{formatting.number(found.after, 'ms')} ms with {other} ({change}). "
        f"This holds on the condition of having been served: of {found.due:,} arrivals, {excluded} never got "
        "a token. In a queue those who did are the early ones. "
        "It says how fast tokens come to whoever is in, and it is no claim about all arrivals."
    )
    figures = {
        "tpot_p50_served_baseline": found.before,
        "tpot_p50_served": found.after,
        "served_by_both": float(found.count),
    }
    return Insight(kind="served", variant=other, text=text, figures=dict(figures))


def _started(run: Run) -> Floats:
    """Numbers of the window's arrivals that got a first token."""
    return run.records.numbers("arrival")[run.judged & ~np.isnan(run.records.numbers("first_token"))]


def _median(run: Run, chosen: Floats) -> float | None:
    found = durations.of(run, "tpot")
    numbers = run.records.numbers("arrival")[found.rows]
    mine: Mask = np.isin(numbers, chosen)
    return Survival.of(found.seconds[mine], found.known[mine]).percentile(0.5).value
