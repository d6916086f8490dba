"""Public: what a listener is given of a request that has ended."""

from loadgen.records.record import Record

__all__ = ["Record"]
