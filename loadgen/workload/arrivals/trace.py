"""Arrivals as they were recorded."""

from typing import Literal

import numpy as np

from loadgen.workload.arrivals.process import PROCESSES, Floats, Process

BUNCHED = 0.5  # of the times; where fewer are distinct, most requests come in bunches


def bunches(times: Floats) -> tuple[int, int]:
    """How many distinct times there are, and how many are the same at most. Times are sorted."""
    counts = np.unique(times, return_counts=True)[1]
    return len(counts), int(counts.max(initial=0))


def spread(times: Floats, end: float) -> Floats:
    """Equal times one after the other, evenly until the next one; the last ones until `end`, or for as long
    as is usual. Times are sorted, and below `end`."""
    moments, first, counts = np.unique(times, return_index=True, return_counts=True)
    last = float(moments[-1])
    usual = float(np.median(np.diff(moments))) if len(moments) > 1 else end - last
    until = np.append(moments[1:], min(last + usual, end) if np.isfinite(usual) else last)
    place = np.arange(len(times)) - np.repeat(first, counts)
    return times + place * np.repeat((until - moments) / counts, counts)


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
