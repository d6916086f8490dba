"""Streams whose chunks are not one token each: a server makes a token each 10 ms, and TPOT is to say so."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bench.synthetic import make_run
from loadgen.records.metrics import METRICS, moments, value
from loadgen.records.record import Record
from reports.metrics import request_metrics
from reports.runs.runs import Run, load_run
from reports.verdict.rule import Verdict
from reports.verdict.validity import check, verdict


def streams(
    folder: Path,
    at: list[float],
    counts: list[int] | None,
    output: int,
    reasoning: int | None = None,
    **more: Any,
) -> Run:
    """A run in which every answer came like this: its chunks `at` seconds after the first one."""
    make_run(folder, rate=20, duration=10, output=output)
    table = pq.read_table(folder / "requests.parquet")
    first = table["first_token"].to_pylist()
    columns = {
        "chunk_times": [[begin + each for each in at] for begin in first],
        "chunk_tokens": [counts] * len(first),
        "last_token": [begin + at[-1] for begin in first],
        "first_answer": [begin + more.get("answer", 0.0) for begin in first],
        "reasoning_tokens": [reasoning] * len(first),
    }
    for name, values in columns.items():
        place = table.schema.get_field_index(name)
        table = table.set_column(
            place, table.schema.field(place), pa.array(values, table.schema.field(place).type)
        )
    pq.write_table(table, folder / "requests.parquet")
    return load_run(folder)


ONE_EACH = [0.01 * number for number in range(11)]
FIVES = [0.05 * number for number in range(4)]


@pytest.mark.parametrize(
    ("at", "counts", "output", "reasoning", "warned"),
    [
        (ONE_EACH, [10] + 10 * [1], 20, None, False),  # the first chunk carries ten tokens
        (FIVES, 4 * [5], 20, None, False),  # speculation
        (FIVES, None, 20, None, True),  # the same, and the server does not say how many
        (ONE_EACH, [21] + 10 * [1], 31, None, False),  # 20 tokens of reasoning that were not streamed
        (ONE_EACH, None, 31, 20, True),  # the same, said by `usage` at the end
        (ONE_EACH, None, 11, None, False),
    ],
)
def test_tpot_is_over_the_tokens_after_the_first_chunk(
    at: list[float],
    counts: list[int] | None,
    output: int,
    reasoning: int | None,
    warned: bool,
    tmp_path: Path,
) -> None:
    run = streams(tmp_path, at, counts, output, reasoning)
    found = request_metrics.percentile(run, "tpot", 0.5)
    assert found.value == pytest.approx(0.01) and found.count == run.judged.sum()
    [rule] = [rule for rule in check(run) if rule.rule == "tokens_seen"]
    assert rule.passed is not warned and rule.verdict is Verdict.VALID
    assert ("reasoning that was not streamed, 20 tokens each" in rule.text) is (reasoning is not None)
    live = Record(0, 0, "", 0.0, "completed", first_token=0.0, first_answer=0.0, last_token=at[-1])
    live.chunk_times, live.chunk_tokens, live.output_tokens = at, counts, output  # type: ignore[assignment]
    live.reasoning_tokens = reasoning
    assert value(moments(live), METRICS["tpot"]) == pytest.approx(0.01), "as it is told while the run goes"


def test_reasoning_and_answer_have_a_first_token_each(tmp_path: Path) -> None:
    """TTFT is of the reasoning; where there was none, the other figure has nobody."""
    run = streams(tmp_path / "reasons", ONE_EACH, None, 11, answer=0.05)
    ttft, answer = (request_metrics.percentile(run, name, 0.5).value for name in ("ttft", "first_answer"))
    assert ttft is not None and answer == pytest.approx(ttft + 0.05)
    plain = streams(tmp_path / "plain", ONE_EACH, None, 11)
    assert request_metrics.percentile(plain, "first_answer", 0.5).count == 0


def test_answers_without_text_are_no_completed_ones(tmp_path: Path) -> None:
    make_run(tmp_path)
    table = pq.read_table(tmp_path / "requests.parquet")
    place = table.schema.get_field_index("status")
    status = ["empty" if number % 10 < 7 else "completed" for number in range(len(table))]
    pq.write_table(table.set_column(place, "status", pa.array(status)), tmp_path / "requests.parquet")
    run = load_run(tmp_path)
    counts, rules = request_metrics.accounting(run), check(run)
    assert counts["due"] == counts["completed"] + counts["empty"] and counts["empty"] > counts["completed"]
    assert verdict(rules) is Verdict.INVALID
    [rule] = [rule for rule in rules if rule.rule == "empty_answers"]
    assert not rule.passed and rule.text == f"{counts['empty']} of {counts['due']} answers held no text"
    assert (request_metrics.rate(run, "slo_attainment").value or 0) < 0.35


@pytest.mark.parametrize(("rate", "given"), [(70, False), (85, True)])
def test_a_percentile_of_999_in_1000_needs_4603_requests(rate: float, given: bool, tmp_path: Path) -> None:
    make_run(tmp_path, rate=rate, output=2, arrivals="constant")
    assert ("ttft_p99.9" in request_metrics.figures(load_run(tmp_path))) is given
