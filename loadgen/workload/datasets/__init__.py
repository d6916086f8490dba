"""Prompts, lengths and times from files: one module for each format (docs/scenarios.md), no load."""

import hashlib
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from common.results import RECORDS
from common.usage import UsageError
from loadgen.workload.datasets.formats import FORMATS
from loadgen.workload.datasets.row import Note, Row

__all__ = ["FORMATS", "Row", "digest", "locate", "read_rows"]

FORMATS.discover(__name__, __path__)


def read_rows(
    name: str, path: Path, sha256: str | None = None, notes: Counter[str] | None = None
) -> Iterator[Row]:
    """The rows of a file in its order, their times never falling.

    `notes` counts, by what was done with them, the rows that were passed over or filled in.

    Raises UsageError with file, row and reason at the first broken row, and when the file is missing or
    is not the one whose digest is given.
    """
    if sha256 is not None and digest(path) != sha256:
        raise UsageError(f"{path}: is not the file that the scenario was read with (its digest differs)")
    last, where = None, f"{path}: row 1"
    try:
        for row in FORMATS[name](path):
            if isinstance(row, Note):
                if notes is not None:
                    notes[row.text] += 1
                continue
            if row.time is not None and last is not None and row.time < last:
                raise UsageError(
                    f"{row.where}: its time is before that of the row above; sort the file by time"
                )
            last, where = row.time, row.where
            yield row
    except (OSError, EOFError, zlib.error) as error:  # the last two: packed, and cut off or damaged
        why = getattr(error, "strerror", None) or error
        raise UsageError(f"{path}: cannot be read: {why}") from None
    except UnicodeDecodeError as error:  # in JSON of one piece, which is read some way ahead of its rows
        raise UsageError(f"{where} or later: not UTF-8 text: {error.reason}") from None


def locate(path: Path) -> Path:
    """The file itself: in a run's folder that is requests.parquet."""
    return path / RECORDS if path.is_dir() else path


def digest(path: Path) -> str:
    """SHA-256 of the file's content, in hex."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror or error}") from None
