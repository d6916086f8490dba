"""`python -m campaign COMMAND`: run, compare, sweep, capacity, ui; see each with --help."""

import argparse
import sys
from collections.abc import Sequence

import common.early  # noqa: F401  (first)
from campaign import load
from campaign.capacity import run_capacity
from campaign.series import add_series_arguments, run_series
from campaign.terms import add_capacity_arguments
from campaign.ui import add_ui_arguments, run_ui
from common.usage import Parser, exit_code


def parse(words: Sequence[str]) -> argparse.Namespace:
    """The command line; `action` is the function that does it."""
    parser = Parser(prog="python -m campaign", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    run = commands.add_parser("run", help="one variant: serve it, load it, judge the run")
    run.add_argument("variant")
    run.add_argument("--strict", action="store_true", help="exit 3, 4, 5 for the run's verdict, not 0")
    load.add_arguments(run)
    run.set_defaults(action=_run)
    for name, repeats, text in (
        ("compare", 3, "variants in turn, several times each, and a report with intervals from the runs"),
        ("sweep", 1, "many variants in turn, and a report of all against the first"),
    ):
        series = commands.add_parser(name, help=text)
        add_series_arguments(series, repeats)
        series.set_defaults(action=run_series)
    capacity = commands.add_parser("capacity", help="the highest rate at which a variant meets the SLO")
    add_capacity_arguments(capacity)
    capacity.set_defaults(action=run_capacity)
    ui = commands.add_parser("ui", help="Locust's web UI with a variant behind it")
    add_ui_arguments(ui)
    ui.set_defaults(action=run_ui)
    return parser.parse_args(words)


def main(words: Sequence[str]) -> int:
    """Run one command; its exit code."""
    given = parse(words)
    return int(given.action(given))


def _run(given: argparse.Namespace) -> int:
    wanted = load.load_of(given)
    wanted.check([given.variant])
    code = load.run_once(wanted, given.variant)
    return 0 if code in load.VERDICTS and not given.strict else code


if __name__ == "__main__":
    sys.exit(exit_code(lambda: main(sys.argv[1:])))
