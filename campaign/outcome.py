"""What a step's run folder says of how the run went."""

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.results import MANIFEST, NOT_APPLIED, SUMMARY


@dataclass(frozen=True)
class Outcome:
    """Of one run folder: a verdict, or the server's reason to refuse the variant, or neither."""

    verdict: str | None = None
    refused: str | None = None


def outcome_of(folder: Path) -> Outcome:
    """The outcome of a run that went to its end. Neither: it was interrupted, or never began."""
    if reason := _read(folder / NOT_APPLIED).get("reason"):
        return Outcome(refused=str(reason))
    if _read(folder / MANIFEST).get("ended") != "complete":
        return Outcome()
    return Outcome(verdict=_read(folder / SUMMARY).get("verdict"))


def _read(path: Path) -> dict[str, Any]:
    """A JSON object; empty where there is none that can be read."""
    with contextlib.suppress(OSError, ValueError):
        found = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(found, dict):
            return found
    return {}
