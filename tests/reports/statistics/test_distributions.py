"""The distributions against scipy, which has more of them and takes longer to import."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import special, stats

from reports.statistics import distributions


@given(st.floats(-8, 8), st.floats(1e-9, 1 - 1e-9))
def test_the_normal_is_scipys(value: float, share: float) -> None:
    assert distributions.normal_below(value) == pytest.approx(special.ndtr(value), rel=1e-12)
    assert distributions.normal_quantile(share) == pytest.approx(special.ndtri(share), rel=1e-9, abs=1e-12)


@example(128.0, 0.5000000000000001)
@given(st.floats(1, 1e5), st.floats(0.5, 0.9999))
def test_students_quantile_is_scipys(freedom: float, share: float) -> None:
    found = distributions.student_quantile(freedom, share)
    assert found == pytest.approx(special.stdtrit(freedom, share), rel=1e-8, abs=1e-7)


@given(st.integers(1, 10**5), st.floats(0, 1.1), st.floats(1e-6, 1 - 1e-6))
def test_the_binomial_is_scipys(count: int, part: float, share: float) -> None:
    at_most = int(part * count)
    found = distributions.binomial_below(at_most, count, share)
    assert found == pytest.approx(stats.binom.cdf(at_most, count, share), rel=1e-7, abs=1e-12)


def test_half_of_a_hundred_million_lie_below_their_middle() -> None:
    """Where scipy 1.17.1 is off by a tenth: `special.bdtr(50_000_000, 10**8, 0.5)` is 0.61."""
    count = 10**8
    expected = 0.5 + 0.5 / np.sqrt(2 * np.pi * count / 4)  # half of the middle one's share
    assert distributions.binomial_below(count // 2, count, 0.5) == pytest.approx(expected, rel=1e-6)
