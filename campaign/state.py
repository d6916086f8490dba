"""How far a campaign has come: campaign.json in its folder, whole or old, never half."""

import contextlib
import fcntl
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from common.results import REFUSED, START_FAILED, results_folder, write_json
from common.usage import UsageError

FILE = "campaign.json"
LOCK = "campaign.lock"


class Step(BaseModel):
    """One run of one variant."""

    model_config = ConfigDict(extra="forbid")
    variant: str  # as it was named
    repeat: int  # from 1
    rate: float | None = None  # requests/s, where the campaign varies it
    state: Literal["waiting", "running", "done", "refused", "start_failed", "dropped"] = "waiting"
    run: str | None = None  # the run's folder in the results
    verdict: str | None = None  # of a step that is done
    reason: str | None = None  # why the server refused the variant or did not start, or who beat it (dropped)
    seconds: float = 0.0  # that its run took, with what was cut off before

    @property
    def settled(self) -> bool:
        return self.state in ("done", "dropped") or self.not_applied

    @property
    def not_applied(self) -> bool:
        return self.state in (REFUSED, START_FAILED)

    def wait(self) -> None:
        """Wait to be run, as in the beginning."""
        self.state, self.run, self.verdict, self.reason = "waiting", None, None, None


class Campaign(BaseModel):
    """campaign.json."""

    model_config = ConfigDict(extra="forbid")
    format: Literal[1] = 1
    name: str
    request: dict[str, Any]
    started_at: str
    steps: list[Step]
    stopped: str | None = None  # why the repeats left were not needed; of a race its last word
    best: str | None = None  # of a race that is over
    report: str | None = None  # its folder in the results, once it is written

    @property
    def folder(self) -> Path:
        return folder_of(self.name)

    @property
    def held_to(self) -> str | None:
        """The variant that the others are held to, without which nothing goes on; None in a race."""
        return None if self.request.get("race") else self.steps[0].variant

    @property
    def open_steps(self) -> list[int]:
        """The numbers (from 0) of the steps that are still to be run."""
        return [number for number, step in enumerate(self.steps) if not step.settled]

    def save(self) -> None:
        """Write campaign.json. Raises UsageError when it cannot be written."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_json(self.folder / FILE, self.model_dump(mode="json"))
        except OSError as error:
            raise UsageError(f"{self.folder / FILE}: cannot be written: {error.strerror}") from None


def folder_of(name: str) -> Path:
    """A campaign's folder."""
    return results_folder() / "campaigns" / name


@contextlib.contextmanager
def held(name: str) -> Iterator[None]:
    """While it is entered, no other process has a campaign of this name. Raises UsageError when one has."""
    path = folder_of(name) / LOCK
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.open("w")
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror}") from None
    with lock:  # closing it, or our end, lets go
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(f"{name} is being run by another process; wait until that has ended") from None
        yield


def find(name: str, begin: Callable[[str], Campaign], fresh: bool) -> tuple[Campaign, bool]:
    """The unfinished campaign of this name and True; or, where there is none, what `begin` makes and False.

    Finished ones stay: the next is NAME-2, NAME-3, ... With `fresh` an unfinished one is left alone, too.
    """
    number, newest = 1, None
    while (folder_of(numbered := name if number == 1 else f"{name}-{number}") / FILE).exists():
        newest, number = numbered, number + 1
    if newest is not None and not fresh:
        campaign = read(folder_of(newest) / FILE)
        if campaign.report is None:
            return campaign, True
    return begin(numbered), False


def read(path: Path) -> Campaign:
    """Read a campaign.json. Raises UsageError, with the way out, when it is not one."""
    try:
        return Campaign.model_validate_json(path.read_text(encoding="utf-8"))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"])) or "the file"
        what = f"{key}: {first['msg']}"
    except (OSError, json.JSONDecodeError, UnicodeDecodeError) as error:
        what = f"cannot be read: {error}"
    raise UsageError(f"{path}: {what}; --fresh begins anew")
