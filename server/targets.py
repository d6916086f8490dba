"""Targets: what a variant runs on. One YAML file each in server/targets/."""

import re
import shlex
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from common.strictyaml import Strict, read_model
from common.usage import UsageError
from server.gpu import gpu_name
from server.places import ROOT

FOLDER = ROOT / "server" / "targets"
AUTO = "auto"
CPU_TARGET = "cpu-tiny"


def one_flag(text: str) -> str:
    """Check that `text` is one flag, with its value if it takes one: "--max-num-seqs 8"."""
    words = shlex.split(text)
    if not words or not re.fullmatch(r"--?[A-Za-z][\w.-]*(=.*)?", words[0]):
        raise ValueError("must be one flag with its value, like '--max-num-seqs 8'")
    return text


Flag = Annotated[str, AfterValidator(one_flag)]


class Target(Strict):
    """One target file."""

    purpose: str
    kind: Literal["cpu", "gpu"]
    model: str = Field(min_length=1)  # what --model gets: a hub id or a path; cpu-tiny: we build it
    served_as: str | None = None  # the name that requests use, where it is not `model`
    flags: list[Flag]  # of every variant's command, between --model and --port
    environment: dict[str, str] = {}
    hardware: str  # a name in hardware.yaml; "measure" (CPU) or "detect" (GPU, by nvidia-smi)
    dtype: Literal["float32", "float16", "bfloat16"]  # what the server computes in; for the CPU's peak
    start_within_s: float = Field(gt=0)  # a server that is not healthy by then is stopped
    suits: re.Pattern[str] | None = None  # GPU names that TARGET=auto runs on this target
    auto_order: int = 100  # of those that suit, the lowest is taken

    @property
    def served_model(self) -> str:
        """The model's name in requests."""
        return self.served_as or self.model


def names() -> list[str]:
    """The targets there are."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def resolve_name(name: str) -> str:
    """Turn "auto" into a target's name: cpu-tiny without an NVIDIA GPU, else the best that suits it."""
    if name != AUTO:
        return name
    gpu = gpu_name()
    return CPU_TARGET if gpu is None else target_for(gpu)


def target_for(gpu: str) -> str:
    """The target for a GPU of this name. Raises UsageError when none suits."""
    suited = []
    for name in names():
        target = read_target(name)
        if target.suits and re.search(target.suits, gpu):
            suited.append((target.auto_order, name))
    if not suited:
        raise UsageError(f"no target suits the GPU {gpu!r}; choose one of {', '.join(names())} by TARGET=")
    return min(suited)[1]


def read_target(name: str) -> Target:
    """Read a target by its name, or by the path of a YAML file of your own."""
    return read_model(find_file(FOLDER, name, "target"), Target)


def find_file(folder: Path, name: str, what: str) -> Path:
    """The file of `name` in `folder`, or `name` itself where it is a path. Raises UsageError."""
    if name.endswith((".yaml", ".yml")):
        path = Path(name)
        if not path.is_file():
            raise UsageError(f"no {what} file {name}")
        return path
    known = sorted(path.stem for path in folder.glob("*.yaml"))
    if name not in known:
        raise UsageError(
            f"unknown {what} {name!r}; there are: {', '.join(known)} (or a path to a .yaml file)"
        )
    return folder / f"{name}.yaml"
