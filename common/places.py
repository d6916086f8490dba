"""Where the project lies on this machine."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent  # a clone's, or the folder that an installed wheel lies in
IN_CLONE = (ROOT / "pyproject.toml").is_file()
# Of what is made here and stays: the servers' environments, .cache/. A wheel's own folder is not for that.
HOME = (
    ROOT
    if IN_CLONE
    else Path(os.environ.get("XDG_DATA_HOME") or Path("~/.local/share").expanduser()) / "tokenswarm"
)


def cache() -> Path:
    """The folder of what can be made again (models, peaks, vLLM's flags): .cache/, or TOKENSWARM_CACHE."""
    return Path(os.environ.get("TOKENSWARM_CACHE") or HOME / ".cache")


def short(path: Path) -> str:
    """As it is said: within the project from there on, else whole."""
    return str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path)
