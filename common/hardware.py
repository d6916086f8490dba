"""Accelerators and their peaks (server/hardware.yaml), and the name of this machine's CPU."""

import contextlib
import platform
import re
from pathlib import Path

from pydantic import Field, RootModel

from common.places import ROOT
from common.strictyaml import Strict, read_model

HARDWARE = ROOT / "server" / "hardware.yaml"


class Accelerator(Strict):
    """One entry."""

    peak_flops: float = Field(gt=0)  # FLOP/s, dense FP16 or BF16 on the matrix units
    peak_bytes_per_s: float = Field(gt=0)
    memory_bytes: int = Field(gt=0)
    matches: re.Pattern[str]  # the name that nvidia-smi gives
    source: str = Field(min_length=1)


class Accelerators(RootModel[dict[str, Accelerator]]):
    """The file: name to peaks."""


def accelerators() -> dict[str, Accelerator]:
    """All of them, in the file's order. Raises UsageError naming file, line and key."""
    return read_model(HARDWARE, Accelerators).root


def cpu_name(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The CPU's model name."""
    with contextlib.suppress(OSError):
        for line in cpuinfo.read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() in ("model name", "Hardware", "cpu model"):
                return " ".join(value.split())
    return platform.processor() or platform.machine()
