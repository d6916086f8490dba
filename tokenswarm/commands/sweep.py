"""`tokenswarm sweep`: many variants in turn, and a report of all against the first."""

from argparse import ArgumentParser

from campaign import series
from campaign.series import run as run


def add_arguments(parser: ArgumentParser) -> None:
    """The command's arguments."""
    series.add_arguments(parser, repeats=1)
