"""The arithmetic of the client's error, on made-up truth."""

from array import array

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import compare
from bench.timetable import Timetable
from bench.truth import Answer, Truth
from common.usage import UsageError


def truth_of(starts: list[float], tokens: int, late: float = 0.0, wait: float = 0.0) -> Truth:
    """Requests read at `starts`, served after `wait`, each token `late` seconds behind the timetable."""
    answers = []
    for number, read in enumerate(starts):
        times = [read + wait + 0.08 + index * 0.02 + late for index in range(tokens)]
        answers.append(Answer(f"run-{number}", "", read, read + wait, tokens, array("d", times)))
    return Truth.of(answers, Timetable(0.08, 0.02))


def records_of(truth: Truth, ttft_error: float, span_error: float, order: list[int]) -> pd.DataFrame:
    """What a client would say that is wrong by these; its clock starts at another zero."""
    rows = []
    for arrival in order:
        times = truth.sent[truth.offsets[arrival] : truth.offsets[arrival + 1]] - 1000.0 + ttft_error
        times[-1] += span_error
        row = {"arrival": arrival, "status": "completed", "sent": truth.read[arrival] - 1000.0}
        row |= {"first_token": times[0], "last_token": times[-1], "chunk_times": times}
        rows.append(row)
    return pd.DataFrame(rows)


@given(
    tokens=st.integers(2, 20),
    late=st.floats(0, 0.01),
    wait=st.floats(0, 3),
    ttft_error=st.floats(0, 0.1),
    span_error=st.floats(0, 0.1),
    order=st.permutations(range(5)),
)
def test_a_known_error_is_found(
    tokens: int, late: float, wait: float, ttft_error: float, span_error: float, order: list[int]
) -> None:
    truth = truth_of([1000.0, 1000.1, 1000.15, 1003.0, 1003.0], tokens, late, wait)
    errors = compare(records_of(truth, ttft_error, span_error, order), truth)
    assert errors.ttft == pytest.approx(np.full(5, ttft_error), abs=1e-9)
    assert errors.ttft_timetable == pytest.approx(np.full(5, ttft_error + late), abs=1e-9)
    assert errors.tpot == pytest.approx(np.full(5, span_error / (tokens - 1)), abs=1e-9)
    assert errors.tokens == 5 * tokens


def test_failed_requests_are_left_out_and_one_token_has_no_tpot() -> None:
    truth = truth_of([5.0, 6.0], 1)
    records = records_of(truth, 0.001, 0.0, [0, 1])
    records.loc[0, "status"] = "failed"
    errors = compare(records, truth)
    assert len(errors.ttft) == 1 and np.isnan(errors.tpot).all()


def test_requests_or_tokens_that_do_not_match_are_refused() -> None:
    truth = truth_of([5.0, 6.0], 3)
    records = records_of(truth, 0.0, 0.0, [0, 1])
    with pytest.raises(UsageError, match="1 of 2 completed requests are not in the metronome's log"):
        compare(records.assign(arrival=[0, 7]), truth)
    records["chunk_times"] = [records["chunk_times"][0], records["chunk_times"][1][:-1]]
    with pytest.raises(UsageError, match="1 of 2 requests: the client stamped other tokens"):
        compare(records, truth)
