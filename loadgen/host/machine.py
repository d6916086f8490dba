"""What the manifest and the calibration say about the machine."""

import hashlib
import os
import platform
import socket
from pathlib import Path
from typing import Any

import psutil

from common.hardware import cpu_name
from loadgen.host import clock

_PIDS = Path("/proc/self/ns/pid")


def describe() -> dict[str, Any]:
    """cpu (name), cores, memory_bytes, kernel, hostname_hash (12 hex: tells hosts apart, names none)."""
    return {
        "cpu": cpu_name(),
        "cores": os.cpu_count() or 1,
        "memory_bytes": psutil.virtual_memory().total,
        "kernel": platform.release(),
        "hostname_hash": hashlib.sha256(socket.gethostname().encode()).hexdigest()[:12],
    }


def key(machine: dict[str, Any]) -> str:
    """What a calibration is valid for: the kind of CPU and the number of cores."""
    return f"{machine['cpu']}, {machine['cores']} cores"


def owns(family: int, address: tuple[Any, ...]) -> bool:
    """Whether this network address is one of this machine's own (of this container's, in a container)."""
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address[0], 0, *address[2:]))
        except OSError:
            return False
    return True


def this_process() -> dict[str, Any]:
    """pid, the space in which it counts (of one boot, one container), and when it began: for `has_ended`."""
    return {"pid": os.getpid(), "space": _pid_space(), "began": _began(os.getpid())}


def has_ended(process: dict[str, Any]) -> bool:
    """Whether a process that `this_process` named is known to be gone; elsewhere it may live on."""
    if not process["space"] or process["space"] != _pid_space():
        return False
    if _began(process["pid"]) != process["began"]:  # gone, or another one has its number
        return True
    try:
        return psutil.Process(process["pid"]).status() == psutil.STATUS_ZOMBIE
    except psutil.Error:
        return True


def is_running(process: dict[str, Any]) -> bool:
    """Whether such a process is known to live."""
    return bool(process["space"]) and process["space"] == _pid_space() and not has_ended(process)


def _began(pid: int) -> str:
    """Ticks from the boot to its start (proc(5)), which no setting of the clock moves; empty where none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def _pid_space() -> str:
    """Empty where the system tells none."""
    try:
        return f"{clock.boot()}-{_PIDS.stat().st_ino}" if clock.boot() else ""
    except OSError:
        return ""
