"""Arrivals that bring on others."""

from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from loadgen.workload.arrivals.process import PROCESSES, Floats, Process


@PROCESSES.register("hawkes")
class Hawkes(Process):
    """Each arrival brings on `branching` others on average, after 1/decay seconds on average: counts have
    variance / mean 1 / (1 − branching)².

    Delays are exponential. Cluster method (Hawkes and Oakes, J. Appl. Prob. 11, 1974): immigrants are Poisson
    at rate · (1 − branching), every arrival has Poisson(branching) children. A stretch before 0 is simulated
    too, so that the process is stationary from the start (`settling`).
    """

    process: Literal["hawkes"] = "hawkes"
    branching: Annotated[float, Field(ge=0, lt=1)] = 0.5
    decay: Annotated[float, Field(ge=1e-6, le=1e6)] = 1.0
    calmer: ClassVar[str] = "raise decay, or lower branching or the rate"

    @property
    def settling(self) -> float:
        """A cluster dies out as exp(−decay · (1 − branching) · t); 12 such times leave 6 in a million."""
        return 12 / (self.decay * (1 - self.branching))

    def times(self, rate: float, duration: float, rng: np.random.Generator) -> Floats:
        count = rng.poisson(rate * (1 - self.branching) * (self.settling + duration))
        generation = rng.uniform(-self.settling, duration, count)
        clusters = [generation]
        while len(generation):
            parents = np.repeat(generation, rng.poisson(self.branching, len(generation)))
            children = parents + rng.exponential(1 / self.decay, len(parents))
            generation = children[children < duration]
            clusters.append(generation)
        times = np.sort(np.concatenate(clusters))
        return times[times >= 0]
