"""Where the project lies on this machine."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent  # a clone's, or the folder that an installed wheel lies in


def cache() -> Path:
    """The folder of what can be made again (the CPU model, vLLM's flags): .cache/, or TOKENSWARM_CACHE."""
    return Path(os.environ.get("TOKENSWARM_CACHE") or ROOT / ".cache")
