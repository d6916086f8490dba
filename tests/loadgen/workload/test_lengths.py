"""Distributions of lengths: the stated mean and sd hold after the cut, nothing piles up at the bounds."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from loadgen.workload.lengths import Lengths

UNIFORM = np.random.default_rng(1).random(200_000)


@pytest.mark.parametrize(
    ("distribution", "mean", "sd", "low", "high"),
    [
        ("lognormal", 50, 30, 10, 300),
        ("lognormal", 150, 80, 20, 800),
        ("lognormal", 12050, 3000, 100, 16000),
        ("lognormal", 400, 300, 50, 2000),
        ("normal", 150, 60, 20, 800),
        ("normal", 12050, 3000, 100, 16000),
    ],
)
def test_mean_and_sd_hold_between_the_bounds(
    distribution: str, mean: float, sd: float, low: float, high: float
) -> None:
    lengths = Lengths.model_validate(
        {"distribution": distribution, "mean": mean, "sd": sd, "min": low, "max": high}
    )
    drawn = lengths.tokens(UNIFORM)
    assert drawn.min() >= low
    assert drawn.max() <= high
    assert drawn.mean() == pytest.approx(mean, rel=0.01)
    assert drawn.std() == pytest.approx(sd, rel=0.02)
    assert (drawn == high).mean() < 0.01


def test_without_bounds_the_lognormal_is_the_textbook_one() -> None:
    drawn = Lengths(distribution="lognormal", mean=50, sd=30).draw(UNIFORM)
    variance = np.log1p((30 / 50) ** 2)
    assert np.log(drawn).mean() == pytest.approx(np.log(50) - variance / 2, abs=0.01)
    assert np.log(drawn).std() == pytest.approx(np.sqrt(variance), abs=0.01)


@given(st.floats(1, 2000), st.floats(0.05, 1.2), st.floats(0, 0.9), st.floats(1.5, 20))
@settings(max_examples=80)
def test_a_lognormal_that_can_be_keeps_its_mean(mean: float, spread: float, low: float, high: float) -> None:
    try:
        lengths = Lengths(
            distribution="lognormal", mean=mean, sd=spread * mean, min=low * mean, max=high * mean
        )
    except ValidationError as error:
        assert "no lognormal distribution" in str(error)
        assume(False)
    drawn = lengths.draw(UNIFORM[:20_000])
    assert drawn.mean() == pytest.approx(mean, rel=0.1)
    assert drawn.min() >= low * mean * (1 - 1e-9)
    assert drawn.max() <= high * mean * (1 + 1e-9)


def test_uniform_exponential_and_constant() -> None:
    uniform = Lengths(distribution="uniform", min=2, max=6).tokens(UNIFORM)
    assert np.allclose(np.bincount(uniform)[2:] / len(uniform), 0.2, atol=0.01)
    waits = Lengths(distribution="exponential", mean=5, max=30).draw(UNIFORM)
    assert waits.mean() == pytest.approx(5, rel=0.02)
    assert waits.max() <= 30
    free = Lengths(distribution="exponential", mean=2).draw(UNIFORM)
    assert free.mean() == pytest.approx(2, rel=0.02)
    assert (Lengths.model_validate(64).tokens(UNIFORM) == 64).all()
    assert (Lengths.model_validate({"distribution": "exponential", "mean": 0}).draw(UNIFORM) == 0).all()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"distribution": "lognormal", "mean": 50}, "needs sd"),
        ({"distribution": "constant", "mean": 5, "sd": 2}, "no use for sd"),
        ({"distribution": "lognormal", "mean": 50, "sd": 5, "min": 60, "max": 70}, "not between"),
        ({"distribution": "lognormal", "mean": 50, "sd": 500, "min": 10, "max": 60}, "no lognormal"),
        ({"distribution": "uniform", "min": 9, "max": 3}, "above max"),
        ({"distribution": "exponential", "mean": 9, "max": 10}, "below 5"),
        ({"distribution": "lognormal", "mean": -4, "sd": 2}, "greater than or equal to 0"),
        ({"distribution": "weibull", "mean": 4}, "Input should be"),
    ],
)
def test_what_cannot_be_is_refused(given: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Lengths.model_validate(given)
