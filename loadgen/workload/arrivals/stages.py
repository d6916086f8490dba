"""Rates that follow a plan of steps and ramps."""

from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from common.strictyaml import Strict
from loadgen.workload.arrivals.constant import Constant
from loadgen.workload.arrivals.poisson import Poisson
from loadgen.workload.arrivals.process import MOST_RATE, PROCESSES, Floats, Process
from loadgen.workload.lengths import MOST

Rate = Annotated[float, Field(ge=0, le=MOST_RATE)]
Leg = tuple[float, float, float]  # rate at its start, rate at its end (1/s), duration (s)


class Stage(Strict):
    """One step (`rate`) or ramp (`rate` to `to`), arrivals per second; `duration` in seconds."""

    rate: Rate
    to: Rate | None = None
    duration: Annotated[float, Field(gt=0, le=MOST)]

    @property
    def last(self) -> float:
        return self.rate if self.to is None else self.to


@PROCESSES.register("stages")
class Stages(Process):
    """Steps `{rate, duration}` and ramps `{rate, to, duration}` one after the other, their gaps as `spacing`
    says.

    They stretch with the scenario's duration and rate.
    """

    process: Literal["stages"] = "stages"
    stages: tuple[Stage, ...] = Field(min_length=1)
    spacing: Literal["poisson", "constant"] = "poisson"

    @property
    def length(self) -> float:
        return sum(stage.duration for stage in self.stages)

    @property
    def own_rate(self) -> float:
        return sum((stage.rate + stage.last) / 2 * stage.duration for stage in self.stages) / self.length

    def require(self, rate: float | None, conversation: bool, dataset: bool) -> None:
        if not self.own_rate:
            raise ValueError("every stage has rate 0")

    def times(self, rate: float, duration: float, rng: np.random.Generator) -> Floats:
        higher, longer = rate / self.own_rate, duration / self.length
        legs = [(each.rate * higher, each.last * higher, each.duration * longer) for each in self.stages]
        return follow(legs, self._drawn(rng))

    def warm_up(self, rate: float, duration: float, rng: np.random.Generator) -> Floats:
        first = self.stages[0].rate * (rate / self.own_rate) or rate  # a ramp from 0 would warm nothing up
        return follow([(first, first, duration)], self._drawn(rng)) if duration else np.empty(0)

    def _drawn(self, rng: np.random.Generator) -> np.random.Generator | None:
        return rng if self.spacing == "poisson" else None


def follow(legs: Sequence[Leg], rng: np.random.Generator | None) -> Floats:
    """Due times by a plan of steps and ramps; Poisson with `rng`, evenly paced without.

    Time change: arrivals of unit rate are put where the integral of the rate reaches them.
    """
    expected = np.array([(first + last) / 2 * length for first, last, length in legs])
    ends = np.cumsum(expected)
    whole = float(ends[-1])
    unit = Constant().times(1.0, whole) if rng is None else Poisson().times(1.0, whole, rng)
    which = np.minimum(np.searchsorted(ends, unit, side="right"), len(legs) - 1)
    inside = unit - (ends - expected)[which]
    first, last, length = np.array(legs, dtype=float).T[:, which]
    slope = (last - first) / length
    # first·t + slope·t²/2 = inside, in the form that also holds for a slope of 0
    root = np.sqrt(np.maximum(first**2 + 2 * slope * inside, 0))
    within = 2 * inside / np.maximum(first + root, 1e-300)
    starts = np.cumsum([0.0, *(leg[2] for leg in legs[:-1])])
    times = starts[which] + np.minimum(within, length)
    return times[times < sum(leg[2] for leg in legs)]
