"""`tokenswarm export RUN --to KIND`: a run in the file of another tool."""

import argparse
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from common.results import write_whole
from common.terminal import shown
from common.usage import UsageError
from reports.exporters import benchmark_report, vllm_bench
from reports.runs.runs import Run, load_run

KINDS: dict[str, tuple[Callable[[Run], dict[str, Any]], str]] = {
    "vllm": (vllm_bench.export, "vllm-bench-serve.json"),
    "br0.2": (benchmark_report.export, "benchmark-report-0.2.json"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("run", type=Path, metavar="RUN", help="a run's folder in results/")
    parser.add_argument(
        "--to",
        choices=KINDS,
        required=True,
        help="vllm: a result of vllm bench serve; br0.2: llm-d's benchmark report",
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="where to (default: into the run's folder)")


def run(arguments: argparse.Namespace) -> int:
    """Write the file. Exit code 0; 2 with one line for what is no run."""
    made, name = KINDS[arguments.to]
    found = _without_none(made(load_run(arguments.run)), keep=arguments.to == "vllm")
    path = arguments.out or arguments.run / name
    if not path.parent.is_dir():
        raise UsageError(f"--out {path}: its folder does not exist")
    text = json.dumps(found, indent=2 if arguments.to == "br0.2" else None, allow_nan=False)
    write_whole(path, re.sub(r"\n?\Z", "\n", text).encode())
    print(shown(str(path)))
    return 0


def _without_none(found: Any, keep: bool) -> Any:
    """The schema of a report knows no null where a field is left out."""
    if keep or not isinstance(found, dict):
        return found
    return {key: _without_none(value, keep) for key, value in found.items() if value is not None}
