"""How many workers a load takes, where nobody says."""

import pytest

from campaign import workers
from loadgen.workload.scenario import Scenario


@pytest.mark.parametrize(
    ("chunks", "requests", "cores", "beside", "expected"),
    [
        (3_000, 20, 2, False, 1),
        (45_000, 300, 16, False, 3),
        (45_000, 300, 4, True, 2),
        (300_000, 2_000, 16, False, 15),
        (1_000, 1_000, 16, False, 2),
        (0, 0, 1, True, 1),
    ],
)
def test_workers_follow_the_load_and_leave_room(
    chunks: float, requests: float, cores: int, beside: bool, expected: int
) -> None:
    chosen, why = workers.count(chunks, requests, cores, beside)
    assert chosen == expected and why.startswith(f"{expected} worker") and f"{cores} cores" in why


def test_a_cap_on_requests_in_flight_bounds_them() -> None:
    assert workers.count(300_000, 2_000, 16, False, most=2)[0] == 2


def test_the_offered_chunks_are_those_of_the_schedule() -> None:
    chunks, requests = workers.offered(Scenario.load("chat-medium").with_overrides(rate=50), 1)
    assert requests == pytest.approx(50, rel=0.1)
    assert chunks == pytest.approx(50 * 150, rel=0.15)
    closed = Scenario.load("closed-loop-chat").with_overrides(concurrency=40)
    assert workers.offered(closed, 1)[0] == 40 * workers.PACE
