"""Arrivals that are burstier, or more even, than independent ones."""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from loadgen.workload.arrivals.process import CHUNK, PROCESSES, Floats, Process, renewal


@PROCESSES.register("gamma")
class Gamma(Process):
    """Gamma gaps of shape `burstiness`, as in `vllm bench serve`: counts have variance / mean 1 / burstiness.

    1 is Poisson, below 1 burstier, above 1 more even. The first arrival comes after a rest of a gap that was
    already running (uniform share of a length-biased gap), so the rate is the same from the first second on.
    """

    process: Literal["gamma"] = "gamma"
    burstiness: Annotated[float, Field(ge=0.01, le=1e6)] = 0.5  # below, gaps vanish in rounding

    def times(self, rate: float, duration: float, rng: np.random.Generator) -> Floats:
        scale = 1 / (rate * self.burstiness)
        first = rng.random() * rng.gamma(self.burstiness + 1, scale)
        return renewal(lambda: rng.gamma(self.burstiness, scale, CHUNK), first, duration)
