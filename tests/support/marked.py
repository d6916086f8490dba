"""Commands that launch a stand-in for a server: all that they start carries a mark, by which it is found."""

import contextlib
import os
from pathlib import Path

import psutil


def environment(folder: Path, python: Path, mark: str) -> dict[str, str]:
    """Of a command that launches it: all of it works in `folder`, and all that it starts carries the mark."""
    found = {name: value for name, value in os.environ.items() if not name.startswith("TOKENSWARM")}
    return found | {
        "TOKENSWARM_RESULTS": str(folder / "results"),
        "TOKENSWARM_CACHE": str(folder / "cache"),
        "TOKENSWARM_SERVER_PYTHON": str(python),
        "MARK_OF_THIS_TEST": mark,
    }


def running(mark: str) -> list[int]:
    """Every process with the mark that is not a zombie."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get("MARK_OF_THIS_TEST") == mark:
                found.append(process.pid)
    return found
