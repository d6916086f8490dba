"""Mann-Kendall's exact p-value against scipy, Theil-Sen's slope, and the backlog test's error rates."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kendalltau

from bench.synthetic import Shape, edit_manifest, make_run
from reports.metrics.stages import stages
from reports.runs.runs import load_run
from reports.statistics.trend import first_are_extreme, mann_kendall, stands_apart, theil_sen
from reports.verdict.backlog import measure
from reports.verdict.rules.server import backlog


@given(st.permutations(range(9)))
def test_mann_kendall_is_kendalls_exact_test(order: list[int]) -> None:
    expected = kendalltau(range(9), order, method="exact", alternative="greater").pvalue
    assert mann_kendall(np.array(order, float)) == pytest.approx(expected)


def test_theil_sen_ignores_an_outlier() -> None:
    values = 2.0 * np.arange(11, dtype=np.float64)
    values[5] = 1e6
    assert theil_sen(values) == pytest.approx(2.0)
    assert mann_kendall(np.ones(8)) > 0.4


def test_first_are_extreme() -> None:
    assert first_are_extreme(np.array([9.0, 8, 1, 2, 3]), 2)
    assert first_are_extreme(np.array([1.0, 2, 3, 4]), 2)
    assert not first_are_extreme(np.array([9.0, 1, 3, 2]), 2)


@pytest.mark.parametrize(
    ("values", "first", "apart"),
    [
        ([9.0, 9, 1, 2, 1, 2], 2, True),
        ([1.0, 1, 9, 8, 9, 8], 2, True),
        ([3.9, 3.9, 1, 3, 1, 3], 2, False),  # the rest itself comes more than half as far
        ([9.0, 1, 2, 1, 9, 2], 1, False),
        ([6.0, 5, 4, 3, 2, 1], 2, False),  # a drift, which no longer beginning ends
        ([32.0, 16, 8, 4, 2, 1], 2, True),  # a decay, which one does
    ],
)
def test_a_beginning_stands_apart_from_a_rest_that_has_settled(
    values: list[float], first: int, apart: bool
) -> None:
    assert stands_apart(np.array(values), first) is apart


def _found(folder: Path, repeats: int, **changes: Any) -> float:
    """Share of runs in which the backlog rule fails."""
    failed = 0
    for seed in range(repeats):
        make_run(folder, Shape(seed=seed, noise_seed=seed), **changes)
        failed += not backlog(load_run(folder)).passed
    return failed / repeats


QUEUES = {  # slots, rate at load 1, mean tokens
    "one": {"slots": 1, "rate": 20.0, "ttft": 0.02, "tpot": 0.0005, "output": 61, "output_sd": 60.0},
    "many": {"slots": 60, "rate": 20.0, "ttft": 0.05, "tpot": 0.02, "output": 148, "output_sd": 80.0},
}


@pytest.mark.parametrize("queue", QUEUES)
@pytest.mark.parametrize("arrivals", ["poisson", "constant"])
def test_false_alarms_stay_below_the_stated_level(tmp_path: Path, queue: str, arrivals: str) -> None:
    shape = QUEUES[queue] | {"rate": 12.0, "arrivals": arrivals, "warmup": 6.0}
    assert _found(tmp_path, 20, **shape) <= 0.05


def test_long_answers_that_nothing_holds_up_are_no_backlog(tmp_path: Path) -> None:
    shape = {"rate": 11.0, "ttft": 0.05, "tpot": 0.02, "output": 150, "output_sd": 200.0, "warmup": 2.0}
    assert _found(tmp_path, 30, **shape) <= 0.02


@pytest.mark.parametrize(("over", "power"), [(1.05, 0.6), (1.2, 0.95)])
@pytest.mark.parametrize("queue", QUEUES)
def test_an_overloaded_server_is_found(tmp_path: Path, queue: str, over: float, power: float) -> None:
    shape = QUEUES[queue] | {"rate": 20.0 * over, "warmup": 6.0}
    assert _found(tmp_path, 20, **shape) >= power


STEPS = {"steps": (5.0, 10.0, 20.0, 40.0), "duration": 240.0, "ttft": 0.05, "tpot": 0.02, "output": 148}


def test_a_rate_that_rises_by_plan_is_no_backlog(tmp_path: Path) -> None:
    """In flight rises from 15 to 120, and nothing queues."""
    assert _found(tmp_path, 8, **STEPS, output_sd=80.0) <= 0.05
    assert "the step of 4 in which most came to it" in backlog(load_run(tmp_path)).text


@pytest.mark.parametrize("capacity", [15.0, 33.0])
def test_the_step_that_a_server_falls_behind_in_is_named(tmp_path: Path, capacity: float) -> None:
    make_run(tmp_path, Shape(slots=round(capacity * 2.99)), **STEPS)
    found = backlog(load_run(tmp_path))
    assert not found.passed and ("at 20/s" in found.text or "at 40/s" in found.text)
    if capacity > 20:
        assert "at 40/s" in found.text


def test_steps_too_short_to_tell_are_not_checked(tmp_path: Path) -> None:
    make_run(tmp_path, steps=(5.0, 10.0), duration=10.0)
    found = backlog(load_run(tmp_path))
    assert found.passed and not found.checked and "no step of a constant rate has 80 arrivals" in found.text


def test_stages_lie_in_the_window_as_the_schedule_has_them(tmp_path: Path) -> None:
    make_run(tmp_path, duration=12.0, warmup=3.0)
    listed = [{"rate": 2, "duration": 20}, {"rate": 2, "to": 6, "duration": 40}]
    scenario = {"arrivals": {"process": "stages", "stages": listed}, "duration": 12.0}
    for rate, higher in ((None, 1), (20.0, 6)):  # the mean as written is 10/3
        edit_manifest(tmp_path, scenario=scenario | {"rate": rate})
        first, second = stages(load_run(tmp_path))
        assert (first.start, first.end, second.start, second.end) == (3.0, 7.0, 7.0, 15.0)
        assert [first.first, first.last, second.first, second.last] == pytest.approx(
            [2 * higher, 2 * higher, 2 * higher, 6 * higher]
        )
        assert first.steady and not second.steady
    edit_manifest(tmp_path, ended="interrupted", schedule_end=6.0)
    assert [(stage.start, stage.end) for stage in stages(load_run(tmp_path))] == [(3.0, 6.0)]


def test_too_few_arrivals_give_no_backlog(tmp_path: Path) -> None:
    make_run(tmp_path, rate=1.0)
    assert measure(load_run(tmp_path)) is None
    assert not backlog(load_run(tmp_path)).checked
