"""TCP sockets of this machine: who listens where, and where connections go. Linux only (proc(5)).

psutil tells the same, but takes over a second where thousands of connections are open, as beside a load.
"""

import contextlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from loadgen.host import open_files

TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
LINE = re.compile(
    rb"^ *\d+: ([0-9A-F]+):([0-9A-F]{4}) ([0-9A-F]+):([0-9A-F]{4}) (01|0A) \S+ \S+ \S+ +\d+ +\d+ (\d+)", re.M
)
LISTENS = b"0A"
MAPPED = b"0000000000000000FFFF0000"  # begins an IPv4 address in IPv6
FIRST_FILES = 1024  # of a process: it opened what it listens at before most of its connections, 2 us each


@dataclass(frozen=True)
class Listener:
    """pid: None where its process is not among those that were looked at, or may not be looked into."""

    pid: int | None
    address: bytes  # hexadecimal, as the kernel writes it
    port: int

    @property
    def anywhere(self) -> bool:
        return not self.address.strip(b"0")


class Sockets:
    """As they are now."""

    def __init__(self, pids: Iterable[int]) -> None:
        """pids: the processes that may listen. Raises OSError where there is no such table."""
        first, second = TABLES
        found = LINE.findall(first.read_bytes())
        if second.exists():  # not where IPv6 is switched off
            found += LINE.findall(second.read_bytes())
        listening = [line for line in found if line[4] == LISTENS]
        holder = _holders({line[5] for line in listening}, pids)
        self.listening = [
            Listener(holder.get(line[5]), _address(line[0]), int(line[1], 16)) for line in listening
        ]
        self._connected = {
            line[5]: (int(line[1], 16), _address(line[2]), int(line[3], 16))
            for line in found
            if line[4] != LISTENS
        }

    def ends(self, pids: Iterable[int]) -> set[tuple[bytes, int]]:
        """(address, port) of what these processes have connected to; without whom they answer."""
        pids = set(pids)
        own = {(each.pid, each.port) for each in self.listening}
        held = ((pid, inode) for pid in pids for inode in _held(pid, open_files.MOST))
        connected = ((pid, self._connected[inode]) for pid, inode in held if inode in self._connected)
        return {(address, port) for pid, (local, address, port) in connected if (pid, local) not in own}


def _holders(inodes: set[bytes], pids: Iterable[int]) -> dict[bytes, int]:
    """Which process holds each of these sockets, as far as that can be seen."""
    return {inode: pid for pid in pids for inode in _held(pid, FIRST_FILES) if inode in inodes}


def _held(pid: int, most: int) -> list[bytes]:
    """Inodes of a process's sockets; none where it may not be looked into."""
    with contextlib.suppress(OSError):
        return [each[8:-1].encode() for each in open_files.targets(pid, most) if each.startswith("socket:[")]
    return []


def _address(text: bytes) -> bytes:
    return text.removeprefix(MAPPED)
