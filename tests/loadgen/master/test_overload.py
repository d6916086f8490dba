"""A run is stopped early only where its server falls behind beyond doubt."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from loadgen.master.overload import Seen, beyond_doubt, due_between, of_one_rate
from loadgen.workload.scenario import Scenario
from loadgen.workload.schedule import schedule

WINDOW = (5.0, 65.0)


def look(offered: float, served: float, until: float, seed: int = 0, to_come: float = 1.0) -> str | None:
    """Of a server that answers at most `served` requests/s, looked at once a second."""
    rng, sent, answered, seen = np.random.default_rng(seed), 0, 0, []
    for second in range(int(until) + 1):
        seen.append(Seen(float(second), sent, answered))
        sent += int(rng.poisson(offered))
        answered = min(sent, answered + int(rng.poisson(served)))
    return beyond_doubt(seen, WINDOW, round(to_come * offered * (WINDOW[1] - until)))


def test_a_server_that_answers_half_is_seen_after_a_third_of_the_window_and_no_earlier() -> None:
    assert look(20, 10, 24) is None
    assert "requests wait for a first token" in (look(20, 10, 25) or "")
    assert look(20, 10, 65) is None, "nothing is left to be saved"


def test_a_burst_that_the_rest_of_the_schedule_lets_the_server_work_off_stops_nothing() -> None:
    assert look(20, 10, 30) and look(20, 10, 30, to_come=0.4) is None


@given(some.integers(0, 10_000), some.floats(0.5, 1.0), some.integers(15, 64))
def test_a_server_that_keeps_up_is_never_stopped(seed: int, load: float, until: int) -> None:
    assert look(20, 20 / load, until, seed) is None


def test_a_server_that_becomes_faster_may_go_on_to_do_so() -> None:
    answered = np.cumsum(np.linspace(2, 12, 40)).astype(int)
    seen = [Seen(float(t), 20 * t, int(answered[t])) for t in range(40)]
    assert beyond_doubt(seen, WINDOW, 500) is None


@pytest.mark.parametrize(("name", "same"), [("chat-low", True), ("closed-loop-chat", False)])
def test_only_a_load_of_one_rate_is_stopped(name: str, same: bool) -> None:
    assert of_one_rate(schedule(Scenario.load(name), 1)) is same


def test_what_is_still_to_come_is_known_from_the_schedule() -> None:
    load = schedule(Scenario.load("chat-low"), 1)
    assert due_between(load, 0, load.end) == len(load.arrivals)
    assert due_between(load, 10, 20) + due_between(load, 20, load.end) == due_between(load, 10, load.end)
