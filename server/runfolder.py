"""The folder of a run: the launcher makes it and leaves the server's log and description there."""

import json
import re
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from common.usage import UsageError
from server.places import results

LOG = "server.log"
SERVER = "server.json"
NOT_APPLIED = "not_applied.json"
LOG_TAIL_LINES = 30


def make(variant: str) -> Path:
    """Make results/<UTC time>-<variant>/, a new one even within the same second."""
    base = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{re.sub(r'[^A-Za-z0-9._-]', '-', variant)}"
    for number in range(1, 1000):
        folder = results() / (base if number == 1 else f"{base}-{number}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as error:
            raise UsageError(f"the run folder {folder} cannot be made: {error.strerror}") from None
        return folder
    raise UsageError(f"there are 1,000 folders named {base} already")


def discard(folder: Path) -> None:
    """Remove the folder of a run that never began: one that holds only what the launcher wrote."""
    if {path.name for path in folder.iterdir()} <= {LOG, SERVER}:
        shutil.rmtree(folder)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write JSON so that a reader sees the whole file or none."""
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    part.replace(path)


def now() -> str:
    """UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
