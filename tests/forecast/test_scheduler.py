"""The simulated scheduler: against a plain reference, and by the rules that vLLM's own keeps."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forecast.scheduler import FCFS, PRIORITY, Engine, Load, simulate
from tests.support import reference_scheduler as reference

TIMES = np.array([0.004, 0.0002, 1e-7, 3e-5, 0.0007, 0.0003])


def loads() -> st.SearchStrategy[Load]:
    request = st.tuples(
        st.floats(0, 1.0), st.integers(1, 300), st.integers(1, 40), st.integers(0, 2), st.integers(0, 2)
    )
    return st.lists(request, min_size=1, max_size=30).map(
        lambda rows: Load(
            sorted(row[0] for row in rows),
            [row[1] for row in rows],
            [row[2] for row in rows],
            [row[3] for row in rows],
            [min(16 * row[4], row[1] - 1) for row in rows],
        )
    )


@given(
    loads(),
    st.integers(1, 9),
    st.sampled_from([16, 64, 2048]),
    st.sampled_from([FCFS, PRIORITY]),
    st.integers(0, 1),
    st.sampled_from([0.0, 1e-7, 1e-6]),
    st.sampled_from([2.5, np.inf]),
)
def test_skipping_events_changes_nothing(
    load: Load, sequences: int, tokens: int, policy: str, lookahead: int, context: float, knot: float
) -> None:
    times = TIMES.copy()
    times[2] = context
    engine = Engine(sequences, tokens, policy, lookahead=lookahead)
    found, told = simulate(load, engine, times, knot=knot), reference.simulate(load, engine, times, knot)
    assert found.first.tolist() == [told.first[index] for index in range(len(load.ready))]
    assert found.last.tolist() == [told.last[index] for index in range(len(load.ready))]
    assert found.step_end == pytest.approx(told.step_end, rel=1e-9)
    assert told.most <= sequences and told.most_tokens <= max(tokens, sequences)


@given(loads(), st.integers(1, 9))
def test_every_request_gets_its_tokens_and_first_come_is_first_served(load: Load, sequences: int) -> None:
    found = simulate(load, Engine(sequences, 2048), TIMES)
    assert found.tokens.tolist() == load.output
    assert (np.diff(found.admitted) >= 0).all()
    assert (found.last - found.first + 1).tolist() == load.output


@given(loads(), st.integers(2, 9), st.integers(24, 60))
def test_a_full_cache_preempts_and_loses_nothing(load: Load, sequences: int, blocks: int) -> None:
    found = simulate(load, Engine(sequences, 2048, blocks=blocks), TIMES)
    assert found.tokens.tolist() == load.output
    for pieces in found.pieces.values():
        assert all(one[1] < two[0] for one, two in itertools.pairwise(pieces))


def test_preemption_happens_where_blocks_run_out() -> None:
    load = Load([0.0, 0.0], [16, 16], [64, 64], [0, 0], [0, 0])
    free = simulate(load, Engine(2, 2048), TIMES)
    tight = simulate(load, Engine(2, 2048, blocks=6), TIMES)
    assert (free.preemptions, tight.preemptions) == (0, 1)
    assert list(tight.pieces) == [1], "the last to come goes first"
    assert tight.step_end[tight.last[1]] > free.step_end[free.last[1]]


def test_one_request_takes_a_prefill_and_its_decode_steps() -> None:
    load = Load([1.0], [100], [3], [0], [0])
    found = simulate(load, Engine(8, 2048), np.array([0.01, 0.001, 0.0, 1e-4, 0.002, 0.0]))
    assert found.step_end == pytest.approx([1.0 + 0.022, 1.0 + 0.033, 1.0 + 0.044])


def test_a_long_prompt_is_computed_in_chunks_beside_decoding() -> None:
    load = Load([0.0, 0.0001], [10, 1000], [50, 2], [0, 0], [0, 0])
    whole = simulate(load, Engine(8, 2048), TIMES)
    chunked = simulate(load, Engine(8, 128), TIMES)
    assert whole.first[1] == 1 and chunked.first[1] == 1 + 1000 // 127
    assert np.diff(whole.step_end).max() > 3 * np.diff(chunked.step_end).max()


def test_urgent_requests_go_first() -> None:
    load = Load([0.0, 0.001, 0.002], [10] * 3, [20] * 3, [0, 1, 0], [0] * 3)
    assert np.argsort(simulate(load, Engine(1, 2048, PRIORITY), TIMES).first).tolist() == [0, 2, 1]
    assert np.argsort(simulate(load, Engine(1, 2048), TIMES).first).tolist() == [0, 1, 2]


def test_cached_tokens_are_not_computed() -> None:
    prompt = Load([0.0], [1000], [1], [0], [992])
    found = simulate(prompt, Engine(1, 2048), TIMES)
    assert found.step_end[0] == pytest.approx(TIMES[0] + 8 * TIMES[3] + TIMES[4])


def test_asynchronous_scheduling_costs_a_step_of_ttft() -> None:
    load = Load([0.0, 0.105], [10, 10], [100, 10], [0, 0], [0, 0])
    times = np.array([0.01, 0.0, 0.0, 0.0, 0.0, 0.0])
    found = [simulate(load, Engine(8, 2048, lookahead=each), times) for each in (0, 1)]
    waits = [each.step_end[each.first[1]] - 0.105 for each in found]
    assert waits[1] - waits[0] == pytest.approx(0.01, abs=1e-6)


def test_the_horizon_cuts() -> None:
    load = Load([0.0, 0.0, 5.0], [10] * 3, [1000, 1000, 10], [0] * 3, [0] * 3)
    found = simulate(load, Engine(1, 2048), TIMES, horizon=1.0)
    assert found.first.tolist()[1:] == [-1, -1] and 0 < found.tokens[0] < 1000


def test_what_follows_an_answer_comes_after_it() -> None:
    load = Load([0.0], [10], [10], [0], [0])
    asked: list[float] = []

    def follow(index: int, ended: float) -> tuple[float, int, int, int, int] | None:
        asked.append(ended)
        return (ended + 1.0, 10, 10, 0, 0) if index < 2 else None

    found = simulate(load, Engine(1, 2048), TIMES, follow=follow)
    assert len(asked) == 3 and found.tokens.tolist() == [10] * 3
    assert found.step_end[found.first[1]] > asked[0] + 1.0


def test_a_prompt_that_no_engine_can_hold_ends_the_run() -> None:
    load = Load([0.0], [1000], [10], [0], [0])
    assert simulate(load, Engine(1, 2048, blocks=4), TIMES).first.tolist() == [-1]
