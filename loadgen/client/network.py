"""What the kernel saw of our connections' network: TCP_INFO (tcp(7), linux/tcp.h)."""

import contextlib
import socket
import struct
from dataclasses import dataclass

_OPTION = getattr(socket, "TCP_INFO", None)  # Linux
_SIZE = 228  # bytes, with the last that is read here (Linux 5.4)
# Where each stands in struct tcp_info.
_RESENT, _ROUND_TRIP, _OUT_OF_ORDER = 100, 148, 224
_DATA_IN_AND_OUT = 152
_UNKNOWN = 2**32 - 1  # of the round trip: none was timed


@dataclass
class Network:
    """Of all connections that have been closed. What is out of order came after one that was lost, or was
    overtaken."""

    round_trip: float | None = None  # s, the shortest
    segments: int = 0  # with data, both ways
    resent: int = 0  # by us
    out_of_order: int = 0  # that came

    def add(self, sock: socket.socket) -> None:
        """Count a connection, about to be closed. Does nothing where the kernel does not tell."""
        info = b""
        with contextlib.suppress(OSError):  # it may have been reset
            info = sock.getsockopt(socket.IPPROTO_TCP, _OPTION, _SIZE) if _OPTION is not None else b""
        if len(info) < _SIZE:
            return
        self.resent += _number(info, _RESENT)
        self.out_of_order += _number(info, _OUT_OF_ORDER)
        self.segments += sum(struct.unpack_from("=II", info, _DATA_IN_AND_OUT))
        least = _number(info, _ROUND_TRIP)
        if least != _UNKNOWN:
            self.round_trip = min(least / 1e6, self.round_trip or 1e9)

    def as_dict(self) -> dict[str, float | int | None]:
        """As a lane tells it."""
        return {
            "round_trip_s": self.round_trip,
            "segments": self.segments,
            "segments_lost": self.resent + self.out_of_order,
        }


def _number(info: bytes, at: int) -> int:
    found: int = struct.unpack_from("=I", info, at)[0]
    return found
