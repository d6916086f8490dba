"""What another client says of the metronome is set against the metronome's own log."""

from array import array
from typing import Any

import pytest

from bench.rival import Row, row_of, table
from bench.timetable import Timetable
from bench.truth import Answer, Truth
from common.usage import UsageError

CPU = [(99.0, 7.0), (100.0, 7.0), (110.0, 8.0), (200.0, 17.0)]  # 0.1 s each second from the first request


def truth_of(idents: list[str], reads: list[float]) -> Truth:
    answers = [
        Answer(ident, "", read, read, 6, array("d", [read + 0.08 + step * 0.02 for step in range(6)]))
        for ident, read in zip(idents, reads, strict=True)
    ]
    return Truth.of(answers, Timetable(0.08, 0.02))


def said(ttfts: list[float], itls: list[list[float]], errors: list[str] | None = None) -> dict[str, Any]:
    return {"ttfts": ttfts, "itls": itls, "errors": errors or [""] * len(ttfts)}


def test_errors_are_matched_by_request_and_cost_counts_from_the_first() -> None:
    truth = truth_of(["bench-ab-1", "bench-ab-0"], [100.0, 101.0])
    result = said([0.081, 0.083], [[0.02] * 5, [0.02] * 4 + [0.03]])
    found = row_of(2.0, result, truth, CPU)
    assert (found.requests, found.failed, found.sent_rate) == (2, 0, pytest.approx(1.0))
    assert found.ttft_error_p50 == pytest.approx(0.002)
    assert found.ttft_error_p99 == pytest.approx(0.003, rel=0.02)
    assert found.tpot_error_p99 == pytest.approx(0.01 / 5, rel=0.02)
    assert found.cpu_s_per_1000_chunks == pytest.approx(0.1 * (101.18 - 100) / 12 * 1000)


def test_failed_requests_are_counted_and_left_out() -> None:
    truth = truth_of(["bench-0", "bench-1"], [100.0, 100.5])
    found = row_of(2.0, said([0.081, 0.0], [[0.02] * 5, []], ["", "reset"]), truth, CPU)
    assert (found.requests, found.failed) == (2, 1)
    assert found.ttft_error_p99 == pytest.approx(0.001)
    assert "| 2 (1 failed) |" in table([found])


def test_requests_that_the_log_does_not_know_are_an_error() -> None:
    with pytest.raises(UsageError, match="not those in the metronome's log"):
        row_of(2.0, said([0.081], [[0.02] * 5]), truth_of(["other"], [100.0]), CPU)


def test_the_table_says_signed_milliseconds() -> None:
    row = Row(20.0, 19.96, 500, 0, 2994.0, 0.13, 0.00133, 0.00541, 0.000008, 0.04382)
    assert table([row]).splitlines()[-1] == "| 20 | 20.0 | 500 | +1.33 / +5.41 | +0.0080 | 0.0438 |"
