"""How a worker's monotonic clock stands to the master's: ping-pong, the shortest round trip wins.

Nobody's wall clock is trusted. Processes of one boot of one host share the monotonic clock, so their
offset is 0 and only the round trip is measured.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class Exchange:
    """One ping-pong: the master's clock at both ends, the worker's in between. Seconds."""

    sent: float
    theirs: float
    received: float

    @property
    def round_trip(self) -> float:
        return self.received - self.sent

    @property
    def offset(self) -> float:
        """Worker's clock less the master's, if both ways took equally long."""
        return self.theirs - (self.sent + self.received) / 2


@dataclass(frozen=True)
class Offset:
    """Worker's clock less the master's (s), right to half of `round_trip`."""

    seconds: float
    round_trip: float


def offset(exchanges: Sequence[Exchange], same_clock: bool) -> Offset:
    """The offset from at least one exchange."""
    best = min(exchanges, key=lambda exchange: exchange.round_trip)
    return Offset(0.0 if same_clock else best.offset, best.round_trip)


def boot() -> str:
    """Tells this boot of this host from all others, and names none; empty where the system gives none."""
    try:
        return hashlib.sha256(_BOOT_ID.read_bytes()).hexdigest()[:16]
    except OSError:
        return ""
