"""Which Tokenswarm this is: the one place that the wheel, the manifest and --version name it from."""

import subprocess
from typing import Final

from common.places import IN_CLONE, ROOT

VERSION: Final = "0.1.0"
# Its output is the commit, with "-dirty" where files differ; empty outside a clone, whatever lies around it.
DESCRIBE: Final = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]


def named(commit: str | None) -> str:
    """0.1.0, in a clone 0.1.0+COMMIT."""
    return f"{VERSION}+{commit}" if commit else VERSION


def version() -> str:
    """The same, asking git; without git the number alone."""
    if not IN_CLONE:
        return VERSION
    try:
        answer = subprocess.run(DESCRIBE, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return VERSION
    return named(answer.stdout.strip())
