"""The rate at which a setting leaves the SLO, by forecast: a search over simulated loads, with a band."""

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass

from common.usage import UsageError
from forecast.calibration import Calibration
from forecast.forecast import Forecast, Setting, Z, forecast, meets
from loadgen.workload.scenario import Scenario
from loadgen.workload.schedule import schedule

TOLERANCE = 0.04  # (high - low) / low at which a search ends
LOAD_S = 30.0  # of each simulated load: long enough for a queue to show, and half the work of a minute
HIGHEST = 2000.0  # requests/s
LOWEST = 0.05


@dataclass(frozen=True)
class Limit:
    """The highest rate (arrivals/s) that meets the SLO, and its band. None: not even LOWEST does.

    front_end: whether that is where the front end would be full, before the engine is.
    """

    rate: float | None
    low: float | None
    high: float | None
    front_end: bool = False


def slo_rate(calibration: Calibration, setting: Setting) -> Limit:
    """Raises UsageError for a scenario without a rate or an SLO."""
    scenario = setting.schedule.scenario
    if scenario.slo is None or scenario.rate is None:
        raise UsageError(f"scenario {scenario.name} has no SLO, or no rate to be changed")
    short = scenario.with_overrides(
        duration=min(scenario.duration, LOAD_S), drain=min(scenario.drain, LOAD_S)
    )
    middle = _search(_at(calibration, setting, short, 1.0), scenario.rate)
    if middle is None:
        return Limit(None, None, None)
    at_limit = forecast(calibration, _with_rate(setting, short, middle))
    slow = math.exp(Z * at_limit.sd) * setting.extra[1]
    fast = math.exp(-Z * at_limit.sd) * setting.extra[0]
    low = _search(_at(calibration, setting, short, slow), middle / slow) or 0.0
    high = _search(_at(calibration, setting, short, fast), middle / fast)
    full = _front_end_full(calibration, at_limit, middle)
    rate = min(middle, full)
    return Limit(rate, min(low, rate), None if high is None else max(high, rate), full < middle)


def _front_end_full(calibration: Calibration, found: Forecast, rate: float) -> float:
    """Requests/s at which the front end would be full; infinite where nobody knows."""
    tokens = found.figures["output_token_throughput"].value
    if calibration.front_end_full is None or not tokens:
        return math.inf
    return calibration.front_end_full * rate / tokens


def _at(
    calibration: Calibration, setting: Setting, scenario: Scenario, pace: float
) -> Callable[[float], bool]:
    return lambda rate: meets(calibration, _with_rate(setting, scenario, rate), pace)


def _with_rate(setting: Setting, scenario: Scenario, rate: float) -> Setting:
    changed = scenario.with_overrides(rate=rate)
    return dataclasses.replace(setting, schedule=schedule(changed, setting.schedule.seed))


def _search(holds: Callable[[float], bool], start: float) -> float | None:
    """Double or halve to a bracket, then halve it; the rate that held."""
    low, high = (start, math.inf) if holds(start) else (0.0, start)
    while math.isinf(high):
        if 2 * low > HIGHEST:
            return low
        low, high = (2 * low, high) if holds(2 * low) else (low, 2 * low)
    while not low:
        if high / 2 < LOWEST:
            return None
        low, high = (high / 2, high) if holds(high / 2) else (low, high / 2)
    while high > (1 + TOLERANCE) * low:
        middle = math.sqrt(low * high)
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low
