"""The folder of runs and reports, the files of a run, and how a file is written: whole or not at all."""

import contextlib
import json
import os
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from common.redact import hide_known, redact
from common.usage import UsageError

MANIFEST = "manifest.json"
READY = ".ready.json"  # since when a run that goes beside another could begin
DRAFT = ".manifest.json"  # its beginning, written before the first request
RECORDS = "requests.parquet"
METRICS = "server_metrics.parquet"
MACHINE = "machine.parquet"  # what the machines of workers and server did meanwhile, in rows like METRICS'
SUMMARY = "summary.json"  # what `reports judge` writes
LOG = "server.log"
COMPARISON = "comparison.json"  # of a report: every figure
FORECAST = "forecast.json"  # what was to be expected, written before the run
QUIET = "TOKENSWARM_QUIET"  # environment: the run is a step of a search, which says its own line of it
BESIDE = "TOKENSWARM_BESIDE"  # environment: the folder of the run that goes beside this one
SERVER = "server.json"  # what the launcher says of the server
NOT_APPLIED = "not_applied.json"  # why a variant cannot be served, and of which kind that is:
REFUSED: Final = "refused"  # another start would end the same way
START_FAILED: Final = "start_failed"  # the server died or took too long; the cause may be outside it
VARIANTS = "variants"  # a folder of the results: variant files that a grid wrote
MOST_ALIKE = 1000  # folders of one name and second
LONGEST_NAME = 100  # characters of a folder's name that a user chose; file systems take 255 bytes in all


def results_folder() -> Path:
    """Where runs and reports live: results/, or $TOKENSWARM_RESULTS."""
    return Path(os.environ.get("TOKENSWARM_RESULTS") or "results")


def stamped(name: str) -> str:
    """<UTC time>-<name>, fit for a file system: the name of a new run, by its variant."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{re.sub(r'[^A-Za-z0-9._-]', '-', name)[:LONGEST_NAME]}"


def now() -> str:
    """UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def make_new(folder: Path) -> Path:
    """Make a folder that there was not, with a number behind its name where there was. Raises UsageError."""
    for number in range(1, MOST_ALIKE):
        found = folder if number == 1 else folder.with_name(f"{folder.name}-{number}")
        try:
            found.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as error:
            raise UsageError(f"{found}: the folder cannot be made: {error.strerror}") from None
        return found
    raise UsageError(f"{folder}: there are {MOST_ALIKE:,} of that name already")


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file so that a reader sees the old one or the new one, never half. Raises OSError.

    A secret of this process that stands in a text is hidden.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(hide_known(content).encode() if isinstance(content, str) else content)
        part.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise


def write_json(path: Path, content: dict[str, Any]) -> None:
    """The same of JSON, readable by people, without what looks like a secret (common.redact)."""
    write_whole(path, redact(json.dumps(content, indent=2, ensure_ascii=False)) + "\n")
