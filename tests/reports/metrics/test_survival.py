"""Censored percentiles against scipy's ecdf and numpy's quantiles, and MLPerf's early-stopping counts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import CensoredData, binom, ecdf

from reports.metrics.survival import Survival, allowed_beyond, needed

durations = st.lists(st.integers(1, 40).map(float), max_size=60)
shares = st.sampled_from([0.1, 0.5, 0.9, 0.95, 0.99])


@given(durations, durations, st.integers(0, 5), shares)
def test_percentiles_agree_with_scipy(
    known: list[float], censored: list[float], never: int, share: float
) -> None:
    found = Survival(np.sort(np.array(known)), np.sort(np.array(censored)), never).percentile(share)
    count = len(known) + len(censored) + never
    if len(known) >= share * count - 1e-9 and known:
        reference = ecdf(CensoredData(uncensored=known + [1e9] * never, right=censored)).cdf
        assert found.value == reference.quantiles[np.argmax(reference.probabilities >= share - 1e-9)]
        assert not found.censored
    elif count:
        seen = sorted([*known, *censored])
        rank = min(int(np.ceil(share * count - 1e-9)), len(seen))
        assert found.value is None and found.lower_bound == (seen[rank - 1] if seen else 0.0)


@given(durations, durations, shares)
def test_the_lower_bound_holds_whatever_became_of_the_unfinished(
    known: list[float], more: list[float], share: float
) -> None:
    censored = [each / 2 for each in more]  # seen for half of what they took
    found = Survival(np.sort(np.array(known)), np.sort(np.array(censored))).percentile(share)
    if found.lower_bound is not None:
        assert found.lower_bound <= np.quantile(known + more, share, method="inverted_cdf")


@given(durations.filter(bool), shares)
def test_without_censoring_it_is_the_inverted_cdf(known: list[float], share: float) -> None:
    expected = np.quantile(known, share, method="inverted_cdf")
    assert Survival(np.sort(np.array(known)), np.zeros(0)).percentile(share).value == expected


@given(durations.filter(bool), durations, st.integers(0, 5))
def test_the_curve_passes_through_the_percentiles(
    known: list[float], censored: list[float], never: int
) -> None:
    found = Survival(np.sort(np.array(known)), np.sort(np.array(censored)), never)
    t, reached = found.curve()
    assert (np.diff(reached) >= -1e-12).all() and reached[-1] <= 1 + 1e-12
    for share in (0.25, 0.5, 0.9):
        value = found.percentile(share).value
        assert value is None or value == t[np.argmax(reached >= share - 1e-9)]


def test_a_failed_request_pushes_the_tail_to_never() -> None:
    found = Survival.of(np.array([1.0] * 98 + [np.inf] * 2), np.ones(100, bool))
    assert found.percentile(0.98).value == 1.0
    assert found.percentile(0.99).value is None and found.percentile(0.99).lower_bound == 1.0
    assert found.count == 100 and len(found.known) == 98


def test_nothing_gives_no_percentile() -> None:
    found = Survival(np.zeros(0), np.zeros(0)).percentile(0.5)
    assert found.value is None and found.lower_bound is None and not found.censored


def test_early_stopping_counts_are_those_of_mlperf() -> None:
    assert needed(0.99, 0.99, 0) == 459
    assert needed(0.99, 0.99, 1) == 662
    assert needed(0.90, 0.99, 0) == 44


@given(st.integers(0, 50), st.sampled_from([0.5, 0.9, 0.99]))
def test_needed_is_the_smallest_count(beyond: int, share: float) -> None:
    count = needed(share, 0.99, beyond)
    assert binom.cdf(beyond, count, 1 - share) <= 0.01 < binom.cdf(beyond, count - 1, 1 - share)
    assert allowed_beyond(count, share, 0.99) == beyond
    assert allowed_beyond(count - 1, share, 0.99) == beyond - 1


def test_the_upper_bound_holds_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    truth = -np.log(0.05)  # p95 of the exponential distribution
    bounds = [Survival(np.sort(rng.exponential(1, 300)), np.zeros(0)).upper_bound(0.95) for _ in range(2000)]
    assert np.mean([bound is not None and bound >= truth for bound in bounds]) >= 0.985


@pytest.mark.parametrize("unknown", [5, 6])
def test_censored_requests_use_up_the_upper_bound(unknown: int) -> None:
    known = np.arange(1.0, 1201 - unknown)
    found = Survival(known, np.full(unknown, 0.5)).upper_bound(0.99)  # 4 of 1,200 may lie beyond
    assert found is None
    assert Survival(np.arange(1.0, 1197.0), np.full(4, 0.5)).upper_bound(0.99) == 1196.0
