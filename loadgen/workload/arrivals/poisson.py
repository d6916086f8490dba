"""Independent arrivals."""

from typing import Literal

import numpy as np

from loadgen.workload.arrivals.process import CHUNK, PROCESSES, Floats, Process, renewal


@PROCESSES.register("poisson")
class Poisson(Process):
    """Independent exponential gaps: counts have variance / mean 1."""

    process: Literal["poisson"] = "poisson"

    def times(self, rate: float, duration: float, rng: np.random.Generator) -> Floats:
        return renewal(lambda: rng.exponential(1 / rate, CHUNK), 0.0, duration)
