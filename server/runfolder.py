"""The folder of a run: the launcher makes it and leaves the server's log and description there."""

import shutil
from pathlib import Path

from common.results import FORECAST, LOG, SERVER, make_new, results_folder, stamped

LOG_TAIL_LINES = 30


def make(variant: str) -> Path:
    """Make results/<UTC time>-<variant>/, a new one even within the same second."""
    return make_new(results_folder().absolute() / stamped(variant))


def discard(folder: Path) -> None:
    """Remove the folder of a run that never began: one that holds only what the launcher wrote."""
    if folder.is_dir() and {path.name for path in folder.iterdir()} <= {FORECAST, LOG, SERVER}:
        shutil.rmtree(folder)
