"""The CPU model's shape: where a machine can, baseline keeps up with 20 requests/s and optimized does not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.shape import LAYERS, RATE, REFERENCE, STANDARD, fit, load


def test_the_machine_of_the_constants_keeps_the_standard_shape() -> None:
    for noise in (0.92, 1.0, 1.08):
        assert fit(noise * REFERENCE).layers == STANDARD


@given(st.floats(0.62, 2.6))
def test_the_baseline_s_load_leaves_room_on_both_sides(speed: float) -> None:
    found = fit(speed * REFERENCE)
    assert 0.58 <= found.load <= 0.76 and found.advice is None
    assert found.load == load(found.layers, speed * REFERENCE)


@given(st.floats(1e-3, 1e3), st.floats(1.0, 10.0))
def test_a_faster_machine_never_gets_a_shallower_model(speed: float, more: float) -> None:
    assert fit(speed * REFERENCE).layers <= fit(more * speed * REFERENCE).layers
    assert fit(speed * REFERENCE).layers in LAYERS


@pytest.mark.parametrize(("speed", "rate"), [(0.3, 9), (0.5, 15), (0.01, 1)])
def test_a_machine_too_slow_for_any_shape_is_told_a_rate(speed: float, rate: int) -> None:
    found = fit(speed * REFERENCE)
    assert found.layers == min(LAYERS) and found.advice is not None
    assert f"slow for {RATE:g} requests/s: RPS={rate} " in found.advice
