"""The hardware's peaks: from hardware.yaml for a GPU, measured on this machine for a CPU."""

import contextlib
import fcntl
import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import psutil

from common.hardware import Accelerator, accelerators, cpu_name
from common.places import ROOT, cache
from common.results import now, write_json
from common.terminal import say
from common.usage import UsageError
from server import process
from server.gpu import gpu_name
from server.targets import Target

KERNEL = ROOT / "server" / "peaks_kernel.py"
MEASURE, DETECT = "measure", "detect"
BOUND_S = 180


def hardware_of(target: Target, python: Path) -> dict[str, Any]:
    """The `hardware` part of server.json; peaks that are not known are null, and `source` says why."""
    if target.hardware == MEASURE:
        return _measured(target.dtype, python)
    known = accelerators()
    if target.hardware != DETECT:
        if target.hardware not in known:
            raise UsageError(
                f"hardware {target.hardware!r} is not in hardware.yaml; it has {', '.join(known)}"
            )
        return _listed(target.hardware, known[target.hardware])
    gpu = gpu_name() or "no NVIDIA GPU"
    name = match(gpu, known)
    if name is None:
        source = f"peaks of {gpu!r} are not in server/hardware.yaml; add them there"
        return _entry(gpu, "gpu", None, None, None, source)
    return _listed(name, known[name])


def match(gpu: str, known: dict[str, Accelerator]) -> str | None:
    """The entry for a GPU's name as nvidia-smi gives it."""
    return next(
        (name for name, entry in known.items() if re.search(rf"\b(?:{entry.matches.pattern})\b", gpu)), None
    )


def pace(target: Target, python: Path) -> float:
    """Tokens per second that this CPU decodes (server/peaks_kernel.py); measured once, with the peaks."""
    return float(_kept(target.dtype, python)["decode_tokens_per_s"])


def known_pace(target: Target) -> float | None:
    """The same where it was measured before, else None."""
    found = _read(_place()).get(_key(target.dtype), {})
    return found.get("decode_tokens_per_s") if _is_whole(found) else None


def _measured(dtype: str, python: Path) -> dict[str, Any]:
    found = _kept(dtype, python)
    source = (
        f"measured on this machine at {found['measured_at']} on {found['threads']} cores "
        f"with torch {found['torch']}: {found['bandwidth_kernel']} over memory, "
        f"{dtype} matrices of {found['matrix_size']}"
    )
    memory = psutil.virtual_memory().total
    return _entry(_name(), "cpu", found["peak_flops"], found["peak_bytes_per_s"], memory, source)


def _kept(dtype: str, python: Path) -> dict[str, Any]:
    """This CPU's measurement, from the file that keeps it or made now."""
    key, path = _key(dtype), _place()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.with_suffix(".lock").open("w")
    except OSError as error:
        raise UsageError(f"{path.parent}: nothing can be written there: {error.strerror}") from None
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        kept = _read(path)
        if not _is_whole(kept.get(key, {})):
            say(f"measuring the speed of this CPU in {dtype} (once, about 15 s)")
            kept[key] = {**_measure(dtype, python), "measured_at": now()}
            _write(path, kept)
    found: dict[str, Any] = kept[key]
    return found


def _is_whole(found: dict[str, Any]) -> bool:
    """Whether it has all that is measured today."""
    return "decode_tokens_per_s" in found


def _key(dtype: str) -> str:
    return f"{_name()}, {dtype}"


def _name() -> str:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return f"{cpu_name()}, {cores} cores"


def _place() -> Path:
    return cache() / "peaks.json"


def _measure(dtype: str, python: Path) -> dict[str, Any]:
    try:
        answer = process.answer([str(python), str(KERNEL), dtype], BOUND_S)
    except subprocess.TimeoutExpired:
        raise UsageError(
            f"measuring this CPU's peaks took longer than {BOUND_S} s; is the machine busy?"
        ) from None
    if answer.returncode != 0:
        last = (answer.stderr.strip().splitlines() or ["no output"])[-1]
        raise UsageError(f"this CPU's peaks cannot be measured: {last}")
    found: dict[str, Any] = json.loads(answer.stdout)
    return found


def _read(path: Path) -> dict[str, Any]:
    """The kept measurements; a file that is not JSON is put aside, since it may hold other machines'."""
    if not path.exists():
        return {}
    with contextlib.suppress(OSError, ValueError):
        kept = json.loads(path.read_text())
        if isinstance(kept, dict):
            return kept
    aside = path.with_suffix(".bad")
    say(f"{path}: cannot be read, so it is now {aside.name}")
    path.replace(aside)
    return {}


def _write(path: Path, kept: dict[str, Any]) -> None:
    try:
        write_json(path, kept)
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror}") from None


def _listed(name: str, entry: Accelerator) -> dict[str, Any]:
    peaks = (entry.peak_flops, entry.peak_bytes_per_s, entry.memory_bytes)
    return _entry(name, "gpu", *peaks, entry.source)


def _entry(
    name: str, kind: str, flops: float | None, bytes_per_s: float | None, memory: int | None, source: str
) -> dict[str, Any]:
    return {
        "name": name,
        "kind": kind,
        "peak_flops": flops,
        "peak_bytes_per_s": bytes_per_s,
        "memory_bytes": memory,
        "source": source,
    }
