"""Where things live on this machine."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def results() -> Path:
    """The folder of runs and reports: results/, or TOKENSWARM_RESULTS."""
    return Path(os.environ.get("TOKENSWARM_RESULTS") or ROOT / "results")


def cache() -> Path:
    """The folder of what can be made again (the CPU model, vLLM's flags): .cache/, or TOKENSWARM_CACHE."""
    return Path(os.environ.get("TOKENSWARM_CACHE") or ROOT / ".cache")
