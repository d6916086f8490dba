"""How long a queue takes to forget where it stood, from how long it is."""

import dataclasses

import numpy as np
import pytest

from bench.synthetic import Shape
from bench.verdict import CHAT_MEDIUM, run_of
from reports.metrics import expected_in_flight, time_series
from reports.runs.runs import Run
from reports.statistics import queue_memory

STEADY = dataclasses.replace(CHAT_MEDIUM, output=20, output_sd=10, wobble=0.0, jitter=0.0)


def loaded(slots: int, load: float, **settings: float) -> Run:
    """A run at this share of what its slots can serve."""
    shape = dataclasses.replace(STEADY, slots=slots)
    return run_of(dataclasses.replace(shape, rate=load * shape.capacity, **settings), "x")  # type: ignore[arg-type]


def autocorrelation_time(run: Run) -> float:
    """Integrated over all lags, of what is in flight beyond the expected number; seconds."""
    edges = np.arange(run.window[0], run.window[1] + 0.5)
    pace = expected_in_flight.pace_of(run, run.judged)
    assert pace is not None
    beyond = time_series.in_flight(run, edges) - expected_in_flight.explained(run, pace, edges)
    beyond -= beyond.mean()
    together = np.array([beyond[: len(beyond) - lag] @ beyond[lag:] for lag in range(300)])
    together /= together[0]
    return float(2 * together[: int(np.argmax(together < 0.02))].sum() - 1)


@pytest.mark.parametrize(("slots", "load"), [(1, 0.9), (4, 0.9), (20, 0.95)])
def test_a_long_run_shows_the_stretch_that_is_told_from_how_many_wait(slots: int, load: float) -> None:
    run = loaded(slots, load, duration=4000.0)
    assert 0.4 < queue_memory.stretch(run) / autocorrelation_time(run) < 1.5


def test_it_takes_longer_the_nearer_the_capacity() -> None:
    half, most, nearly_all = (
        np.median([queue_memory.stretch(loaded(20, load, seed=seed)) for seed in range(8)])
        for load in (0.5, 0.85, 0.97)
    )
    assert half < 0.1 < most < 0.2 * nearly_all


def test_prompts_that_take_longer_are_no_queue() -> None:
    """Without slots nothing waits, however much first tokens differ."""
    shape = dataclasses.replace(STEADY, slots=None, ttft=0.5, jitter=0.8)
    assert queue_memory.stretch(run_of(shape, "x")) < 1


def test_nothing_piles_up_in_a_closed_loop() -> None:
    run, same = (loaded(4, 0.95) for _ in range(2))
    run.manifest.scenario["arrivals"] = {"process": "closed-loop", "clients": 20}
    assert queue_memory.stretch(run) == 0 < queue_memory.stretch(same)


@pytest.mark.parametrize(
    "shape",
    [
        Shape(hung_share=1.0),  # no first token at all
        Shape(output=1, arrivals="constant"),  # nothing between first and last token
        Shape(rate=0.1),  # six requests
    ],
)
def test_runs_that_say_nothing_of_a_queue(shape: Shape) -> None:
    assert queue_memory.stretch(run_of(shape, "x")) == 0
