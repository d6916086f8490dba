"""All runs of a results folder, by their manifests; summaries are read only of those that are shown."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from common import former_names
from common.results import MANIFEST, SUMMARY
from common.usage import UsageError
from reports.document.schema import Json
from reports.runs.conditions import conditions, named
from reports.runs.runs import Manifest, Run, read_manifest
from reports.runs.selection import without_records


@dataclass(frozen=True)
class Entry:
    """One run folder. Reading `summary` raises UsageError where summary.json is damaged."""

    folder: Path
    manifest: Manifest

    @property
    def run(self) -> str:
        return self.folder.name

    @cached_property
    def summary(self) -> dict[str, Any]:
        """summary.json, or nothing where the run was not judged yet."""
        path = self.folder / SUMMARY
        if not path.is_file():
            return {}
        try:
            found = former_names.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UsageError(f"{path}: cannot be read: {' '.join(str(error).split())}") from None
        if not isinstance(found, dict):
            raise UsageError(f"{path}: not a summary; `tokenswarm judge {path.parent}` writes it again")
        return found

    @property
    def verdict(self) -> str | None:
        """None: not judged yet."""
        return self.summary.get("verdict")

    @property
    def metrics(self) -> dict[str, float | None]:
        """The values of the summary's metrics, by name; seconds."""
        return {name: each.get("value") for name, each in self.summary.get("metrics", {}).items()}

    @property
    def conditions(self) -> dict[str, Json]:
        return conditions(without_records(self.manifest, self.folder))


@dataclass(frozen=True)
class Unreadable:
    """A folder with a manifest that is none, and why."""

    run: str
    problem: str


def index(results: Path) -> tuple[list[Entry], list[Unreadable]]:
    """Every run under `results`, the newest first, and the folders that cannot be read."""
    found: list[Entry] = []
    problems: list[Unreadable] = []
    for folder in _run_folders(results):
        try:
            found.append(Entry(folder, read_manifest(folder)))
        except UsageError as error:
            problems.append(Unreadable(folder.name, str(error)))
    found.sort(key=lambda each: (each.manifest.started_at or "", each.run), reverse=True)
    return found, sorted(problems, key=lambda each: each.run, reverse=True)


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
            found.append((each, named(now, each.conditions)))
    return found


def _is_whole(entry: Entry) -> bool:
    try:
        return entry.summary is not None
    except UsageError:
        return False


def _run_folders(results: Path) -> list[Path]:
    if not results.is_dir():
        return []
    with os.scandir(results) as entries:
        folders = [Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False)]
    return [folder for folder in folders if (folder / MANIFEST).is_file()]
