"""Which NVIDIA GPU this machine has, as nvidia-smi says."""

import os
import shutil
import subprocess

from common.usage import UsageError

QUERY = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
VISIBLE = "CUDA_VISIBLE_DEVICES"  # environment: which cards a server may use


def gpu_name() -> str | None:
    """The first GPU's name, e.g. "Tesla T4" or "NVIDIA H100 80GB HBM3"; None where there is none."""
    return next(iter(_names()), None)


def cards() -> list[str]:
    """Those that a server here may use: as CUDA_VISIBLE_DEVICES names them, else by number."""
    listed = os.environ.get(VISIBLE)
    if listed is None:
        return [str(index) for index in range(len(_names()))]
    return [card for part in listed.split(",") if (card := part.strip())]


def _names() -> list[str]:
    if shutil.which(QUERY[0]) is None:
        return []
    try:
        answer = subprocess.run(QUERY, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    names = [line.strip() for line in answer.stdout.splitlines() if line.strip()]
    return names if answer.returncode == 0 else []


def require_gpu(target: str) -> None:
    """Raise UsageError where this machine has none for `target`, a target's name, to run on."""
    if gpu_name() is None:
        raise UsageError(f"target {target} needs an NVIDIA GPU, and nvidia-smi finds none here")
