"""How a worker's clock stands to the master's."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.host import clock


@given(
    truth=st.floats(-1e5, 1e5),
    ways=st.lists(st.tuples(st.floats(1e-5, 0.5), st.floats(1e-5, 0.5)), min_size=1, max_size=20),
)
def test_a_clock_is_known_to_half_the_shortest_round_trip(
    truth: float, ways: list[tuple[float, float]]
) -> None:
    exchanges = [
        clock.Exchange(10.0 * number, 10.0 * number + there + truth, 10.0 * number + there + back)
        for number, (there, back) in enumerate(ways)
    ]
    found = clock.offset(exchanges, same_clock=False)
    assert found.round_trip == pytest.approx(min(there + back for there, back in ways), abs=1e-9)
    assert abs(found.seconds - truth) <= found.round_trip / 2 + 1e-9
    assert clock.offset(exchanges, same_clock=True).seconds == 0.0
