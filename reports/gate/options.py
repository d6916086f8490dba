"""The options of every verb that can be a gate, and how its files are written."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from common.results import write_whole
from common.terminal import say
from common.usage import UsageError
from reports.gate import files
from reports.gate.gate import REASONS, Gate


def add_arguments(parser: ArgumentParser) -> None:
    """--fail-on, --junit, --summary; docs/ci.md explains them."""
    parser.add_argument("--fail-on", action="append", choices=REASONS, default=[])
    add_files(parser)


def add_files(parser: ArgumentParser) -> None:
    """--junit, --summary."""
    parser.add_argument("--junit", type=Path, metavar="FILE")
    parser.add_argument("--summary", type=Path, metavar="FILE")


def check(given: Namespace) -> None:
    """Raise UsageError, before anything is measured, for a file that could not be written."""
    for option, path in (("--junit", given.junit), ("--summary", given.summary)):
        if path is not None and (path.is_dir() or not path.absolute().parent.is_dir()):
            raise UsageError(f"{option} {path}: is no file in a folder that is there")


def words(given: Namespace) -> list[str]:
    """The words of `add_arguments` that give these options again, whatever the folder they are read in."""
    found = [word for reason in given.fail_on for word in ("--fail-on", reason)]
    for option, path in (("--junit", given.junit), ("--summary", given.summary)):
        found += [option, str(path.absolute())] if path else []
    return found


def conclude(gate: Gate, given: Namespace) -> int:
    """Write the files that are asked for, say what came out; the exit code."""
    for path, content in ((given.junit, files.junit), (given.summary, files.summary)):
        if path is not None:
            try:
                write_whole(path, content(gate))
            except OSError as error:
                raise UsageError(f"{path}: cannot be written: {error.strerror}") from None
    for case in gate.failing:
        say(f"{case.state}: {case.subject}, {case.figure}: {case.text}")
    say(gate.headline)
    return gate.exit_code
