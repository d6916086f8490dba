"""All runs of a results folder, by their manifests; summaries are read only of those that are shown."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from common import former_names
from common.results import MANIFEST, SUMMARY
from common.usage import UsageError
from reports.runs.manifest import Manifest, read_manifest


@dataclass(frozen=True)
class Summary:
    """What lists of runs need of a summary.json; empty for a run that was not judged yet."""

    verdict: str | None = None
    accounting: Mapping[str, int] = field(default_factory=dict)
    metrics: Mapping[str, float | None] = field(default_factory=dict)  # values by name; seconds
    bounds: Mapping[str, float | None] = field(default_factory=dict)  # what percentiles are above, by name

    def least(self, metric: str) -> float | None:
        """The value, or the least that it is above; None where neither is known."""
        value = self.metrics.get(metric)
        return self.bounds.get(metric) if value is None else value


@dataclass(frozen=True)
class Entry:
    """One run folder. Reading `summary` raises UsageError where summary.json is damaged."""

    folder: Path
    manifest: Manifest

    @property
    def run(self) -> str:
        return self.folder.name

    @cached_property
    def summary(self) -> Summary:
        path = self.folder / SUMMARY
        if not path.is_file():
            return Summary()
        try:
            found = former_names.loads(path.read_bytes())
            every = found.get("metrics", {}).items()
            values, bounds = (
                {name: each.get(key) for name, each in every} for key in ("value", "lower_bound")
            )
            return Summary(found.get("verdict"), dict(found.get("accounting", {})), values, bounds)
        except (AttributeError, TypeError):
            why = f"not a summary; `tokenswarm judge {path.parent}` writes it again"
        except (OSError, ValueError) as error:
            why = f"cannot be read: {' '.join(str(error).split())}"
        raise UsageError(f"{path}: {why}")


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


def _run_folders(results: Path) -> list[Path]:
    if not results.is_dir():
        return []
    with os.scandir(results) as entries:
        folders = [Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False)]
    return [folder for folder in folders if (folder / MANIFEST).is_file()]
