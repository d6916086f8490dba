"""Does memory stay flat over a long run? A soak in short: as many records and chunks, through the real path,
as fast as they go, against a metronome without waits.

Prints the resident size of worker and master over what a slow run would have sent by then. Exit code 1 when
either ends more than BOUND above what it had after the first 10 minutes of it.
"""

import sys
import tempfile
from argparse import ArgumentParser, Namespace
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench import load
from bench.accuracy import choose_cpus
from common.usage import UsageError

BOUND = 0.2  # by which the last may exceed the first
FIRST = 600.0  # s of the slow run, which memory is held against
POINTS = 12  # of the curve
BAR = 40  # columns of the largest
PARTS = ("worker", "master")


@dataclass(frozen=True)
class Soak:
    """Resident bytes over the seconds of the slow run that were gone through by then."""

    seconds: NDArray[np.float64]
    resident: dict[str, NDArray[np.float64]]  # of each of PARTS

    def at(self, part: str, seconds: float) -> float:
        """The largest until then, since the point before: what is freed at once counts too."""
        step = self.seconds[-1] / POINTS
        near = (self.seconds > seconds - step) & (self.seconds <= seconds)
        return float(self.resident[part][near].max())

    def growth(self, part: str) -> float:
        """The share by which the end exceeds what there was after FIRST."""
        return self.at(part, float(self.seconds[-1])) / self.at(part, FIRST) - 1

    def flat(self) -> bool:
        return all(self.growth(part) <= BOUND for part in PARTS)


def soak_of(looks: pd.DataFrame, first: float, last: float, faster: float) -> Soak:
    """From looks at the processes (`t`, `worker`, `master`) of a load that was sent from `first` to `last`.

    Raises UsageError for one of less than two times FIRST.
    """
    during = looks[looks["t"].between(first, last)]
    seconds = (during["t"].to_numpy(float) - first) * faster
    if not len(seconds) or seconds[-1] < 2 * FIRST:
        raise UsageError(f"too short to judge: it takes {2 * FIRST / faster:.0f} s, with --seconds, or more")
    return Soak(seconds, {part: during[part].to_numpy(float) for part in PARTS})


def curve(soak: Soak, per_second: float) -> str:
    """The curve as Markdown, with a bar for the worker."""
    most = max(float(each.max()) for each in soak.resident.values())
    lines = ["| minutes | requests | worker MiB | master MiB | |", "|--:|--:|--:|--:|---|"]
    for seconds in np.linspace(0, soak.seconds[-1], POINTS + 1)[1:]:
        worker, master = (soak.at(part, float(seconds)) for part in PARTS)
        bar = "█" * round(BAR * worker / most)
        sizes = f"{worker / 2**20:.0f} | {master / 2**20:.0f}"
        lines.append(f"| {seconds / 60:.0f} | {seconds * per_second:,.0f} | {sizes} | `{bar}` |")
    return "\n".join(lines)


def add_arguments(parser: ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("--rate", type=float, default=20.0, help="requests per second of the slow run")
    parser.add_argument("--faster", type=float, default=12.0, help="times as fast as that")
    parser.add_argument("--seconds", type=float, default=180.0, help="what it takes here")


def run(args: Namespace) -> int:
    """Exit code 0 when memory stays flat, 1 when not."""
    if min(args.rate, args.faster) <= 0 or args.seconds * args.faster < 2 * FIRST:
        raise UsageError(f"--seconds x --faster must come to {2 * FIRST:g} s or more, both to more than 0")
    with tempfile.TemporaryDirectory(prefix="endurance-") as folder:
        place, cpus = Path(folder, "run"), choose_cpus()
        loaded = load.run(args.rate * args.faster, args.seconds, place, cpus, ttft=0.0, tpot=0.0)
    soak = soak_of(loaded.looks, float(loaded.truth.read[0]), float(loaded.truth.read[-1]), args.faster)
    print(f"{len(loaded.truth.read):,} requests, {len(loaded.truth.sent):,} chunks in {args.seconds:g} s:\n")
    print(curve(soak, args.rate))
    grown = ", ".join(f"{part} {soak.growth(part):+.0%}" for part in PARTS)
    print(f"\nfrom minute {FIRST / 60:.0f} to the end: {grown}: {'flat' if soak.flat() else 'NOT FLAT'}")
    failed = int((loaded.records["status"] != "completed").sum())
    if failed:
        print(f"{failed} requests did not complete", file=sys.stderr)
    return 0 if soak.flat() and not failed else 1
