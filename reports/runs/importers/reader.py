"""Reads a file of any kind that is known, or the one of a folder that says most."""

from collections.abc import Iterable
from pathlib import Path

from common.registry import import_all
from common.usage import UsageError
from reports.runs import importers
from reports.runs.importers.imported import LONGEST, Imported
from reports.runs.importers.registry import Importer, find, kinds
from reports.runs.importers.source import Source
from reports.text import escape

import_all(importers.__name__, importers.__path__)  # each registers its importers
# What a value of a type that the tool does not write raises where it is met; importers name what they can.
MISSHAPEN = (AttributeError, TypeError, LookupError, ArithmeticError, RecursionError)
MOST_FILES = 500  # of a folder that are looked at


def read(path: Path) -> list[Imported]:
    """The results in a file, or in the file of a folder that says most. Raises UsageError."""
    source = Source(_chosen(path) if path.is_dir() else path)
    found = _found(source)
    if found is None:
        if source.shape in ("object", "array"):
            source.value()  # raises where it is cut off
        begin = escape.clean(source.begin.decode("utf-8", "replace"))
        raise UsageError(
            f"{path}: begins with {begin!r} and is of no kind that can be audited: {'; '.join(kinds())}"
        )
    try:
        results = found.read(source)
    except MISSHAPEN as error:
        raise UsageError(
            f"{path}: a value in it is of no kind that {found.tool} writes: {_told(error)}"
        ) from error

    for each in results:
        _require_times(each)
    return results


def _found(source: Source) -> Importer | None:
    try:
        return find(source)
    except MISSHAPEN as error:
        raise UsageError(
            f"{source.path}: a value in it is of no kind that is known: {_told(error)}"
        ) from error


def _require_times(found: Imported) -> None:
    """Raise UsageError for times that no run has."""
    if not found.watched <= LONGEST:  # NaN included
        raise UsageError(
            f"{found.path}: holds a time {found.watched:.3g} s after the first request, as no run does"
        )


def _told(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def _chosen(folder: Path) -> Path:
    """The one file of the folder that is a result; one with requests, where there is any."""
    known: list[tuple[bool, Path]] = []
    for path in _files(folder):
        try:
            found = find(Source(path))
        except UsageError:
            continue
        if found is not None:
            known.append((found.sums, path))
    if not known:
        raise UsageError(f"{folder}: holds no result file of {'; '.join(kinds())}")
    best = [path for sums, path in known if sums == min(known)[0]]
    if len(best) > 1:
        named = ", ".join(str(path.relative_to(folder)) for path in best[:5])
        raise UsageError(f"{folder}: holds {len(best)} results ({named}{', …' * (len(best) > 5)}); name one")
    return best[0]


def _files(folder: Path) -> Iterable[Path]:
    found = sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    if len(found) > MOST_FILES:
        raise UsageError(f"{folder}: holds {len(found)} files; name the result file")
    return found
