"""A drift over runs in turn is told from the difference of their sides."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.statistics.drift import drift

SIZES = st.floats(-10, 10, allow_subnormal=False)


@given(st.integers(3, 12), SIZES, SIZES, SIZES)
def test_what_was_put_in_comes_out(pairs: int, level: float, difference: float, slope: float) -> None:
    other = np.tile([False, True], pairs)
    found = drift(level + difference * other + slope * np.arange(2 * pairs), other)
    assert found is not None and found.separable
    assert found.difference == pytest.approx(difference, abs=1e-9)
    assert found.slope == pytest.approx(slope, abs=1e-9)
    assert found.error == pytest.approx(0, abs=1e-9)


@given(st.lists(SIZES, min_size=6, max_size=16), st.integers(0, 2**16))
def test_it_is_least_squares(values: list[float], turns: int) -> None:
    count, data = len(values), np.array(values)
    other = np.array([turns >> place & 1 == 1 for place in range(count)])
    found = drift(data, other)
    if found is None:
        return
    design = np.column_stack([np.ones(count), other, np.arange(count)])
    fitted, *_ = np.linalg.lstsq(design, data, rcond=None)
    rest = data - design @ fitted
    covariance = np.linalg.inv(design.T @ design) * (rest @ rest) / (count - 3)
    assert (found.difference, found.slope) == pytest.approx(tuple(fitted[1:]), abs=1e-6)
    errors = math.sqrt(covariance[1, 1]), math.sqrt(covariance[2, 2])
    assert (found.error, found.slope_error) == pytest.approx(errors, abs=1e-6)


@pytest.mark.parametrize(
    ("order", "separable"),
    [("ABABAB", True), ("ABBAAB", True), ("AAABBB", False), ("ABAB", None), ("A" * 6, None)],
)
def test_runs_that_do_not_take_turns_hide_a_drift(order: str, separable: bool | None) -> None:
    found = drift(np.arange(len(order), dtype=float), np.array([each == "B" for each in order]))
    assert (found and found.separable) is separable
