"""Runs with a server's side, and a report of them, for the tests of the renderer."""

import json
from pathlib import Path
from typing import Any

from bench.synthetic import Shape, make_run
from reports.runs.runs import Run, load_run
from tests.reports.roofline.test_roofline import AWQ


def make_pair(folder: Path, **changes: Any) -> list[Run]:
    """Two small runs, baseline and optimized (a batch limit of 8), served by Llama-2-7B-AWQ on a T4."""
    shape = {"duration": 20.0, "warmup": 2.0, "drain": 5.0, "tpot": 0.02, "failed_share": 0.02} | changes
    return [
        _served(folder / "20260101T000000Z-baseline", Shape(variant="baseline", slots=16, **shape), []),
        _served(
            folder / "20260101T010000Z-optimized",
            Shape(variant="optimized", slots=8, **shape),
            ["--max-num-seqs", "8"],
        ),
    ]


def _served(folder: Path, shape: Shape, flags: list[str]) -> Run:
    make_run(folder, shape)
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    command = ["vllm", "serve", "llama", "--dtype", "half", *flags]
    manifest["server"] = {
        "variant": shape.variant,
        "command": command,
        "command_line": " ".join(command),
        "environment": {"DO_NOT_TRACK": "1"},
        "model_config": AWQ,
        "hardware": {
            "name": "T4",
            "kind": "gpu",
            "peak_flops": 65e12,
            "peak_bytes_per_s": 320e9,
            "memory_bytes": 16e9,
            "source": "datasheet",
        },
    }
    path.write_text(json.dumps(manifest), encoding="utf-8")
    return load_run(folder)
