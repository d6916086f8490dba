"""Evenly spaced arrivals."""

from typing import Literal

import numpy as np

from loadgen.workload.arrivals.process import PROCESSES, Floats, Process


@PROCESSES.register("constant")
class Constant(Process):
    """One every 1/rate seconds, the first at 0. Nothing is drawn: counts have variance / mean 0."""

    process: Literal["constant"] = "constant"

    def times(self, rate: float, duration: float, rng: np.random.Generator | None = None) -> Floats:
        times = np.arange(int(np.ceil(rate * duration)) + 1) / rate
        return times[times < duration]
