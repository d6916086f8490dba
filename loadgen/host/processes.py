"""The processes of this machine: who started whom, what CPU time each took, and which of them are the server.

Linux only (proc(5)); elsewhere there are none to be seen.
"""

import contextlib
import os
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from loadgen.host import open_files
from loadgen.host.sockets import Sockets

PROC = Path("/proc")
# The inode of a machine's first space of pids (PROC_PID_INIT_INO); a container has another.
ALL_PIDS = 4026531836
FORWARDERS = ("docker-proxy", "rootlessport", "slirp4netns")  # the server behind is in a container, unseen
STARTERS = ("sh", "bash", "dash", "zsh", "fish", "make", "systemd", "tini")  # start other things, too
TITLE = "VLLM::"  # begins how vLLM's engine core and workers name themselves
ACCELERATORS = ("/dev/nvidia", "/dev/kfd", "/dev/dri/", "/dev/accel", "/dev/dxg", "/dev/davinci")
_TICK = 1 / os.sysconf("SC_CLK_TCK")
Table = dict[int, "Process"]


@dataclass(frozen=True, slots=True)
class Process:
    """One line of the table. Seconds of CPU time: its own, and that of children that it has waited for."""

    parent: int
    group: int
    own: float
    reaped: float
    began: int  # ticks since the boot: tells a pid that is used again
    name: str


def read(pid: int) -> Process | None:
    """None where there is no such process, or none may be seen."""
    try:
        text = Path(f"/proc/{pid}/stat").read_bytes()
        begin, end = text.index(b"("), text.rindex(b")")
        field = text[end + 2 :].split()
        own, reaped = int(field[11]) + int(field[12]), int(field[13]) + int(field[14])
        name = text[begin + 1 : end].decode(errors="replace")
        return Process(int(field[1]), int(field[2]), own * _TICK, reaped * _TICK, int(field[19]), name)
    except (OSError, ValueError, IndexError):
        return None


def table() -> Table:
    """Every process that can be seen; some 15 us for each."""
    try:
        pids = [int(path.name) for path in PROC.iterdir() if path.name.isdigit()]
    except OSError:
        return {}
    return {pid: found for pid in pids if (found := read(pid)) is not None}


def sees_all() -> bool:
    """Whether every process of the machine can be seen from here; not within a container."""
    with contextlib.suppress(OSError):
        return Path("/proc/self/ns/pid").stat().st_ino == ALL_PIDS
    return False


def descendants(roots: Iterable[int], among: Table) -> set[int]:
    """The roots and all that they started, as far as it lives."""
    children: dict[int, list[int]] = {}
    for pid, process in among.items():
        children.setdefault(process.parent, []).append(pid)
    found: set[int] = set()
    todo = [pid for pid in roots if pid in among]
    while todo:
        pid = todo.pop()
        if pid not in found:
            found.add(pid)
            todo += children.get(pid, ())
    return found


def ancestors(pid: int, among: Table) -> set[int]:
    """The process and those that started it."""
    found: set[int] = set()
    while pid in among and pid not in found:
        found.add(pid)
        pid = among[pid].parent
    return found


def serving(ports: Iterable[int], among: Table, ours: set[int]) -> set[int] | None:
    """The processes that answer at these ports of this machine: who listens there, who started that in the
    same group, what all of these started, and whom they pass requests on to. None where none can be seen.

    `ours`: processes that are none of the server's, whatever they started.
    """
    try:
        sockets = Sockets(among.keys() - ours)
    except OSError:
        return None
    found, wanted = set[int](), set(ports)
    todo = {each.pid for each in sockets.listening if each.port in wanted}
    while todo:
        if None in todo or any(among[pid].name in FORWARDERS for pid in todo if pid in among):
            return None
        family = descendants((_first(pid, among, ours) for pid in todo if pid is not None), among) - ours
        found |= family
        todo = {pid for pid in _passed_on(family, sockets) if pid not in found}
    return found or None


def _first(pid: int, among: Table, ours: set[int]) -> int:
    """Whoever started it, within its group; no shell."""
    while pid in among:
        parent = among[pid].parent
        if parent not in among or parent in ours or among[parent].group != among[pid].group:
            break
        if among[parent].name in STARTERS:
            break
        pid = parent
    return pid


def _passed_on(family: set[int], sockets: Sockets) -> set[int | None]:
    """Who listens here at the far end of what these processes have connected to."""
    ends = sockets.ends(family)
    return {
        each.pid
        for each in sockets.listening
        for address, port in ends
        if each.port == port and (each.anywhere or each.address == address)
    }


def title(pid: int, process: Process) -> str:
    """What a reader knows it by: vLLM's own titles, else the name of its program."""
    with contextlib.suppress(OSError, ValueError):
        words = Path(f"/proc/{pid}/cmdline").read_bytes()[:4096].decode(errors="replace").split("\0")
        if words[0].startswith(TITLE):
            return words[0].removeprefix(TITLE).split()[0]
        if any("vllm" in word and "api_server" in word for word in words) or "serve" in words[1:4]:
            return "API server"
    return process.name


def accelerated(pids: Iterable[int]) -> bool | None:
    """Whether one of them holds an accelerator's device open; None where none may be looked into."""
    seen = False
    for pid in pids:
        with contextlib.suppress(OSError):
            found = open_files.targets(pid)
            seen = True
            if any(each.startswith(ACCELERATORS) for each in found):
                return True
    return False if seen else None


def beyond_a_bridge(address: str) -> bool:
    """Whether an address that is not ours is reached by a bridge: it may be a container on this machine."""
    try:
        lines = (PROC / "net/route").read_text().splitlines()[1:]
        wanted = int.from_bytes(socket.inet_aton(address), "little")  # as the file writes its own
        routes = [(int(field[7], 16), int(field[1], 16), field[0]) for field in map(str.split, lines)]
    except (OSError, ValueError, IndexError):
        return False
    fitting = [(mask.bit_count(), name) for mask, target, name in routes if wanted & mask == target]
    return bool(fitting) and Path(f"/sys/class/net/{max(fitting)[1]}/bridge").exists()
