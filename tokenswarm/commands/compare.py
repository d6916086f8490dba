"""`tokenswarm compare`: variants in turn, several times each, and a report with intervals from the runs."""

from argparse import ArgumentParser

from campaign import series
from campaign.series import run as run

REPEATS = 3  # the fewest that give an interval over runs, and leave two where one was disturbed


def add_arguments(parser: ArgumentParser) -> None:
    """The command's arguments."""
    series.add_arguments(parser, REPEATS)
    parser.add_argument("--side-by-side", action="store_true")
