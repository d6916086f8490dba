"""Many requests on one worker: 10,000 streams open at a time, and 100,000 requests of one token.

Each against the metronome, whose tokens come slowly in the first case. One row for each: the verdict, the
client's error, its CPU time, and the resident memory that an open stream takes.
"""

import json
import sys
import tempfile
from argparse import ArgumentParser, Namespace
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench import load
from bench.accuracy import choose_cpus
from bench.errors import compare
from common.results import MANIFEST, SUMMARY

HEAD = (
    "| case | requests | open at a time | verdict | TTFT error p50 / p99 ms | dispatch delay p99 ms "
    "| CPU s per 1,000 requests | memory MiB | KiB per open stream |\n"
    "|---|--:|--:|---|--:|--:|--:|--:|--:|"
)


@dataclass(frozen=True)
class Case:
    """A load of one worker; seconds and tokens."""

    name: str
    rate: float
    seconds: float
    tokens: int
    tpot: float
    counts_memory: bool  # whether so many streams are open that their memory shows


CASES = (
    Case("10,000 open streams", rate=500, seconds=21, tokens=22, tpot=1.0, counts_memory=True),
    Case("100,000 of one token", rate=500, seconds=200, tokens=1, tpot=0.0, counts_memory=False),
)


def measure(case: Case, folder: Path) -> str:
    """One run, as a row of the table. Raises UsageError where a part of it fails."""
    run = load.run(
        case.rate,
        case.seconds,
        folder,
        choose_cpus(),
        tpot=case.tpot,
        arrivals="constant",
        output_tokens=case.tokens,
    )
    lane = json.loads((folder / MANIFEST).read_text())["lanes"][0]
    summary = json.loads((folder / SUMMARY).read_text())
    failed = [rule["rule"] for rule in summary["rules"] if not rule["passed"]]
    errors = compare(run.records, run.truth)
    ttft = np.percentile(errors.ttft, 50), np.percentile(np.abs(errors.ttft), 99)
    delay = np.nanpercentile((run.records["sent"] - run.records["due"]).to_numpy(float), 99)
    sizes = run.looks.set_index("t")["worker"]
    begun, most, open_at_once = float(sizes[run.truth.read[0] :].iloc[0]), sizes.max(), lane["peak_in_flight"]
    each = f"{(most - begun) / open_at_once / 1024:.1f}" if case.counts_memory else ""
    cells = [
        case.name,
        f"{len(run.records):,}",
        f"{open_at_once:,}",
        summary["verdict"] + (f" ({', '.join(failed)})" if failed else ""),
        f"{1e3 * ttft[0]:+.2f} / {1e3 * ttft[1]:.2f}",
        f"{1e3 * delay:.2f}",
        f"{1e3 * lane['cpu_s'] / len(run.records):.2f}",
        f"{most / 2**20:.0f}",
        each,
    ]
    return "| " + " | ".join(cells) + " |"


def add_arguments(parser: ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("--case", type=int, choices=(1, 2), help="one of the two (default: both)")


def run(args: Namespace) -> int:
    """Measure, print a row for each."""
    print(HEAD, flush=True)
    with tempfile.TemporaryDirectory(prefix="streams-") as folder:
        for number, case in enumerate(CASES, 1):
            if args.case in (None, number):
                print(f"{case.name}, {case.seconds:g} s …", file=sys.stderr)
                print(measure(case, Path(folder, str(number))), flush=True)
    return 0
