"""Where the misses cross the SLO's share: on queues whose places, pace and limit are known."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.synthetic import queue_starts
from reports.statistics import queue_fit
from reports.statistics.crossing import crossing, drawn_again
from reports.statistics.queue_fit import Step, by_waits
from reports.statistics.waits import Offered, waits

PLACES, PACE, BOUND, WARMUP, END = 8, 1000.0, 1.0, 5.0, 35.0  # places, tokens/s, s, s, s
MEAN = 100.0  # tokens


def arrivals(rate: float, seed: int) -> Offered:
    """Poisson arrivals of geometric lengths."""
    rng = np.random.default_rng(seed)
    due = np.cumsum(rng.exponential(1 / rate, int(2 * rate * END) + 20))
    due = due[due < END]
    return Offered(due, rng.geometric(1 / MEAN, len(due)).astype(float), due >= WARMUP)


def redraw(rate: float) -> list[Offered]:
    return [arrivals(rate, 10_000 + number) for number in range(150)]


def step(rate: float, seed: int, pace: float = PACE, places: int = PLACES) -> Step:
    """What a queue makes of them: TTFTs of 20 ms and the wait."""
    offered = arrivals(rate, seed)
    whole = Offered(offered.due, offered.work, np.ones(len(offered.due), bool))
    ttft = 0.02 + next(waits([whole], np.array([pace]), places))[0]
    return Step(rate, offered, offered.judged & (ttft > BOUND), ttft, places)


@settings(deadline=None, max_examples=30)
@given(
    st.lists(
        st.lists(st.tuples(st.floats(0, 2), st.floats(0.1, 50)), min_size=1, max_size=12),
        min_size=1,
        max_size=3,
    ),
    st.integers(1, 5),
    st.lists(st.floats(1, 100), min_size=1, max_size=3),
)
def test_waits_are_those_of_a_queue(
    runs: list[list[tuple[float, float]]], places: int, paces: list[float]
) -> None:
    offered = []
    for run in runs:
        gaps, work = np.array(run).T
        offered.append(Offered(np.cumsum(gaps), work, np.arange(len(work)) % 2 == 0))
    for each, found in zip(offered, waits(offered, np.array(paces), places), strict=True):
        for pace, row in zip(paces, found, strict=True):
            whole = queue_starts(each.due, each.work * places / pace, places) - each.due
            assert row == pytest.approx(whole[each.judged], abs=1e-9)


def limit() -> float:
    """The rate at which 1 % of such steps' arrivals miss, from many of them."""
    rates, shares = np.linspace(6.4, 8.0, 9), []
    for rate in rates:
        held = waits([arrivals(rate, seed) for seed in range(600)], np.array([PACE]), PLACES)
        shares.append(np.mean(np.concatenate([*held], axis=1) > BOUND - 0.02))
    return float(np.exp(np.interp(np.log(0.01), np.log(shares), np.log(rates))))


def test_four_steps_tell_the_limit_where_the_bound_on_ttft_decides() -> None:
    """Who missed says less: of these four steps the interval is then twice as wide."""
    steps = [step(rate, seed) for seed, rate in enumerate((7.0, 9.0, 8.0, 8.3))]
    found, truth = crossing(steps, 0.01, 7.0, BOUND, redraw), limit()
    low, high = found.interval
    assert low < truth < high and found.rate == pytest.approx(truth, rel=0.04)
    misses = crossing(steps, 0.01, 7.0, None, redraw).interval
    assert np.log(misses[1] / misses[0]) > 1.5 * np.log(high / low)
    fitted = by_waits(steps, 0.01, 7.0, BOUND).likely
    assert np.exp(fitted.pace) == pytest.approx(PACE, rel=0.02)
    assert float(fitted.weights.sum(axis=0) @ fitted.places) == pytest.approx(PLACES, abs=1)


def test_steps_that_disagree_widen_the_interval() -> None:
    """As on a machine that others use: the server's pace differs by a tenth from step to step."""
    rates = (7.0, 9.0, 8.0, 8.3, 7.5)
    alike = crossing([step(rate, seed) for seed, rate in enumerate(rates)], 0.01, 7.0, BOUND, redraw)
    paces = PACE * np.array([1.0, 1.15, 0.87, 1.12, 0.9])
    steps = [step(rate, seed, pace) for seed, (rate, pace) in enumerate(zip(rates, paces, strict=True))]
    differ = crossing(steps, 0.01, 7.0, BOUND, redraw)
    assert np.log(differ.interval[1] / differ.interval[0]) > 2 * np.log(alike.interval[1] / alike.interval[0])


def flat(steps: list[Step]) -> list[Step]:
    """The same, had the TTFT nothing to do with a queue."""
    rng = np.random.default_rng(1)
    return [
        Step(
            each.rate,
            each.offered,
            each.missed,
            np.where(each.missed, 2.0, rng.uniform(0.02, 0.9, len(each.missed))),
        )
        for each in steps
    ]


def slow(steps: list[Step]) -> list[Step]:
    """The same, had the answers missed the bound on TPOT."""
    return [Step(each.rate, each.offered, each.missed, np.full(len(each.missed), 0.02)) for each in steps]


@pytest.mark.parametrize("change", [flat, slow])
def test_waits_that_are_no_queues_are_left_aside(change: Callable[[list[Step]], list[Step]]) -> None:
    steps = change([step(rate, seed) for seed, rate in enumerate((7.0, 9.0, 8.0, 8.3))])
    found, misses = (queue_fit.fit(steps, 0.01, 7.0, bound) for bound in (BOUND, None))
    assert found.pace == misses.pace and found.places.max() == 1


def test_steps_are_drawn_again_from_those_that_were_made() -> None:
    steps = [step(rate, seed) for seed, rate in enumerate((7.0, 9.0, 8.0))]
    drawn = drawn_again(steps, 8.0)
    arrived = sum(len(each.due) for each in drawn) / len(drawn)
    assert arrived == pytest.approx(8.0 * END, rel=0.03)
    assert all(each.due.min() >= 0 and each.due.max() <= END for each in drawn)
    work = np.concatenate([each.work for each in drawn]).mean()
    assert work == pytest.approx(queue_fit.mean_work(steps), rel=0.03)
    first = np.mean([each.due[each.judged].min() for each in drawn])
    assert first == pytest.approx(WARMUP, abs=0.5)
