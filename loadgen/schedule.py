"""Public: what a user class is given for each request."""

from loadgen.workload.schedule import Arrival

__all__ = ["Arrival"]
