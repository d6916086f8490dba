"""What is known of runs before a run: those of its variant on its target, and in what they differ."""

from collections.abc import Iterator, Sequence

from common.usage import UsageError
from reports.runs.conditions import DECISIVE, conditions, named
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


def of_its_kind(run: Run, known: Sequence[Entry]) -> Iterator[Entry]:
    """The variant's whole runs before `run` under its load on its target, newest first."""
    mine, mark = kind(run), (run.manifest.variant, run.manifest.scenario_hash)
    for each in sorted(known, key=_when, reverse=True):
        other = each.manifest
        older = _when(each) < (run.manifest.started_at or "", run.name) and other.ended == "complete"
        if (other.variant, other.scenario_hash) != mark or not older or not _is_whole(each):
            continue
        if kind(without_records(other, each.folder)) == mine:
            yield each


def kind(run: Run) -> dict[str, object]:
    """What runs share whose figures may be held against each other."""
    found = conditions(run)
    return {"variant": run.manifest.variant} | {key: found[key] for key in DECISIVE}


def _when(entry: Entry) -> tuple[str, str]:
    return entry.manifest.started_at or "", entry.run


def _is_whole(entry: Entry) -> bool:
    try:
        return entry.summary is not None
    except UsageError:
        return False
