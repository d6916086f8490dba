"""What an arrival process is: a model of its parameters that gives due times."""

from collections.abc import Callable
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from common.registry import Registry
from common.strictyaml import Strict

Floats = NDArray[np.float64]

CHUNK = 4096  # gaps drawn at a time; the sequence does not depend on it


class Process(Strict):
    """Its fields are the keys that a scenario may give. Subclasses fix `process` to their registered name.

    Times are pure functions of parameters, rate and random generator: seconds from 0, sorted, below the
    duration.
    """

    process: str
    takes_rate: ClassVar[bool] = True  # whether a scenario's `rate` means anything to it
    calmer: ClassVar[str] = ""  # what to change where it settles too slowly

    def times(self, rate: float, duration: float, rng: np.random.Generator) -> Floats:
        """Due times over `duration` seconds, `rate` per second on average."""
        raise NotImplementedError(f"{self.process} arrivals are not drawn")

    def warm_up(self, rate: float, duration: float, rng: np.random.Generator) -> Floats:
        """Due times before the window: at the rate with which the window begins."""
        return self.times(rate, duration, rng)

    @property
    def own_rate(self) -> float | None:
        """Arrivals per second where the scenario names no rate; None: it has to."""
        return None

    @property
    def settling(self) -> float:
        """Seconds before 0 that are drawn, too, so that its statistics are the same from the start."""
        return 0.0

    def require(self, rate: float | None, conversation: bool, dataset: bool) -> None:
        """Raise ValueError where the rest of the scenario does not go with it."""
        if rate is None and self.own_rate is None:
            raise ValueError(f"{self.process} arrivals need a rate")


MOST_RATE = 1e9  # arrivals per second; far beyond any, and products of such rates stay finite
PROCESSES: Registry[type[Process]] = Registry("arrival process")


def renewal(gaps: Callable[[], Floats], first: float, duration: float) -> Floats:
    """Times whose gaps are drawn chunk by chunk until `duration` is reached. `first` 0: none at 0."""
    parts = [np.array([first])] if first else []
    last = first
    while last < duration:
        part = last + np.cumsum(gaps())
        parts.append(part)
        last = float(part[-1])
    times = np.concatenate(parts) if parts else np.empty(0)
    return times[times < duration]
