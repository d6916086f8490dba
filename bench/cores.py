"""How many chunks a second all cores stamp, one half of them serving, one half loading.

Metronomes share one port, a core each; Locust's workers have the rest. One row for each rate: the chunks
that were stamped, the client's error, its CPU time, and how late the metronomes themselves were.
"""

import argparse
import contextlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from bench import load
from bench.errors import compare
from bench.process import metronome
from bench.truth import Truth
from common.ports import free_port
from common.results import MANIFEST, RECORDS, SUMMARY
from common.usage import UsageError
from loadgen.host.machine import describe

TTFT, TPOT, TOKENS = 0.08, 0.02, 150  # s, s, of each answer
EDGE = 5  # s at either end in which the rate rises or falls
HEAD = (
    "| workers | servers | asked /s | requests | chunks/s | verdict | TTFT error p50 / p99 ms "
    "| TPOT error p99 ms | dispatch delay p99 ms | busiest worker, cores | CPU s per 1,000 chunks "
    "| server late p50 / p99 ms |\n"
    "|--:|--:|--:|--:|--:|---|--:|--:|--:|--:|--:|--:|"
)


def measure(rate: float, seconds: float, servers: Sequence[int], clients: Sequence[int], folder: Path) -> str:
    """One run at `rate` requests/s, as a row of the table. Raises UsageError where a part of it fails."""
    timetable = ("--ttft", str(TTFT), "--tpot", str(TPOT), "--share-port")
    port = free_port()
    with contextlib.ExitStack() as stack:
        children = [stack.enter_context(metronome(*timetable, cpu=cpu, port=port)) for cpu in servers]
        load.drive(children[0].url, rate, seconds, folder, clients, workers=len(clients))
        truth = Truth.joined([child.stop() for child in children])
    return _row(rate, folder, truth, len(clients), len(servers))


def _row(rate: float, folder: Path, truth: Truth, workers: int, servers: int) -> str:
    records = pd.read_parquet(folder / RECORDS)
    lanes = json.loads((folder / MANIFEST).read_text())["lanes"]
    summary = json.loads((folder / SUMMARY).read_text())
    failed = [rule["rule"] for rule in summary["rules"] if not rule["passed"]]
    verdict = summary["verdict"] + (f" ({', '.join(failed)})" if failed else "")
    errors = compare(records, truth)
    ttft = np.nanpercentile(errors.ttft, 50), np.nanpercentile(np.abs(errors.ttft), 99)
    delay = (records["sent"] - records["due"]).to_numpy(float)
    steady = np.histogram(truth.sent, np.arange(truth.sent.min() + EDGE, truth.sent.max() - EDGE, 1.0))[0]
    cpu = [lane["cpu_s"] for lane in lanes]
    milliseconds = [
        f"{1e3 * ttft[0]:+.2f} / {1e3 * ttft[1]:.2f}",
        f"{1e3 * np.nanpercentile(np.abs(errors.tpot), 99):.4f}",
        f"{1e3 * np.nanpercentile(delay, 99):.2f}",
    ]
    late = np.percentile(truth.lateness(), [50, 99]) * 1e3
    cells = [
        workers,
        servers,
        f"{rate:g}",
        f"{len(records):,}",
        f"{np.median(steady):,.0f}",
        verdict,
        *milliseconds,
        f"{max(lane['cpu_s'] / lane['wall_s'] for lane in lanes):.2f}",
        f"{sum(cpu) / errors.tokens * 1000:.4f}",
        f"{late[0]:.2f} / {late[1]:.2f}",
    ]
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("--rates", type=float, nargs="+", required=True, help="requests per second")
    parser.add_argument("--seconds", type=float, default=60.0, help="schedule of each rate")
    parser.add_argument(
        "--workers", type=int, help="cores that load; the others serve (default: half of them)"
    )


def run(asked: argparse.Namespace) -> int:
    """Measure each rate, print a row for each."""
    cores = sorted(os.sched_getaffinity(0))
    workers = asked.workers or len(cores) // 2
    if not 0 < workers < len(cores):
        raise UsageError(f"--workers {workers}: of {len(cores)} cores at least one loads and one serves")
    if asked.seconds < 2 * EDGE + 5:
        raise UsageError(
            f"--seconds {asked.seconds:g}: chunks/s is told without {EDGE} s at either end; take more"
        )
    here = describe()
    print(
        f"{here['cpu']}, {len(cores)} cores, Linux {here['kernel']}, Python {sys.version.split()[0]}; "
        f"{TOKENS} tokens an answer, {asked.seconds:g} s each\n\n{HEAD}",
        flush=True,
    )
    with tempfile.TemporaryDirectory(prefix="cores-") as folder:
        for number, rate in enumerate(asked.rates):
            begun = time.perf_counter()
            row = measure(rate, asked.seconds, cores[workers:], cores[:workers], Path(folder, str(number)))
            print(row, flush=True)
            print(f"({time.perf_counter() - begun:.0f} s)", file=sys.stderr)
    return 0
