"""`tokenswarm bench calibrate`: measure the client's own error here and keep it for the reports."""

from argparse import ArgumentParser, Namespace
from dataclasses import asdict

from bench import accuracy
from common.results import now
from loadgen.host import calibration


def add_arguments(parser: ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("--seconds", type=float, default=25.0, help="schedule of each rate")


def run(given: Namespace) -> int:
    """Measure and keep."""
    rows = accuracy.measure(list(accuracy.RATES), given.seconds)
    path = calibration.store([asdict(row) for row in rows], given.seconds, now())
    print(accuracy.table(rows))
    print(f"kept in {path}; reports on this machine now state the client's error")
    return 0
