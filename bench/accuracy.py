"""`make bench`: how exact and how cheap the load generator is on this machine.

Runs the real load path (Locust, one worker, locustfiles/chat.py) against the metronome at each rate and
prints the client's error, its cost, and the metronome's own lateness beside it.
"""

import argparse
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench import floor, load, rival
from bench.errors import compare
from common.usage import UsageError
from loadgen.host.machine import describe

RATES = (20.0, 50.0, 100.0, 200.0)
_HEAD = (
    "| asked /s | sent /s | requests | TTFT error p50 / p99 ms | against timetable p50 / p99 ms | TPOT error "
    "p99 ms | dispatch delay p99 ms | CPU s per 1,000 chunks | of which the bare kernel | memory MiB | "
    "server late p50 / p99 ms |\n"
    "|---|---|---|---|---|---|---|---|---|---|---|"
)


@dataclass(frozen=True)
class Row:
    """One rate; times in seconds. Errors are client minus truth; p99 is of the absolute error."""

    rate: float
    sent_rate: float
    requests: int
    failed: int
    chunks: int
    chunks_per_s: float
    ttft_error_p50: float
    ttft_error_p99: float
    ttft_timetable_error_p50: float
    ttft_timetable_error_p99: float
    tpot_error_p99: float
    dispatch_delay_p99: float
    cpu_s_per_1000_chunks: float
    floor_cpu_s_per_1000_chunks: float  # of a client that only receives and stamps: see bench.floor
    memory_bytes: int
    server_lateness_p50: float
    server_lateness_p99: float


def row_of(rate: float, run: load.Run, bare: float) -> Row:
    """The figures of one run, over all its arrivals (no warm-up is left out)."""
    errors = compare(run.records, run.truth)
    records = run.records[run.records["sent"].notna()]
    span = float(records["sent"].max() - records["sent"].min())
    sending = float(run.truth.sent[-1] - run.truth.read[0])
    late = run.truth.lateness()
    return Row(
        rate=rate,
        sent_rate=(len(records) - 1) / span,
        requests=len(run.records),
        failed=int((run.records["status"] != "completed").sum()),
        chunks=errors.tokens,
        chunks_per_s=errors.tokens / sending,
        ttft_error_p50=_percentile(errors.ttft, 50),
        ttft_error_p99=_percentile(np.abs(errors.ttft), 99),
        ttft_timetable_error_p50=_percentile(errors.ttft_timetable, 50),
        ttft_timetable_error_p99=_percentile(np.abs(errors.ttft_timetable), 99),
        tpot_error_p99=_percentile(np.abs(errors.tpot), 99),
        dispatch_delay_p99=_percentile((records["sent"] - records["due"]).to_numpy(float), 99),
        cpu_s_per_1000_chunks=_cpu_seconds(run) / errors.tokens * 1000,
        floor_cpu_s_per_1000_chunks=bare,
        memory_bytes=int(run.looks["worker"].max()),
        server_lateness_p50=_percentile(late, 50),
        server_lateness_p99=_percentile(late, 99),
    )


def _percentile(values: np.ndarray, percent: float) -> float:
    return float(np.nanpercentile(values, percent))


def _cpu_seconds(run: load.Run) -> float:
    """CPU time of the worker from the first request it sent to its end."""
    before = np.interp(run.truth.read[0], run.looks["t"], run.looks["cpu"])
    return float(run.looks["cpu"].iloc[-1] - before)


def choose_cpus() -> tuple[int, int] | None:
    """The cores for client and metronome, where there are two."""
    cores = sorted(os.sched_getaffinity(0))
    return (cores[0], cores[1]) if len(cores) > 1 else None


def measure(rates: list[float], seconds: float) -> list[Row]:
    """Run each rate in turn and say so on stderr."""
    rows = []
    with tempfile.TemporaryDirectory(prefix="accuracy-") as folder:
        for rate in rates:
            print(f"{rate:g} requests/s for {seconds:g} s …", file=sys.stderr, flush=True)
            run = load.run(rate, seconds, Path(folder, f"{rate:g}"), choose_cpus())
            rows.append(row_of(rate, run, floor.measure(rate, seconds, choose_cpus())))
    return rows


def measure_rival(client: rival.Rival, rates: list[float], seconds: float) -> list[rival.Row]:
    """The same for another client."""
    rows, cpus = [], choose_cpus() or ()
    with tempfile.TemporaryDirectory(prefix="accuracy-") as folder:
        for rate in rates:
            print(f"{client.name}, {rate:g} requests/s for {seconds:g} s …", file=sys.stderr, flush=True)
            rows.append(
                rival.measure(client, rate, seconds, Path(folder, f"{rate:g}"), cpus[:1], cpus[1:])[0]
            )
    return rows


def table(rows: list[Row]) -> str:
    """The rows as Markdown."""
    return "\n".join([_HEAD, *(_line(row) for row in rows)])


def _line(row: Row) -> str:
    def ms(*values: float, places: int = 2) -> str:
        return " / ".join(f"{value * 1000:+.{places}f}" for value in values)

    failed = f" ({row.failed} not completed)" if row.failed else ""
    cells = (
        f"{row.rate:g}",
        f"{row.sent_rate:.1f}",
        f"{row.requests:,}{failed}",
        ms(row.ttft_error_p50, row.ttft_error_p99),
        ms(row.ttft_timetable_error_p50, row.ttft_timetable_error_p99),
        ms(row.tpot_error_p99, places=4),
        ms(row.dispatch_delay_p99),
        f"{row.cpu_s_per_1000_chunks:.4f}",
        f"{row.floor_cpu_s_per_1000_chunks:.4f}",
        f"{row.memory_bytes / 2**20:.0f}",
        ms(row.server_lateness_p50, row.server_lateness_p99),
    )
    return "| " + " | ".join(cells) + " |"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("--rates", type=float, nargs="+", default=list(RATES), help="requests per second")
    parser.add_argument("--seconds", type=float, default=25.0, help="schedule of each rate")
    parser.add_argument("--vllm", action="store_true", help="measure vllm bench serve, too")


def run(args: argparse.Namespace) -> int:
    """Measure, print the table."""
    if min(args.rates) <= 0 or args.seconds < 1:
        raise UsageError("--rates must be more than 0, --seconds at least 1")
    other = rival.in_python() if args.vllm else None  # asked before the minutes that the rest takes
    rows, here, cpus = measure(args.rates, args.seconds), describe(), choose_cpus()
    where = f"client on core {cpus[0]}, metronome on core {cpus[1]}" if cpus else "one core for all"
    system = f"Linux {here['kernel']}, Python {sys.version.split()[0]}"
    print(f"{here['cpu']}, {here['cores']} cores, {system}; {where}\n")
    print(table(rows))
    if other:
        print(f"\n{other.name}:\n\n{rival.table(measure_rival(other, args.rates, args.seconds))}")
    return 0
