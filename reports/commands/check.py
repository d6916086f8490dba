"""`tokenswarm check RUN --against history`: is the run worse than the last ones of its kind?"""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from rich.table import Table
from rich.text import Text

from common.results import results_folder
from common.usage import UsageError, whole
from reports.commands.compare import add_minimum_effect, checked_minimum_effect
from reports.gate import history, options
from reports.gate.gate import EXIT_CODE, Gate
from reports.runs.index import Entry, index
from reports.runs.manifest import read_manifest
from reports.text.console import console_of

LAST = 20  # runs
WIDTH = 150
_COLOURS = {"failed": "red", "error": "red", "passed": "green", "skipped": "dim"}


def add_arguments(parser: ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("run", nargs="?", metavar="RUN", help="its folder or name (default: the newest)")
    parser.add_argument(
        "--against", choices=("history",), default="history", help=f"exit {EXIT_CODE} where it is worse"
    )
    parser.add_argument(
        "--last", type=whole, default=LAST, metavar="N", help=f"earlier runs of its kind (default: {LAST})"
    )
    add_minimum_effect(parser)
    options.add_files(parser)


def run(given: Namespace) -> int:
    """Exit code 0: not worse, or too few runs to tell; 7: worse, or the run cannot be used; 2: a mistake."""
    if given.last < history.LEAST:
        raise UsageError(f"--last {given.last}: must be {history.LEAST} or more")
    smallest = checked_minimum_effect(given.minimum_effect) / 100
    options.check(given)
    known = index(results_folder())[0]
    checked = _entry(given.run, known)
    found = history.series(checked, known, given.last)
    manifest = checked.manifest
    setup = f"{manifest.variant} on {manifest.target}, {manifest.scenario_name}; "
    setup += f"{len(found.runs) - 1} earlier runs."
    gate = history.gate_of(found, checked.summary.verdict, smallest, setup)
    console = console_of(WIDTH)
    console.print(_table(gate))
    console.print(Text(setup, style="dim"))
    return options.conclude(gate, given)


def _entry(name: str | None, known: list[Entry]) -> Entry:
    if name is None:
        whole = [each for each in known if each.manifest.ended == "complete"]
        if not whole:
            raise UsageError(f"{results_folder()}: no finished run yet; `make baseline` makes the first")
        return whole[0]
    folder = Path(name) if Path(name).is_dir() else results_folder() / name
    if not folder.is_dir():
        raise UsageError(f"{name}: no such run; `tokenswarm history` lists the runs in {results_folder()}")
    return Entry(folder, read_manifest(folder))


def _table(gate: Gate) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("", "before", "now", "change", ""):
        table.add_column(heading, justify="right" if heading else "left", no_wrap=bool(heading))
    for case in gate.cases:
        state = Text(f"{case.state}: {case.text}", style=_COLOURS[case.state])
        table.add_row(Text(case.figure), Text(case.before), Text(case.now), Text(case.change), state)
    return table
