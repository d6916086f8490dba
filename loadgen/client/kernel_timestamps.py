"""When the kernel received what a socket gives: right even where this process had no time to look.

Linux notes it for every segment (SO_TIMESTAMPNS, socket(7)) and hands it out with the bytes; of segments
that are read together, that of the last. It is wall-clock time, turned into `time.perf_counter()` by the
distance of the two clocks at the moment of reading.
"""

import socket
import struct
import sys
import time

_SO_TIMESTAMPNS = 35  # of Linux; Python has no name for it
_TIMESPEC = struct.Struct("ll")
_SLACK = 0.00002  # s; a larger difference is a step, or an interruption between the looks at the two clocks
_STEP = 0.001  # s by which the clocks may part between two reads; beyond, the wall clock was set
SPACE = socket.CMSG_SPACE(_TIMESPEC.size)

Ancillary = list[tuple[int, int, bytes]]


class KernelStamps:
    """Of one socket. `given`: whether the last read had one; a system may know the option and give none."""

    __slots__ = ("_offset", "given")

    def __init__(self) -> None:
        self._offset = _offset()
        self.given = False

    @classmethod
    def ask(cls, sock: socket.socket) -> "KernelStamps | None":
        """Have `sock` give them; None where the system has none."""
        if sys.platform != "linux":
            return None
        try:
            sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        except OSError:
            return None
        return cls()

    def read(self, ancillary: Ancillary) -> float:
        """The stamp in what `recvmsg` gave with the bytes just now; the present where there is none."""
        now, before = time.perf_counter(), self._offset
        self._offset = time.time() - now
        if abs(self._offset - before) > _SLACK:
            self._offset = _offset()
        self.given = bool(ancillary) and abs(self._offset - before) < _STEP
        if not self.given:
            return now
        seconds, nanoseconds = _TIMESPEC.unpack(ancillary[0][2])
        return min(seconds + nanoseconds * 1e-9 - self._offset, now)


def _offset() -> float:
    """The wall clock's distance from `time.perf_counter()`, by the least interrupted of some looks."""
    looks = []
    for _ in range(3):
        before, wall, after = time.perf_counter(), time.time(), time.perf_counter()
        looks.append((after - before, wall - before))
    return min(looks)[1]
