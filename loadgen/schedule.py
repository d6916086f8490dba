"""Public: what a user class is given for each request."""

from loadgen.workload.arrival import Arrival

__all__ = ["Arrival"]
