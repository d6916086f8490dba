"""Who is told to have kept requests waiting: the server's engine, its front end, or what stands before it."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bench.synthetic import edit_manifest, make_run
from loadgen.records.record import METRICS_SCHEMA
from reports.commands.assembly import assemble
from reports.document.schema import Comparison
from reports.pages import first_screen
from reports.runs.runs import Run, load_run
from reports.verdict.judge import judge, summary
from reports.verdict.rule import Verdict

TTFT = "vllm:time_to_first_token_seconds_sum"
PARTS = ("vllm:request_queue_time_seconds", "vllm:request_prefill_time_seconds")
LOST = "connection closed by the server before the headers"


def full(folder: Path, server: float = 1.0, front_end: float = 0.0, failed: float = 0.0, **more: Any) -> Run:
    """A run whose queue grows; `server`: its share of the TTFT, `front_end`: of that before its engine."""
    make_run(folder, **{"slots": 6, "failed_share": failed, **more})
    path = folder / "server_metrics.parquet"
    table = pq.read_table(path).cast(METRICS_SCHEMA).to_pylist()
    for row in table:
        row["value"] *= server if row["name"] == TTFT else 1
    known = [row for row in table if row["name"] == TTFT]
    counts = [row for row in table if row["name"] == TTFT.replace("_sum", "_count")]
    for part, share in zip(PARTS, (0.9 * (1 - front_end), 0.1 * (1 - front_end)), strict=True):
        table += [{**row, "name": f"{part}_sum", "value": share * row["value"]} for row in known]
        table += [{**row, "name": f"{part}_count"} for row in counts]
    columns = {name: [row[name] for row in table] for name in METRICS_SCHEMA.names}
    pq.write_table(pq.read_table(path).schema.empty_table().from_pydict(columns, METRICS_SCHEMA), path)
    return load_run(folder)


@pytest.mark.parametrize(
    ("server", "front_end", "who"),
    [
        (1.0, 0.1, "the server"),
        (0.01, 0.1, "what stands between, or the network"),
        (1.0, 0.9, "the server's front end"),
    ],
)
def test_a_queue_is_his_who_had_it(server: float, front_end: float, who: str, tmp_path: Path) -> None:
    run = full(tmp_path, server, front_end)
    found = judge(run)
    assert found.verdict is Verdict.SATURATED and found.who == who == summary(found)["who"]
    [backlog] = [rule for rule in found.rules if rule.rule == "backlog"]
    assert ("lower the rate" in backlog.advice) is (who == "the server")
    assert (who in backlog.advice) is (who != "the server")


def test_a_gateway_is_called_by_its_name_from_the_terminal_to_the_first_screen(tmp_path: Path) -> None:
    full(tmp_path, 0.01)
    edit_manifest(tmp_path, between="via: 1.1 gate")
    run = load_run(tmp_path)
    assert judge(run).who == "via: 1.1 gate"
    document = one(run)
    assert "baseline SATURATED (via: 1.1 gate fell behind)" in first_screen.verdicts(document)
    [first, *_] = [each for each in document.recommendations if "SATURATED" in each.reason]
    assert first.text.startswith("Via: 1.1 gate holds requests back") and first.command is None


@pytest.mark.parametrize(("front_end", "passed"), [(0.0, False), (0.2, False), (0.5, True)])
def test_a_front_end_that_is_slow_itself_is_no_gateway(
    front_end: float, passed: bool, tmp_path: Path
) -> None:
    run = full(tmp_path, 1.0, front_end, slots=None, network=0.02)
    [rule] = [rule for rule in judge(run).rules if rule.rule == "outside_server"]
    assert rule.passed is passed, rule


def test_requests_past_the_gateway_say_so_where_the_server_does_not(tmp_path: Path) -> None:
    without = judge(full(tmp_path, 0.95)).who
    table = pq.read_table(tmp_path / "requests.parquet")
    rows = table.to_pylist()
    for row in rows:
        row["direct"] = row["arrival"] % 50 == 49
        if row["direct"] and row["first_token"] is not None:
            row["first_byte"] = row["first_token"] = row["sent"] + 0.05
            row["chunk_times"] = [row["first_token"], *row["chunk_times"][1:]]
    named = "direct" in table.schema.names
    schema = table.schema if named else table.schema.append(pa.field("direct", pa.bool_()))
    pq.write_table(pa.Table.from_pylist(rows, schema), tmp_path / "requests.parquet")
    found = judge(load_run(tmp_path))
    assert without == "the server" and found.who == "the gateway"
    [backlog] = [rule for rule in found.rules if rule.rule == "backlog"]
    assert "past the gateway TTFT is 50 ms" in backlog.text


def one(run: Run) -> Comparison:
    return assemble([run], baseline="baseline", minimum_effect=0.05, name="", command="")


@pytest.mark.parametrize(("server", "verdict"), [(0.01, Verdict.SATURATED), (1.0, Verdict.INVALID)])
def test_connections_that_a_full_gateway_closes_are_refusals(
    server: float, verdict: Verdict, tmp_path: Path
) -> None:
    full(tmp_path, server, failed=0.05)
    path = tmp_path / "requests.parquet"
    table = pq.read_table(path)
    rows = table.to_pylist()
    for row in rows:
        if row["status"] == "failed":
            row |= {"error": LOST, "http_status": None}
    pq.write_table(table.from_pylist(rows, table.schema), path)
    found = judge(load_run(tmp_path))
    failed = {rule.rule for rule in found.rules if not rule.passed}
    assert found.verdict is verdict
    assert ("refused_share" in failed, "failed_share" in failed) == (server < 1, server == 1)
