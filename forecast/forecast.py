"""A forecast: what a load does to a server's settings, by a calibration, with a band about every figure.

Each setting is simulated three times: with the fitted step times, and with all of them longer and shorter by
z standard deviations of the log of a step's time at that setting's own mean step. So the bands are as wide as
what the run cannot tell, where this setting works.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from forecast.calibration import Calibration
from forecast.engine_settings import Settings
from forecast.load import Traffic
from forecast.scheduler import Outcome, simulate
from forecast.simulated_run import Description, SimulatedRun, run_of, tokens_per_second
from forecast.step_times import StepTimes, Work
from loadgen.workload.schedule import Schedule
from reports.metrics import request_metrics
from reports.runs.runs import Run
from reports.verdict import validity
from reports.verdict.rule import Verdict

Floats = NDArray[np.float64]

COVERED = 0.80  # of what is measured a band should hold
Z = 1.2816  # standard normal quantile of (1 + COVERED) / 2
FRONT_SD = 0.15  # log; how well what front end and client add to TTFT carries over to another load
LEAST_SD = {  # share; what two runs of one load differ by where nothing queues (docs/forecast.md)
    "output_token_throughput": 0.005,
    "completed_rate": 0.008,
    "ttft_p50": 0.02,
    "tpot_p50": 0.01,
    "latency_mean": 0.01,
}
NAMES = ("output_token_throughput", "completed_rate", "ttft_p50", "ttft_p99", "tpot_p50", "latency_mean")


@dataclass(frozen=True)
class Setting:
    """What is asked: a name, the scheduler's settings, the load. `step_times`: where not the run's own.

    `extra`: (low, high) factors of step times that are possible besides, as for other hardware.
    """

    name: str
    settings: Settings
    schedule: Schedule
    step_times: StepTimes | None = None
    extra: tuple[float, float] = (1.0, 1.0)
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Figure:
    """A forecast figure and its band; None: this could not be said (a percentile that was never reached)."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Forecast:
    """What is to be expected. `saturated`: by the rules that judge a run; `maybe`: the band holds both.

    `attained`: share of arrivals that meet the SLO, None without one. `step`: means of a step
    (sequences, tokens, context, seconds), and of a request's wait for a place (queue) and prefill, seconds.
    """

    setting: Setting
    figures: Mapping[str, Figure]
    saturated: bool
    maybe: bool
    attained: Figure
    slo_share: float | None
    sd: float
    step: Mapping[str, float]
    preemptions: int
    simulated: SimulatedRun = field(repr=False)


@dataclass(frozen=True)
class _Pass:
    """One simulation's figures."""

    figures: dict[str, float | None]
    saturated: bool
    attained: float | None
    outcome: Outcome
    ready: Floats
    simulated: SimulatedRun


def forecast(calibration: Calibration, setting: Setting, chunks: bool = False) -> Forecast:
    """Simulate the setting and band it. `chunks`: keep the chunks, for a run folder."""
    times = setting.step_times or calibration.step_times
    middle = _simulate(calibration, setting, times, 1.0, chunks)
    work = _mean_step(middle.outcome)
    sd = times.spread(work)
    slow, fast = (math.exp(sign * Z * sd) for sign in (1, -1))
    passes = [
        _simulate(calibration, setting, times.times(fast * setting.extra[0]), math.exp(-Z * FRONT_SD)),
        middle,
        _simulate(calibration, setting, times.times(slow * setting.extra[1]), math.exp(Z * FRONT_SD)),
    ]
    figures = {name: _banded(name, [each.figures[name] for each in passes]) for name in NAMES}
    scenario = setting.schedule.scenario
    return Forecast(
        setting,
        figures,
        middle.saturated,
        len({each.saturated for each in passes}) > 1,
        _banded("", [each.attained for each in passes]),
        scenario.slo.share if scenario.slo else None,
        sd,
        {
            "sequences": float(work.sequences),
            "tokens": float(work.tokens),
            "context": float(work.context),
            "seconds": float(times.seconds(work)),
            **_parts(middle.outcome, middle.ready),
        },
        middle.outcome.preemptions,
        middle.simulated,
    )


def meets(calibration: Calibration, setting: Setting, pace: float = 1.0) -> bool:
    """Whether the load meets the scenario's SLO and nothing falls behind, with steps `pace` times as long."""
    times = setting.step_times or calibration.step_times
    found = _simulate(calibration, setting, times.times(pace), 1.0)
    share = setting.schedule.scenario.slo.share if setting.schedule.scenario.slo else 0.0
    return not found.saturated and (found.attained is None or found.attained >= share)


def description(calibration: Calibration, setting: Setting) -> Description:
    server = {
        "command": list(calibration.command),
        "hardware": calibration.hardware,
        "model_config": calibration.model_config,
    }
    return Description(setting.name, calibration.run, server, setting.remarks)


def _simulate(
    calibration: Calibration, setting: Setting, times: StepTimes, front: float, chunks: bool = False
) -> _Pass:
    end = calibration.front_end.scaled(front)
    engine = setting.settings.engine
    traffic = Traffic(
        setting.schedule,
        end.base / 2,
        calibration.longer,
        setting.settings.prefix_caching,
        engine.block_size,
        lag=end.lag,
    )
    limit = setting.schedule.end + setting.schedule.scenario.drain
    outcome = simulate(traffic.load, engine, times.coefficients, limit, traffic.follow, knot=times.knot)
    made = run_of(
        traffic, outcome, end, description(calibration, setting), calibration.chunk if chunks else None
    )
    run = made.run
    rules = validity.check(run)
    saturated = any(rule.verdict == Verdict.SATURATED and not rule.passed for rule in rules)
    figures = figures_of(run) | {"output_token_throughput": tokens_per_second(traffic, outcome, end)}
    attained = request_metrics.rate(run, "slo_attainment").value
    return _Pass(figures, saturated, attained, outcome, np.array(traffic.load.ready), made)


def figures_of(run: Run) -> dict[str, float | None]:
    """The figures of NAMES that a run, simulated or measured, has; the tokens only where it has chunks."""
    found = {
        "completed_rate": request_metrics.rate(run, "completed_rate").value,
        "ttft_p50": request_metrics.percentile(run, "ttft", 0.5).value,
        "ttft_p99": request_metrics.percentile(run, "ttft", 0.99).value,
        "tpot_p50": request_metrics.percentile(run, "tpot", 0.5).value,
        "latency_mean": latency_mean(run),
    }
    if run.records.has("chunk_times"):
        found["output_token_throughput"] = request_metrics.rate(run, "output_token_throughput").value
    return found


def latency_mean(run: Run) -> float | None:
    """Mean of last token − sent of the window's completed requests, seconds."""
    done = run.judged & run.records.status_is("completed")
    seconds = (run.records.numbers("last_token") - run.records.numbers("sent"))[done]
    return float(seconds.mean()) if len(seconds) else None


def _banded(name: str, values: list[float | None]) -> Figure:
    """The middle of three values, in the band that the three and what chance gives span."""
    fast, middle, slow = values
    if middle is None:
        return Figure(None, _least(values), None)
    known = [value for value in values if value is not None]
    chance = Z * LEAST_SD.get(name, 0.0) * middle
    low, high = math.hypot(middle - min(known), chance), math.hypot(max(known) - middle, chance)
    return Figure(middle, max(middle - low, 0.0), None if None in values else middle + high)


def _least(values: list[float | None]) -> float | None:
    return min((value for value in values if value is not None), default=None)


def _parts(outcome: Outcome, ready: Floats) -> dict[str, float]:
    """Means over the requests that got a token, as the server's histograms of queue and prefill have them."""
    got = outcome.first >= 0
    if not got.any():
        return {}
    admitted = outcome.admitted[got]
    return {
        "queue": float(np.maximum(admitted - ready[got], 0.0).mean()),
        "prefill": float((outcome.step_end[outcome.first[got]] - admitted).mean()),
    }


def _mean_step(outcome: Outcome) -> Work:
    steps = max(float(outcome.totals[0]), 1.0)
    sequences, context, tokens, requests = (float(value) / steps for value in outcome.totals[1:])
    return Work(1.0, sequences, context, tokens, requests)
