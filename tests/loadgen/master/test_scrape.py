"""The server's metrics: fetched, packed, parsed."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from loadgen.master import scrape
from loadgen.master.server_info import Server
from loadgen.records.record import METRICS_SCHEMA
from reports.runs.server_metrics import ServerMetrics


def test_a_scrape_is_parsed_without_what_never_changes() -> None:
    text = (
        '# TYPE vllm:num_requests_running gauge\nvllm:num_requests_running{engine="0",model_name="m"} 3.0\n'
        "# TYPE vllm:generation_tokens counter\n"
        'vllm:generation_tokens_total{engine="0",model_name="m"} 42.0\n'
        'vllm:generation_tokens_created{engine="0",model_name="m"} 1.7e9\n'
    )
    assert list(scrape.parse(1.5, text)) == [
        (1.5, "vllm:num_requests_running", "{}", 3.0),
        (1.5, "vllm:generation_tokens_total", "{}", 42.0),
    ]


def test_the_counters_of_data_parallel_engines_are_kept_apart() -> None:
    name = "vllm:generation_tokens_total"
    lines = [
        f'{name}{{engine="{engine}",model_name="m"}} {value}' for engine, value in ((0, 900.0), (1, 7.0))
    ]
    text = "# TYPE vllm:generation_tokens counter\n" + "\n".join(lines)
    rows = [row for moment in (0.0, 1.0) for row in scrape.parse(moment, text)]
    assert {row[2] for row in rows} == {"{}", '{"engine": "1"}'}
    columns = [[row[place] for row in rows] for place in range(4)]
    found = ServerMetrics(pa.table(columns, schema=METRICS_SCHEMA))
    assert found.increase(name, 0.0, 1.0) == 0.0, "neither has gained anything"


def test_a_scrape_that_is_cut_off_costs_no_other(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    row = 'vllm:num_requests_running{engine="0"} 3.0\n'
    texts = iter([row, row + "vllm:prompt_tok", row + "vllm:num_requests_waiting ", row])
    server = Server("http://127.0.0.1:1", {}, True)
    monkeypatch.setattr(server, "metrics", lambda: (next(texts), False))
    scraper = scrape.Scraper(server, lambda: 1.0)
    for _ in range(4):
        scraper.take()
    scraper.write(tmp_path / "m.parquet")
    assert pq.read_table(tmp_path / "m.parquet")["value"].to_pylist() == [3.0] * 3


@pytest.mark.parametrize("moment", ["", " 1764144000000"])
def test_who_waits_is_counted_once(moment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether or not the server says when it counted."""
    text = (
        f"vllm:num_requests_running 8.0{moment}\n"
        f'vllm:num_requests_waiting{{engine="0",model_name="m"}} 5.0{moment}\n'
        'vllm:num_requests_waiting_by_reason{engine="0",model_name="m",reason="capacity"} 4.0\n'
        'vllm:num_requests_waiting_by_reason{engine="0",model_name="m",reason="deferred"} 1.0\n'
    )
    server = Server("http://127.0.0.1:1", {}, True)
    monkeypatch.setattr(server, "metrics", lambda: (text, False))
    scraper = scrape.Scraper(server, lambda: 0.0)
    scraper.take()
    assert scraper.latest == {"running": 8.0, "waiting": 5.0}
