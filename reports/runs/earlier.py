"""What is known of runs before a run: those of its variant on its target, and in what they differ."""

from collections.abc import Sequence

from common.usage import UsageError
from reports.runs.conditions import conditions, named
from reports.runs.index import Entry
from reports.runs.runs import Run
from reports.runs.selection import without_records


def earlier_runs(known: Sequence[Entry], newest: Run, limit: int = 10) -> list[tuple[Entry, list[str]]]:
    """The variant's runs that started before `newest` on its target, newest first, with what differs.

    A run whose summary is damaged is passed over: no report may fail for an earlier run.
    """
    now, manifest = conditions(newest), newest.manifest
    found: list[tuple[Entry, list[str]]] = []
    for each in known:
        other = each.manifest
        alike = (other.variant, other.target) == (manifest.variant, manifest.target)
        before = (other.started_at or "") <= (manifest.started_at or "")
        if len(found) < limit and alike and before and each.run != newest.name and _is_whole(each):
            found.append((each, named(now, conditions(without_records(other, each.folder)))))
    return found


def _is_whole(entry: Entry) -> bool:
    try:
        return entry.summary is not None
    except UsageError:
        return False
