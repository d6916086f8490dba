"""Does the worker's memory stay flat over a long run? Exit code 1 when it does not."""

import tempfile
from argparse import ArgumentParser, Namespace
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from bench import load
from bench.accuracy import choose_cpus
from common.usage import UsageError

_STAMP = 8  # bytes the worker takes for a chunk while its stream lives
_SHARE = 0.1  # of the stamps' bytes that may stay behind
_NEEDED = 10 * 2**20  # bytes of stamps without which growth could not be told from noise


@dataclass(frozen=True)
class Growth:
    """Resident memory of the worker in the run's third sixth and in its last; bytes, medians."""

    early: float
    late: float
    stamped: float  # bytes of stamps taken between the middles of the two

    @property
    def flat(self) -> bool:
        return self.late - self.early <= _SHARE * self.stamped


def growth(worker: pd.DataFrame, first: float, last: float, chunks: int) -> Growth:
    """Judge looks at the worker (`t`, `rss`) of a run whose `chunks` came evenly from `first` to `last`.

    Raises UsageError when the run is too short to judge.
    """
    sixth = (last - first) / 6
    stamped = _STAMP * chunks / 2  # the middles are half the run apart
    if stamped < _NEEDED:
        raise UsageError(
            f"too short to judge: {stamped / 2**20:.1f} MiB of stamps, {_NEEDED / 2**20:.0f} needed"
        )
    early, late = (
        float(np.median(worker["rss"][worker["t"].between(start, start + sixth)]))
        for start in (first + 2 * sixth, last - sixth)
    )
    return Growth(early, late, stamped)


def add_arguments(parser: ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("--rate", type=float, default=200.0, help="requests per second")
    parser.add_argument("--seconds", type=float, default=300.0)


def run(args: Namespace) -> int:
    """Exit code 0 when the memory stays flat, 1 when not."""
    with tempfile.TemporaryDirectory(prefix="endurance-") as folder:
        loaded = load.run(args.rate, args.seconds, Path(folder, "run"), choose_cpus())
    sent = loaded.truth.sent
    seen = growth(loaded.worker, float(loaded.truth.read[0]), float(loaded.truth.read[-1]), len(sent))
    print(
        f"{len(loaded.truth.read):,} requests, {len(sent):,} chunks in {args.seconds:g} s: the worker's "
        f"memory went from {seen.early / 2**20:.1f} to {seen.late / 2**20:.1f} MiB over half the run, in "
        f"which it took {seen.stamped / 2**20:.1f} MiB of stamps: {'flat' if seen.flat else 'NOT FLAT'} "
        f"(bound: {_SHARE:.0%} of the stamps)"
    )
    return 0 if seen.flat else 1
