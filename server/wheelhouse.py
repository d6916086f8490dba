"""Downloads what a machine without network needs, as wheels, into one folder.

    tokenswarm wheelhouse [--target T] [--to FOLDER]

They suit a machine like this one: its Python, its operating system and its kind of processor. Such a machine
needs no GPU here. There `make offline-setup` installs from the folder.
"""

import platform
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from common.places import ROOT
from common.terminal import say
from common.usage import UsageError
from server.install import Kind, requirements, step, torch_first
from server.signals import unwound
from server.targets import read_target, resolve_name

LIGHT = ROOT / "requirements.txt"


def add_arguments(parser: ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("--target", default="auto", help="a target's name (default: by the GPU)")
    parser.add_argument(
        "--to", type=Path, default=Path("wheelhouse"), help="the folder (default: wheelhouse)"
    )


def run(given: Namespace) -> int:
    """Fill the folder; what is there already is kept."""
    kind, place = read_target(resolve_name(given.target)).kind, given.to
    if not LIGHT.is_file():
        raise UsageError("an installed Tokenswarm has no requirements files: run this in a clone")
    with unwound():
        download(kind, place)
    count, size = holds(place)
    here = f"Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    say(f"wheelhouse: {place} holds {count} wheels, {size / 1e9:.2f} GB, for {here}")
    say("wheelhouse: copy it into the clone on the other machine, then there: make offline-setup")
    return 0


def download(kind: Kind, place: Path) -> None:
    """Fetch the load's packages, and those of a server of this kind: one call each, as they need not agree.

    Raises UsageError when pip fails; what came by then is kept.
    """
    wanted = requirements(kind)
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--only-binary=:all:", "--dest", str(place)]
    pip += ["--find-links", str(place)]  # torch for CPUs, which the configured indexes may lack
    place.mkdir(parents=True, exist_ok=True)
    failure = "pip could not download {}; what came is kept, the same command goes on"
    step([*pip, "-r", str(LIGHT)], failure.format(LIGHT.name), f"1 of 2: fetching {LIGHT.name}", "packages")
    if kind == "cpu":
        torch_first(pip, wanted, "2 of 2")
    told = f"2 of 2: fetching {wanted.name}"
    step([*pip, "-r", str(wanted)], failure.format(wanted.name), told, "packages")


def holds(place: Path) -> tuple[int, int]:
    """How many wheels, and their bytes."""
    sizes = [path.stat().st_size for path in place.glob("*.whl")]
    return len(sizes), sum(sizes)
