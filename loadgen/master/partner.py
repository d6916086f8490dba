"""The run beside ours, of `compare --side-by-side`: both begin at one moment of this machine's clock."""

import contextlib
import json
import os
import time
from pathlib import Path

from common.results import BESIDE, READY, SERVER, write_json

LEAD = 2.0  # s from the later one's word to the start: for what is read before the first request


class Partner:
    """The run in `folder`, on this machine; its master says there when it could begin, as ours does."""

    def __init__(self, folder: Path) -> None:
        self.run = folder.name
        self._folder = folder

    @classmethod
    def of_environment(cls) -> "Partner | None":
        """None where no other run goes beside ours."""
        folder = os.environ.get(BESIDE)
        return cls(Path(folder)) if folder else None

    @property
    def launcher(self) -> int | None:
        """The process that started its server and its load; None where its folder does not say."""
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            return int(json.loads((self._folder / SERVER).read_text(encoding="utf-8"))["launcher"]["pid"])
        return None

    @property
    def ready(self) -> float | None:
        """When it could begin (time.perf_counter, one clock for a whole machine); None: not yet."""
        with contextlib.suppress(OSError, ValueError, KeyError):
            return float(json.loads((self._folder / READY).read_text(encoding="utf-8"))["at"])
        return None


def say_ready(folder: Path) -> float:
    """Tell the partner that the run in `folder` could begin, and since when. Raises OSError."""
    at = time.perf_counter()
    write_json(folder / READY, {"at": at})
    return at


def take_back(folder: Path) -> None:
    """The run is over, or never began."""
    (folder / READY).unlink(missing_ok=True)
