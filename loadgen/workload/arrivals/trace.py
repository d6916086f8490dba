"""Arrivals as they were recorded."""

from typing import Literal

from loadgen.workload.arrivals.process import PROCESSES, Floats, Process


@PROCESSES.register("trace")
class Trace(Process):
    """The times recorded in the scenario's dataset; with a rate, stretched to it."""

    process: Literal["trace"] = "trace"

    def require(self, rate: float | None, conversation: bool, dataset: bool) -> None:
        if not dataset:
            raise ValueError("trace arrivals need a dataset with times")

    def replay(self, times: Floats, rate: float | None = None) -> Floats:
        """Recorded times (seconds from the trace's start, sorted).

        With a rate they are counted from the first and stretched, so that this is their mean rate: n times
        have the mean rate (n − 1) / (last − first). Raises ValueError where several times are all the same.
        """
        if rate is None:
            return times
        span = times[-1] - times[0]
        if len(times) > 1 and not span:
            raise ValueError(f"its first {len(times)} times are the same, so they cannot be played at a rate")
        return (times - times[0]) * ((len(times) - 1) / (span or 1.0) / rate)
