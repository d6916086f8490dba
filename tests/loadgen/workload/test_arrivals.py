"""Each arrival process by its statistics: mean rate, count variance, autocorrelation, order, bounds."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadgen.workload.arrivals import PROCESSES
from loadgen.workload.arrivals.constant import Constant
from loadgen.workload.arrivals.gamma import Gamma
from loadgen.workload.arrivals.hawkes import Hawkes
from loadgen.workload.arrivals.poisson import Poisson
from loadgen.workload.arrivals.stages import Leg, Stage, Stages, follow
from loadgen.workload.arrivals.trace import Trace

Make = Callable[[float, float, np.random.Generator], np.ndarray]

DRAWN: dict[str, Make] = {
    "constant": Constant().times,
    "poisson": Poisson().times,
    "gamma": Gamma(burstiness=0.4).times,
    "hawkes": Hawkes(branching=0.6, decay=1.5).times,
    "stages": Stages(stages=(Stage(rate=1, to=3, duration=1),)).times,
}
DISPERSION = {"constant": 0.0, "poisson": 1.0, "gamma": 1 / 0.4, "hawkes": 1 / (1 - 0.6) ** 2, "stages": 1.0}

some_process = st.sampled_from(sorted(DRAWN))
seeds = st.integers(0, 2**63)


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def counts(times: np.ndarray, duration: float, width: float) -> np.ndarray:
    return np.histogram(times, bins=int(duration / width), range=(0, duration))[0]


@given(some_process, st.floats(0.05, 200), st.floats(0.1, 60), seeds)
@settings(max_examples=150)
def test_sorted_inside_and_the_same_for_a_seed(name: str, rate: float, duration: float, seed: int) -> None:
    times = DRAWN[name](rate, duration, rng(seed))
    assert (np.diff(times) >= 0).all()
    assert not len(times) or (times[0] >= 0 and times[-1] < duration)
    assert np.array_equal(times, DRAWN[name](rate, duration, rng(seed)))


@given(some_process, st.floats(1, 100), seeds)
@settings(max_examples=60)
def test_mean_rate(name: str, rate: float, seed: int) -> None:
    duration = 5000 / rate  # 5,000 expected
    expected, spread = 5000, np.sqrt(5000 * DISPERSION[name])
    assert abs(len(DRAWN[name](rate, duration, rng(seed))) - expected) <= 7 * spread + 1


@pytest.mark.parametrize("name", ["poisson", "gamma", "hawkes"])
def test_the_rate_is_the_same_from_the_first_second_on(name: str) -> None:
    runs, rate = 3000, 5.0
    early = np.array([len(DRAWN[name](rate, 1.0, rng(seed))) for seed in range(runs)])
    assert abs(early.mean() - rate) < 5 * early.std() / np.sqrt(runs)


@pytest.mark.parametrize("name", ["constant", "poisson", "gamma", "hawkes"])
def test_count_variance(name: str) -> None:
    rate, width, bins = 10.0, 50.0, 2000
    seen = counts(DRAWN[name](rate, width * bins, rng(1)), width * bins, width)
    dispersion = seen.var() / seen.mean()
    assert dispersion == pytest.approx(DISPERSION[name], rel=0.15, abs=0.01)


@given(st.floats(0.2, 5))
@settings(max_examples=10)
def test_gamma_gaps_have_the_stated_burstiness_and_do_not_hang_together(burstiness: float) -> None:
    gaps = np.diff(Gamma(burstiness=burstiness).times(100, 500, rng(3)))
    assert (gaps.mean() / gaps.std()) ** 2 == pytest.approx(burstiness, rel=0.15)
    assert abs(np.corrcoef(gaps[:-1], gaps[1:])[0, 1]) < 0.05


def test_gamma_of_burstiness_1_is_poisson() -> None:
    gaps = np.diff(Gamma(burstiness=1).times(50, 2000, rng(4)))
    for share in (0.1, 0.5, 0.9):
        assert np.quantile(gaps, share) == pytest.approx(-np.log(1 - share) / 50, rel=0.02)


def test_poisson_counts_do_not_hang_together() -> None:
    seen = counts(Poisson().times(10, 50_000, rng(5)), 50_000, 1.0)
    assert abs(np.corrcoef(seen[:-1], seen[1:])[0, 1]) < 0.02


@pytest.mark.parametrize("branching", [0.3, 0.75])
def test_hawkes_counts_hang_together_as_the_theory_says(branching: float) -> None:
    """Covariance of counts in neighbouring bins (Hawkes, Biometrika 58, 1971, exponential kernel)."""
    rate, decay, width, duration = 20.0, 1.5, 1.0, 20_000.0
    seen = counts(Hawkes(branching=branching, decay=decay).times(rate, duration, rng(6)), duration, width)
    fade = decay * (1 - branching)
    strength = branching * decay * (2 * decay - branching * decay) / (2 * fade)
    variance = rate * width + 2 * rate * strength / fade**2 * (fade * width - 1 + np.exp(-fade * width))
    covariance = rate * strength * (1 - np.exp(-fade * width)) ** 2 / fade**2
    assert seen.mean() == pytest.approx(rate, rel=0.03)
    assert seen.var() == pytest.approx(variance, rel=0.07)
    assert np.corrcoef(seen[:-1], seen[1:])[0, 1] == pytest.approx(covariance / variance, abs=0.03)


def test_a_longer_run_begins_like_a_shorter_one() -> None:
    for make in (DRAWN["poisson"], DRAWN["gamma"]):
        long = make(30, 300, rng(7))
        assert np.array_equal(long[long < 60], make(30, 60, rng(7)))


def test_constant_spacing() -> None:
    times = Constant().times(20, 60)
    assert len(times) == 1200
    assert np.allclose(np.diff(times), 0.05)


def test_steps_have_their_rates() -> None:
    plan = [(5.0, 5.0, 600.0), (0.0, 0.0, 100.0), (40.0, 40.0, 600.0)]
    times = follow(plan, rng(8))
    seen = [((times >= low) & (times < high)).sum() for low, high in ((0, 600), (600, 700), (700, 1300))]
    assert seen[0] == pytest.approx(3000, rel=0.08)
    assert seen[1] == 0
    assert seen[2] == pytest.approx(24_000, rel=0.03)


def test_a_ramp_follows_its_integral() -> None:
    times = follow([(0.0, 10.0, 100.0)], None)  # the integral is t² / 20
    assert len(times) == 500
    assert np.allclose(times, np.sqrt(20 * np.arange(500)))


@given(
    st.lists(st.tuples(st.floats(0, 50), st.floats(0, 50), st.floats(0.5, 20)), min_size=1, max_size=5), seeds
)
@settings(max_examples=60)
def test_stages_stay_sorted_and_inside(plan: list[Leg], seed: int) -> None:
    total = sum(stage[2] for stage in plan)
    for source in (rng(seed), None):
        times = follow(plan, source)
        assert (np.diff(times) >= -1e-9).all()
        assert not len(times) or (times[0] >= 0 and times[-1] < total)


def test_trace_as_recorded_and_at_another_rate() -> None:
    recorded = np.array([0.0, 1.0, 1.0, 4.0, 8.0])
    assert Trace().replay(recorded).tolist() == recorded.tolist()
    faster = Trace().replay(recorded, rate=2.0)  # 4 gaps in 8 s become 4 gaps in 2 s
    assert faster.tolist() == [0.0, 0.25, 0.25, 1.0, 2.0]
    assert Trace().replay(recorded + 7, rate=2.0).tolist() == faster.tolist(), "whenever it begins"
    assert Trace().replay(np.array([3.0]), rate=2.0).tolist() == [0.0]
    with pytest.raises(ValueError, match="its first 2 times are the same"):
        Trace().replay(np.array([3.0, 3.0]), rate=1.0)


@pytest.mark.parametrize("name", PROCESSES)
def test_a_process_is_registered_by_the_name_that_scenarios_give_it(name: str) -> None:
    assert PROCESSES[name].model_fields["process"].default == name


def test_a_process_that_draws_no_times_says_so() -> None:
    with pytest.raises(NotImplementedError, match="trace arrivals are not drawn"):
        Trace().times(1.0, 1.0, rng(1))
