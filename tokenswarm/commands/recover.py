"""`tokenswarm recover`: a run of what was left when the master died."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from common.terminal import shown
from common.usage import UsageError
from loadgen.records.collect import recover


def add_arguments(parser: ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument(
        "folders", nargs="+", type=Path, metavar="DIR", help="the run's folder, workers' copies"
    )


def run(given: Namespace) -> int:
    """Make the run."""
    for folder in given.folders:
        if not folder.is_dir():
            raise UsageError(f"{folder}: no such folder")
    home = recover(given.folders)
    print(shown(f"{home} is a run now; `tokenswarm judge {home}` judges it"))
    return 0
