"""What a gateway takes, by the requests that went past it."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bench.synthetic import make_run
from reports.metrics.gateway import LEAST, gateway, shift
from reports.metrics.request_metrics import accounting
from reports.metrics.server_side import server_side
from reports.runs.runs import Run, load_run
from reports.verdict.judge import judge, summary

MOMENTS = ("first_byte", "first_token", "last_token", "end")


def past(folder: Path, every: int, takes: float) -> Run:
    """A run of which each so many-th request went past a gateway that takes so many s, to 1 ms."""
    make_run(folder, rate=20)
    table = pq.read_table(folder / "requests.parquet")
    columns = {name: table[name].to_pylist() for name in table.schema.names}
    direct = [number % every == every - 1 for number in columns["arrival"]]
    for row, went_past in enumerate(direct):
        later = takes + 0.001 * (row % 3 - 1)
        for name in () if went_past else MOMENTS:
            columns[name][row] += later
        if not went_past:
            columns["chunk_times"][row] = [each + later for each in columns["chunk_times"][row]]
    schema = table.schema
    if "direct" not in schema.names:
        schema = schema.append(pa.field("direct", pa.bool_()))
    pq.write_table(pa.table({**columns, "direct": direct}, schema=schema), folder / "requests.parquet")
    return load_run(folder)


def test_the_difference_is_the_gateways_and_figures_are_of_those_who_went_through(tmp_path: Path) -> None:
    run = past(tmp_path, 50, 0.018)
    found = gateway(run)
    assert found is not None and found.ttft == pytest.approx(0.018, abs=0.0005)
    assert 0.016 < found.low <= found.ttft <= found.high < 0.020
    assert found.past == int((run.offered & ~run.judged).sum()) and accounting(run)["due"] == run.judged.sum()
    assert server_side(run).gateway_ttft == found.ttft
    judged = judge(run)
    assert summary(judged)["gateway"]["past"] == found.past
    [rule] = [rule for rule in judged.rules if rule.rule == "outside_server"]
    assert f"past the gateway {found.past} requests had it 18 ms earlier" in rule.text


def test_of_few_requests_nothing_is_said(tmp_path: Path) -> None:
    assert gateway(past(tmp_path / "few", 1300 // (LEAST - 1), 0.018)) is None
    run = past(tmp_path / "none", 10**6, 0.0)
    assert gateway(run) is None and "gateway" not in summary(judge(run))


def test_the_interval_holds_the_shift_in_95_of_100() -> None:
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(200):
        _, low, high = shift(rng.exponential(1, 300) + 0.5, rng.exponential(1, 12))
        held += low <= 0.5 <= high
    assert 182 <= held <= 198, "190 are expected, sd 3"
