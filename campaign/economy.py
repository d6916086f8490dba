"""What runs of a campaign need not do: they take the time that its claims need, unless told otherwise."""

import math

from campaign.load import Load
from loadgen.workload.arrivals.constant import Constant
from loadgen.workload.arrivals.poisson import Poisson
from reports.metrics.survival import needed

_LEAST = needed(0.99, 0.99, 1)  # requests, as the rule enough_requests has it
FOR_A_P99 = _LEAST + round(3 * math.sqrt(_LEAST))  # so many on average, and chance leaves too few in 1 of 700


def economical(load: Load, repeats: int) -> tuple[Load, str | None]:
    """The load of each of so many runs of a variant, and what is shorter than the scenario says, in a line.

    A run that falls behind beyond doubt ends early. From one run of each nothing is claimed but what exceeds
    the spread of starts, however long it is loaded. So it is judged as long as a p99 needs, where one rate
    says how long that is. Of several runs a shorter window would cost claims.
    """
    load, scenario = load.stopping(), load.resolved()
    rate, steady = scenario.mean_rate, isinstance(scenario.arrivals, Constant | Poisson)
    if repeats == 1 and rate and steady and not scenario.conversation and "duration" not in load.options:
        enough = float(math.ceil(FOR_A_P99 / rate))
        if enough < scenario.duration:
            told = f"each run is judged for {enough:g} s, as long as a p99 needs at {rate:g} requests/s; "
            return load.with_options(
                duration=f"{enough:g}"
            ), f"{told}--duration {scenario.duration:g} is whole"
    return load, None
