"""Step times: what the fit finds, and how wide it is where nothing was seen."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forecast.step_times import Observations, Work, fit

KNOT = 13.0  # the median of the sequences below, by their weight


def observations(times: np.ndarray, noise: float, stalls: float = 0.0, most: int = 40) -> Observations:
    random = np.random.default_rng(1)
    count = 4000
    sequences = random.integers(5, most, count).astype(float)
    requests = random.poisson(0.2, count).astype(float)
    tokens = requests * random.uniform(10, 200, count)
    work = Work(np.ones(count), sequences, sequences * random.uniform(50, 400, count), tokens, requests)
    seconds = work.columns(KNOT) @ times * random.lognormal(0, noise, count)
    seconds += 0.05 * (random.random(count) < stalls)
    return Observations(np.linspace(0, 60, count), seconds, work, 1 / sequences)


terms = st.tuples(
    st.floats(1e-3, 0.05),
    st.floats(1e-5, 1e-3),
    st.floats(0, 1e-6),
    st.floats(1e-6, 1e-4),
    st.floats(0, 3e-3),
    st.floats(0, 1e-3),
)


@given(terms)
def test_known_step_times_are_found(told: tuple[float, ...]) -> None:
    times = np.array(told)
    found = fit(observations(times, 0.03))
    work = Work(1.0, np.array([8.0, 20.0, 35.0]), np.array([1600.0, 4000.0, 7000.0]), 0.0, 0.0)
    assert found.seconds(work) == pytest.approx(work.columns(KNOT) @ times, rel=0.03)
    assert (found.coefficients >= 0).all() and (found.draws >= 0).all()


@given(terms, st.floats(0, 60), st.floats(0, 60))
def test_more_work_never_takes_less_time(told: tuple[float, ...], one: float, other: float) -> None:
    found = fit(observations(np.array(told), 0.3))
    small, large = sorted((one, other))
    a, b = (float(found.seconds(Work(1.0, size, 100 * size, 0.0, 0.0))) for size in (small, large))
    assert a <= b + 1e-12


def test_rare_stalls_bend_the_fit_little_but_count_in_the_whole() -> None:
    times = np.array([0.005, 0.0002, 0.0, 3e-5, 1e-3, 0.0])
    seen = observations(times, 0.03, stalls=0.01)
    found = fit(seen)
    assert seen.weight @ found.seconds(seen.work) == pytest.approx(seen.weight @ seen.seconds)
    assert found.coefficients[0] / found.coefficients[1] == pytest.approx(25, rel=0.1)


def test_bands_widen_where_the_run_never_was() -> None:
    found = fit(observations(np.array([0.005, 0.0002, 0.0, 3e-5, 1e-3, 0.0]), 0.05))
    spread = [found.spread(Work(1.0, size, 200 * size, 0.0, 0.0)) for size in (20.0, 80.0, 320.0)]
    assert spread[0] < spread[1] < spread[2]
    long = found.spread(Work(1.0, 20.0, 4000.0, 2000.0, 1.0))
    assert long > found.spread(Work(1.0, 20.0, 4000.0, 100.0, 1.0))
