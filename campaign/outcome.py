"""What a step's run folder says of how the run went."""

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from common.results import MANIFEST, NOT_APPLIED, REFUSED, START_FAILED, SUMMARY


@dataclass(frozen=True)
class Outcome:
    """Of one run folder: a verdict, or why the variant was not served, or neither."""

    verdict: str | None = None
    not_applied: Literal["refused", "start_failed"] | None = None
    reason: str | None = None  # of not_applied


def outcome_of(folder: Path) -> Outcome:
    """The outcome of a run that went to its end. Neither: it was interrupted, or never began."""
    refusal = _read(folder / NOT_APPLIED)
    if reason := refusal.get("reason"):
        again = refusal.get("kind") == START_FAILED
        return Outcome(not_applied=START_FAILED if again else REFUSED, reason=str(reason))
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
