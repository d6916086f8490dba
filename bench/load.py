"""One run of the real load path against the metronome, watched from outside."""

import os
import subprocess
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import psutil

from bench.process import last_words, metronome, stop_group
from bench.truth import Truth
from common.places import ROOT
from common.results import RECORDS
from common.usage import UsageError
from reports.verdict.verdict import Verdict

SCENARIO = ROOT / "bench" / "accuracy.yaml"
TTFT, TPOT = 0.08, 0.02  # seconds
_DRAIN = 30
_SLACK = 90.0  # seconds for locust to start, prepare its prompts, drain and write
_PERIOD = 0.25  # seconds between two looks at the worker

# Moment, CPU time of the worker (s), resident size of worker and master (bytes).
Look = tuple[float, float, int, int]


@dataclass(frozen=True)
class Run:
    """What one run left."""

    records: pd.DataFrame  # columns of loadgen.records.record
    truth: Truth
    looks: pd.DataFrame  # t (CLOCK_MONOTONIC s), cpu (s) and worker of the worker, master: resident bytes
    folder: Path


def run(
    rate: float,
    seconds: float,
    folder: Path,
    cpus: tuple[int, int] | None,
    ttft: float = TTFT,
    tpot: float = TPOT,
    **more: object,
) -> Run:
    """Drive the metronome at `rate` requests/s for `seconds`; everything is kept in `folder`.

    cpus: the core of the client (Locust's master and its one worker) and of the metronome; None leaves
    the choice to the kernel. more: options of the load. Raises UsageError when a part of it fails.
    """
    client_cpu, server_cpu = cpus or (None, None)
    cpu = () if client_cpu is None else (client_cpu,)
    timetable = ("--ttft", str(ttft), "--tpot", str(tpot))
    with metronome(*timetable, cpu=server_cpu) as server:
        looks = drive(server.url, rate, seconds, folder, cpu, more=more)
        truth = server.stop()
    file = folder / RECORDS
    if not file.exists():
        raise UsageError(f"the run wrote no {file.name}: {last_words(_log(folder))}")
    seen = pd.DataFrame(looks, columns=["t", "cpu", "worker", "master"])
    if seen.empty:
        raise UsageError(f"Locust's worker was never seen: {last_words(_log(folder))}")
    return Run(pd.read_parquet(file), truth, seen, folder)


def drive(
    url: str,
    rate: float,
    seconds: float,
    folder: Path,
    cpus: Collection[int] = (),
    workers: int = 1,
    prefix: Sequence[str] = (),
    more: Mapping[str, object] | None = None,
) -> list[Look]:
    """Load the server as `run` does, on the cores `cpus` if any are given; looks at the first worker.

    prefix: words before Locust's command. more: options of the load, which win over those here. Raises
    UsageError when Locust ends badly.
    """
    folder.mkdir(parents=True, exist_ok=True)
    options = {"scenario": SCENARIO, "rps": rate, "duration": seconds, "drain": _DRAIN, "seed": 1}
    options |= {"arrivals": "poisson", "model": "metronome", "processes": workers} | dict(more or {})
    command = [*prefix, sys.executable, "-m", "locust", "-f", str(ROOT / "locustfiles" / "chat.py")]
    command += ["--headless"]
    command += [
        part for name, value in options.items() for part in (f"--{name.replace('_', '-')}", str(value))
    ]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TOKENSWARM_")}
    environment |= {"LOCUST_HOST": url, "TOKENSWARM_RUN_DIR": str(folder), "TOKENSWARM_VARIANT": "metronome"}
    with _log(folder).open("w") as log:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=log, stderr=log, start_new_session=True
        )
        try:
            if cpus:
                os.sched_setaffinity(process.pid, cpus)  # its workers inherit it
            looks = _watch(process, seconds + float(str(options["drain"])) + _SLACK)
        finally:
            if process.poll() is None:
                stop_group(process)
    if process.returncode not in [verdict.exit_code for verdict in Verdict]:
        raise UsageError(f"locust ended with code {process.returncode}: {last_words(_log(folder))}")
    return looks


def _watch(process: "subprocess.Popen[bytes]", limit: float) -> list[Look]:
    """Look at the worker's CPU time and memory until Locust has ended."""
    looks: list[Look] = []
    deadline = time.perf_counter() + limit
    master, worker = psutil.Process(process.pid), None
    while process.poll() is None:
        if time.perf_counter() > deadline:
            raise UsageError(f"locust did not end within {limit:.0f} s")
        try:
            worker = worker or next(iter(master.children()), None)
            if worker is not None:
                cpu = worker.cpu_times()
                sizes = worker.memory_info().rss, master.memory_info().rss
                looks.append((time.perf_counter(), cpu.user + cpu.system, *sizes))
        except psutil.Error:  # it has just ended
            pass
        time.sleep(_PERIOD)
    return looks


def _log(folder: Path) -> Path:
    return folder / "locust.log"
