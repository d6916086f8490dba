"""The intervals: against closed forms, brute force, and other estimators."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reports.metrics.survival import Survival
from reports.statistics import intervals
from reports.statistics.intervals import Blocks, Sample


def whole(cells: int = 24, resamples: int = 3) -> Blocks:
    """Blocks that hold every cell once: a resample is the sample itself."""
    return Blocks(60.0, 10.0, cells // 4, np.ones((resamples, cells)))


@given(st.integers(0, 2**32 - 1), st.integers(1, 300), st.floats(0.01, 0.999), st.floats(0, 0.9))
@settings(max_examples=60)
def test_a_resample_that_is_the_sample_gives_the_metrics_percentile(
    seed: int, count: int, share: float, censored_share: float
) -> None:
    rng = np.random.default_rng(seed)
    values = np.round(rng.exponential(1.0, count), 2)  # with ties
    values[rng.random(count) < 0.1] = np.inf
    censored = (rng.random(count) < censored_share) & np.isfinite(values)
    sample = Sample(rng.uniform(0, 60, count), values, censored)
    expected = Survival.of(values, ~censored).percentile(share).value
    draws = intervals.quantile_draws(whole(), sample, share)
    assert draws == pytest.approx([math.inf if expected is None else expected] * 3)


def test_many_values_are_grouped_without_moving_the_percentile_much() -> None:
    rng = np.random.default_rng(1)
    values = rng.lognormal(0, 1, 200_000)
    sample = Sample(rng.uniform(0, 60, len(values)), values, np.zeros(len(values), bool))
    for share in (0.5, 0.99):
        found = intervals.quantile_draws(whole(), sample, share)[0]
        assert found == pytest.approx(np.quantile(values, share), rel=0.005)


def test_blocks_are_whole_and_neighbouring() -> None:
    blocks = intervals.draw_blocks(60.0, 5.0, seed=3, resamples=50)
    assert (blocks.count, blocks.length) == (12, 5.0)
    assert (blocks.weights.sum(axis=1) == 12 * intervals.CELLS_PER_BLOCK).all()
    alone = (
        (blocks.weights > 0) & (np.roll(blocks.weights, 1, 1) == 0) & (np.roll(blocks.weights, -1, 1) == 0)
    )
    assert not alone.any()  # a cell never comes without a neighbour


def test_too_long_blocks_are_cut() -> None:
    assert intervals.draw_blocks(60.0, 45.0, seed=1).count == intervals.FEWEST_BLOCKS


def test_local_blocks_come_from_near_their_place() -> None:
    """A sum that grows along the window keeps its parts; resampled as a whole it would not."""
    at = np.arange(0.5, 60, 1.0)
    local = intervals.draw_blocks(60.0, 10.0, seed=3, local=True)
    anywhere = intervals.draw_blocks(60.0, 10.0, seed=3)
    assert (local.weights.sum(axis=1) == 6 * intervals.CELLS_PER_BLOCK).all()
    late = (at >= 50).astype(np.float64)
    assert intervals.sum_draws(anywhere, at, late).min() == 0
    assert intervals.sum_draws(local, at, (at >= 30).astype(np.float64)).min() > 0
    spread = [float(intervals.sum_draws(blocks, at, at).std()) for blocks in (local, anywhere)]
    assert spread[0] < 0.7 * spread[1]


def test_sums_of_resamples_have_the_mean_of_the_whole() -> None:
    rng = np.random.default_rng(5)
    blocks = intervals.draw_blocks(60.0, 4.0, seed=5)
    at, amount = rng.uniform(0, 60, 1000), rng.exponential(1, 1000)
    assert intervals.sum_draws(blocks, at, amount).mean() == pytest.approx(amount.sum(), rel=0.01)


@pytest.mark.parametrize("keep", [0.3, 0.6, 0.9])
def test_the_block_length_of_a_first_order_series(keep: float) -> None:
    """Its optimum is known: (2 keep / (1 - keep^2))^(2/3) (3/2)^(1/3) n^(1/3), for circular blocks."""
    rng, count, found = np.random.default_rng(7), 4000, []
    for _ in range(20):
        noise, series = rng.standard_normal(count), np.empty(count)
        series[0] = noise[0]
        for step in range(1, count):
            series[step] = keep * series[step - 1] + noise[step]
        found.append(intervals.block_length(series))
    best = (2 * keep / (1 - keep**2)) ** (2 / 3) * (1.5 * count) ** (1 / 3)
    assert np.median(found) == pytest.approx(best, rel=0.35)


def test_a_flat_series_needs_no_blocks() -> None:
    assert intervals.block_length(np.zeros(240)) == 1.0
    assert intervals.block_length(np.array([1.0, 2.0])) == 1.0


def test_blocks_see_the_correlation_that_single_requests_hide() -> None:
    """The interval of a mean from long blocks is as wide as the truth; from short ones it is not."""
    rng, window = np.random.default_rng(11), 600.0
    at = np.linspace(0, 599.9, 6000)
    covered = {5.0: 0, 0.5: 0}
    for trial in range(40):
        levels = rng.standard_normal(601)
        for step in range(1, 601):
            levels[step] = 0.6 * levels[step - 1] + 0.8 * levels[step]
        values = np.asarray(levels[at.astype(int)] + 0.1 * rng.standard_normal(len(at)), np.float64)
        for length in covered:
            blocks = intervals.draw_blocks(window, length, seed=trial, resamples=200)
            draws = intervals.sum_draws(blocks, at, values) / len(at)
            interval = intervals.expanded_interval(draws, blocks.count)
            assert interval is not None
            covered[length] += not interval.excludes(0.0)
    assert covered[5.0] >= 34 > 28 > covered[0.5]


def test_the_expanded_interval_is_wider_than_the_plain_one() -> None:
    draws = np.random.default_rng(1).standard_normal(20_000)
    interval = intervals.expanded_interval(draws, looks=6)
    assert interval is not None
    reach = math.sqrt(6 / 5) * 2.5706  # t(0.975, 5)
    assert (interval.low, interval.high) == (pytest.approx(-reach, abs=0.15), pytest.approx(reach, abs=0.15))


def test_blocks_that_hang_together_reach_farther_from_the_median() -> None:
    draws = np.random.default_rng(2).standard_normal(20_000) + 1
    plain, far = (intervals.expanded_interval(draws, looks=6, reach=reach) for reach in (1.0, 2.0))
    assert plain is not None and far is not None
    middle = float(np.median(draws))
    assert (far.low - middle, far.high - middle) == pytest.approx(
        (2 * (plain.low - middle), 2 * (plain.high - middle))
    )


def test_fewer_looks_than_two_are_two() -> None:
    draws = np.random.default_rng(3).standard_normal(5000)
    assert intervals.expanded_interval(draws, looks=0.5) == intervals.expanded_interval(draws, looks=2)


@given(count=st.integers(2, 400), inside=st.integers(1, 12), seed=st.integers(0, 2**32 - 1))
def test_moments_in_few_blocks_are_few_looks(count: int, inside: int, seed: int) -> None:
    """In the middles of `inside` of 12 blocks, as many in each: 12 / inside blocks are as one."""
    blocks = intervals.draw_blocks(60.0, 5.0, seed=1, resamples=2)
    middles = 2.5 + 5.0 * np.random.default_rng(seed).permutation(12)[:inside]
    at = np.repeat(middles, count)
    found = intervals.clustering(blocks, at)
    expected = 12 * (count - 1) / (count * inside - 1)
    assert found == pytest.approx(max(1.0, expected))


def test_moments_that_come_evenly_are_in_no_cluster() -> None:
    blocks = intervals.draw_blocks(60.0, 5.0, seed=1, resamples=2)
    rng = np.random.default_rng(4)
    found = [intervals.clustering(blocks, rng.uniform(0, 60, 12)) for _ in range(200)]
    assert np.median(found) < 1.2 and max(found) < 4
    assert intervals.clustering(blocks, np.array([7.0])) == intervals.clustering(blocks, np.array([])) == 1


def test_undefined_resamples_give_no_interval() -> None:
    draws = np.where(np.arange(1000) < 100, np.nan, 1.0)
    assert intervals.expanded_interval(draws, 10) is None


def test_intervals_of_repeats_are_the_text_books() -> None:
    from scipy import stats

    one, two = np.array([1.0, 1.2, 1.1]), np.array([1.5, 1.4, 1.7, 1.6])
    theirs = stats.ttest_ind(two, one, equal_var=False).confidence_interval(0.95)
    ours = intervals.interval_of_means(one, two)
    assert ours is not None
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high))
    paired = intervals.interval_of_pairs(two[:3] - one)
    theirs = stats.ttest_rel(two[:3], one).confidence_interval(0.95)
    assert paired is not None
    assert (paired.low, paired.high) == pytest.approx((theirs.low, theirs.high))


def test_one_run_against_repeats_borrows_their_variance() -> None:
    interval = intervals.interval_of_means(np.array([1.0]), np.array([2.0, 2.2, 1.8]))
    assert interval is not None
    assert interval.low < 1 < interval.high
    assert interval.high - interval.low == pytest.approx(2 * 4.3027 * math.sqrt(0.04 + 0.04 / 3), rel=1e-4)
    assert intervals.interval_of_means(np.array([1.0]), np.array([2.0])) is None
    assert intervals.interval_of_pairs(np.array([1.0])) is None


def test_what_chance_does_to_counts() -> None:
    """Of few, as Poisson's: five against none may be chance (1 in 16), six not (1 in 32)."""
    none = np.zeros(1)
    assert intervals.counting_error(none, np.array([5.0]), 1e6) > 5
    assert intervals.counting_error(none, np.array([6.0]), 1e6) < 6
    whole = np.array([1000.0, 1000.0])
    assert intervals.counting_error(whole, whole, 1000) == 0.5, "all of them: nothing is left to chance"
    interval = intervals.interval_of_means(np.zeros(2), np.ones(2))
    assert interval is not None and interval.excludes(0.0)
    least = intervals.counting_error(np.zeros(2), np.ones(2), 1200)
    assert not interval.reaching(1.0, least).excludes(0.0)


def test_spread_of_repeats() -> None:
    assert intervals.spread(np.array([2.0, 2.1])) == pytest.approx(0.05)
    assert intervals.spread(np.array([0.0, 0.0])) == 0.0
    assert intervals.spread(np.array([0.0, 1.0])) == math.inf
