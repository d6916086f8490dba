"""How many chunks a second all cores stamp, one half of them serving, one half loading.

Metronomes share one port, a core each; the client has the rest: Locust's workers, or one of vLLM's own.
One row for each client and rate: the chunks, the client's error, its CPU time, how late the metronomes were.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from bench import load, rival
from bench.errors import compare
from bench.load import TPOT, TTFT
from bench.process import metronomes
from bench.truth import EDGE, Truth
from common.results import MANIFEST, RECORDS, SUMMARY
from common.usage import UsageError
from loadgen.host.machine import describe

TOKENS = 150  # of each answer
OURS, PYTHON, RUST = CLIENTS = ("tokenswarm", "vllm", "vllm-rs")
HEAD = (
    "| client | asked /s | requests | chunks/s | verdict | TTFT error p50 / p99 ms | TPOT error p99 ms "
    "| dispatch delay p99 ms | cores used | CPU s per 1,000 chunks | server late p50 / p99 ms |\n"
    "|---|--:|--:|--:|---|--:|--:|--:|--:|--:|--:|"
)


def measure(rate: float, seconds: float, servers: Sequence[int], clients: Sequence[int], folder: Path) -> str:
    """One run of ours at `rate` requests/s, as a row. Raises UsageError where a part of it fails."""
    with metronomes("--ttft", str(TTFT), "--tpot", str(TPOT), cpus=servers) as served:
        load.drive(served.url, rate, seconds, folder, clients, workers=len(clients))
        truth = served.stop()
    return _row(rate, folder, truth, len(clients))


def measure_rival(
    client: rival.Rival,
    rate: float,
    seconds: float,
    servers: Sequence[int],
    clients: Sequence[int],
    folder: Path,
) -> str:
    """The same of another client."""
    row, truth = rival.measure(client, rate, seconds, folder, clients, servers)
    failed = f" ({row.failed:,} failed)" if row.failed else ""
    return _line(
        client.name,
        f"{rate:g}",
        f"{row.requests:,}{failed}",
        f"{row.chunks_per_s:,.0f}",
        "",
        f"{1e3 * row.ttft_error_p50:+.2f} / {1e3 * row.ttft_error_p99:.2f}",
        f"{1e3 * row.tpot_error_p99:.4f}",
        "",
        f"{row.cores:.2f}",
        f"{row.cpu_s_per_1000_chunks:.4f}",
        _late(truth),
    )


def _row(rate: float, folder: Path, truth: Truth, workers: int) -> str:
    records = pd.read_parquet(folder / RECORDS)
    lanes = json.loads((folder / MANIFEST).read_text())["lanes"]
    summary = json.loads((folder / SUMMARY).read_text())
    failed = [rule["rule"] for rule in summary["rules"] if not rule["passed"]]
    verdict = summary["verdict"] + (f" ({', '.join(failed)})" if failed else "")
    errors = compare(records, truth)
    ttft = np.nanpercentile(errors.ttft, 50), np.nanpercentile(np.abs(errors.ttft), 99)
    delay = (records["sent"] - records["due"]).to_numpy(float)
    cpu = sum(lane["cpu_s"] for lane in lanes)
    return _line(
        f"tokenswarm, {workers} worker{'s' if workers > 1 else ''}",
        f"{rate:g}",
        f"{len(records):,}",
        f"{truth.steady_rate():,.0f}",
        verdict,
        f"{1e3 * ttft[0]:+.2f} / {1e3 * ttft[1]:.2f}",
        f"{1e3 * np.nanpercentile(np.abs(errors.tpot), 99):.4f}",
        f"{1e3 * np.nanpercentile(delay, 99):.2f}",
        f"{sum(lane['cpu_s'] / lane['wall_s'] for lane in lanes):.2f}",
        f"{cpu / errors.tokens * 1000:.4f}",
        _late(truth),
    )


def _late(truth: Truth) -> str:
    late = np.percentile(truth.lateness(), [50, 99]) * 1e3
    return f"{late[0]:.2f} / {late[1]:.2f}"


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("--rates", type=float, nargs="+", required=True, help="requests per second")
    parser.add_argument("--seconds", type=float, default=60.0, help="schedule of each rate")
    parser.add_argument(
        "--workers", type=int, help="cores that load; the others serve (default: half of them)"
    )
    parser.add_argument("--clients", nargs="+", choices=CLIENTS, default=[OURS], help="who loads, in turn")
    parser.add_argument("--vllm-rs", type=Path, default=Path(RUST), metavar="FILE", help="the Rust client")


def run(asked: argparse.Namespace) -> int:
    """Measure each client at each rate, print a row for each."""
    cores = sorted(os.sched_getaffinity(0))
    workers = asked.workers or len(cores) // 2
    if not 0 < workers < len(cores):
        raise UsageError(f"--workers {workers}: of {len(cores)} cores at least one loads and one serves")
    if asked.seconds < 2 * EDGE + 5:
        raise UsageError(
            f"--seconds {asked.seconds:g}: chunks/s is told without {EDGE} s at either end; take more"
        )
    known = {PYTHON: rival.in_python, RUST: lambda: rival.in_rust(asked.vllm_rs)}
    rivals = {name: known[name]() for name in asked.clients if name != OURS}
    here = describe()
    print(
        f"{here['cpu']}, {workers} cores load and {len(cores) - workers} serve, Linux {here['kernel']}, "
        f"Python {sys.version.split()[0]}; {TOKENS} tokens an answer, {asked.seconds:g} s each\n\n{HEAD}",
        flush=True,
    )
    shares = cores[workers:], cores[:workers]
    with tempfile.TemporaryDirectory(prefix="cores-") as folder:
        for number, (rate, client) in enumerate(
            (rate, each) for rate in asked.rates for each in asked.clients
        ):
            began, place = time.perf_counter(), Path(folder, str(number))
            if client == OURS:
                print(measure(rate, asked.seconds, *shares, place), flush=True)
            else:
                print(measure_rival(rivals[client], rate, asked.seconds, *shares, place), flush=True)
            print(f"({time.perf_counter() - began:.0f} s)", file=sys.stderr)
    return 0
