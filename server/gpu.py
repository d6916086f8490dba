"""Which NVIDIA GPU this machine has, as nvidia-smi says."""

import shutil
import subprocess

from common.usage import UsageError

QUERY = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]


def gpu_name() -> str | None:
    """The first GPU's name, e.g. "Tesla T4" or "NVIDIA H100 80GB HBM3"; None where there is none."""
    if shutil.which(QUERY[0]) is None:
        return None
    try:
        answer = subprocess.run(QUERY, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    names = [line.strip() for line in answer.stdout.splitlines() if line.strip()]
    return names[0] if answer.returncode == 0 and names else None


def require_gpu(target: str) -> None:
    """Raise UsageError where this machine has none for `target`, a target's name, to run on."""
    if gpu_name() is None:
        raise UsageError(f"target {target} needs an NVIDIA GPU, and nvidia-smi finds none here")
