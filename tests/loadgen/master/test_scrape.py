"""The server's metrics: fetched, packed, parsed."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from loadgen.master import scrape
from loadgen.master.gpu import ENERGY, POWER, Gpus
from loadgen.master.server_info import Server
from loadgen.records.record import METRICS_SCHEMA
from reports.runs.server_metrics import ServerMetrics, read_server_metrics
from tests.support.nvml import OneCard


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


def scraped(
    texts: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch, places: int = 1
) -> ServerMetrics:
    """What is kept of these answers, one a second, of each place in turn."""
    hosts = [f"http://127.0.0.1:{port}" for port in range(1, places + 1)] if places > 1 else []
    server, given = Server("http://127.0.0.1:1", {}, True, hosts), iter(texts)
    monkeypatch.setattr(server, "metrics", lambda place=0: (next(given), False))
    ticks = iter(range(len(texts)))
    scraper = scrape.Scraper(server, lambda: float(next(ticks) // places))
    for _ in range(len(texts) // places):
        scraper.take()
    scraper.write(folder / "m.parquet")
    return read_server_metrics(folder / "m.parquet")


def engine(tokens: float, began: float = 1.0, cache: float = 0.1, model: str = "m") -> str:
    return (
        f"process_start_time_seconds {began}\n# TYPE vllm:generation_tokens counter\n"
        f'vllm:generation_tokens_total{{engine="0",model_name="{model}"}} {tokens}\n'
        f'vllm:kv_cache_usage_perc{{engine="0",model_name="{model}"}} {cache}\n'
    )


def test_engines_that_answer_in_turn_at_one_address_are_told_apart(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    answers = [
        engine(tokens, began) for tokens, began in ((10, 1.0), (900, 2.0), (40, 1.0), (970, 2.0), (50, 1.0))
    ]
    found = scraped(answers, tmp_path, monkeypatch)
    assert found.falls() == {} and found.increase("vllm:generation_tokens_total", 0.0, 9.0) == 40 + 70
    restarted = [engine(900, 1.0), engine(950, 1.0), engine(10, 2.0), engine(30, 2.0)]
    found = scraped(restarted, tmp_path, monkeypatch)
    assert found.falls() == {"vllm:generation_tokens_total": 1}, "one after another are one, restarted"


def test_several_addresses_are_added_and_shares_are_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    answers = [
        engine(tokens, 1.0, cache) for tokens, cache in ((5, 0.10), (700, 0.30), (25, 0.20), (740, 0.40))
    ]
    found = scraped(answers, tmp_path, monkeypatch, places=2)
    assert found.increase("vllm:generation_tokens_total", 0.0, 1.0) == 20 + 40
    whole = found.gauge("vllm:kv_cache_usage_perc", "mean")
    fullest = found.gauge("vllm:kv_cache_usage_perc", "max")
    assert whole is not None and whole[1].tolist() == pytest.approx([0.20, 0.30])
    assert fullest is not None and fullest[1].tolist() == pytest.approx([0.30, 0.40])


def test_two_models_of_one_server_have_counters_of_their_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    second = 'vllm:generation_tokens_total{engine="0",model_name="other"} 3.0\n'
    found = scraped([engine(10) + second, engine(30) + second], tmp_path, monkeypatch)
    assert found.falls() == {} and found.increase("vllm:generation_tokens_total", 0.0, 1.0) == 20


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


def test_readings_of_a_gpu_stand_beside_the_servers_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    server = Server("http://127.0.0.1:1", {}, True)
    monkeypatch.setattr(server, "metrics", lambda: ("vllm:num_requests_running 3.0\n", False))
    times, energy = iter([0.0, 0.4, 1.0, 2.0]), iter([900_000, 1_100_000, 1_350_000])  # mJ
    scraper = scrape.Scraper(server, lambda: next(times), Gpus(EnergyAndMemory(lambda: next(energy))))
    scraper.read_gpus(whole=True)
    scraper.take()
    scraper.read_gpus(whole=True)
    scraper.read_gpus(whole=True)
    scraper.write(tmp_path / "m.parquet")
    found = read_server_metrics(tmp_path / "m.parquet")
    assert found.increase(ENERGY, 0.0, 2.0) == 450.0
    assert found.increase(ENERGY, -1.0, 2.0) == 450.0, "what the card used before the run is not the run's"
    assert found.times.tolist() == [0.4] and not found.covers(0.0, 1.0), "a reading is no scrape"
    assert found.gauge(POWER, gpu="0") is None, "what the card does not tell is left out"
    assert found.names == [
        *(ENERGY, "gpu:memory_used_bytes", "gpu:watch_cpu_seconds_total", "vllm:num_requests_running")
    ]
    assert scraper.latest == {"running": 3.0, "joules": 1350.0}


class EnergyAndMemory(OneCard):
    """One that tells its energy and its memory alone."""

    def __init__(self, energy: Callable[[], int]) -> None:
        self.nvmlDeviceGetTotalEnergyConsumption = lambda handle: energy()

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> SimpleNamespace:  # noqa: N802
        return SimpleNamespace(used=7)


@pytest.mark.parametrize(
    ("listed", "count"), [("0", 1), ("GPU-1f", 1), ("1", 0), ("", 0), ("-1", 0), ("1, 0", 1)]
)
def test_only_gpus_that_the_server_may_use_are_read(
    listed: str, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", listed)
    assert len(Gpus(EnergyAndMemory(lambda: 0))) == count
