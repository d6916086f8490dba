"""A worker's pulse (loadgen.protocol.gate.Pulse) of a lane that has nothing to tell, without its figures."""

from typing import Any

BLANK: dict[str, Any] = {
    "lane": 0,
    "t": 0.0,
    "due": 0,
    "in_flight": 0,
    "events": 0,
    "chunks": 0,
    "idle": False,
    "undecided": 0,
}
