"""How many runs show a difference."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from reports.statistics.intervals import interval_of_means
from reports.statistics.sample_size import MOST, runs_needed


def test_as_tables_of_the_t_test_have_it() -> None:
    """One standard deviation at 95 % and a power of 90 %: 22 or 23 each (Cohen 1988, table 2.4.1)."""
    assert runs_needed(1.0, 1.0, 0.95) in (22, 23)
    assert runs_needed(1.0, 0.01, 0.95) is None


@given(st.floats(0.01, 10), st.floats(0.1, 10), st.floats(0.8, 0.99))
def test_more_noise_and_smaller_changes_need_more(
    variance: float, difference: float, confidence: float
) -> None:
    counts = [
        runs_needed(variance * noise, difference / size, confidence) or MOST + 1
        for noise, size in ((1, 1), (2, 1), (2, 2))
    ]
    assert counts == sorted(counts) and counts[0] >= 2
    assert runs_needed(variance, -difference, confidence) == runs_needed(variance, difference, confidence)


def test_so_many_do_show_it() -> None:
    rng, count = np.random.default_rng(1), runs_needed(0.05**2, 0.05, 0.983)
    assert count is not None
    shown = 0
    for _ in range(300):
        sides = 0.05 * rng.standard_normal((2, count)) + [[0.0], [0.05]]
        found = interval_of_means(sides[0], sides[1], 0.983)
        shown += found is not None and found.low > 0
    assert 0.85 < shown / 300 < 0.95
