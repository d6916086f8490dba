"""What the server's metrics say of a run."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bench.synthetic import Shape, make_run
from loadgen.records.record import METRICS_SCHEMA
from reports.metrics import request_metrics
from reports.metrics.server_side import mean_over, server_side
from reports.runs.runs import load_run

SHAPE = Shape(rate=30, duration=20, warmup=2, drain=10, output=10, ttft=0.04, tpot=0.01, network=0.002)


def add_rows(folder: Path, rows: dict[str, tuple[float, float]]) -> None:
    """Counters that go from the first value (before the run) to the second (after it)."""
    path = folder / "server_metrics.parquet"
    table = pq.read_table(path)
    times = [-1.0, 100.0]
    extra = [
        (t, f"vllm:{name}", '{"engine_part": "2"}', value)
        for name, pair in rows.items()
        for t, value in zip(times, pair, strict=True)
    ]
    columns = [list(column) for column in zip(*extra, strict=True)]
    fresh = pa.table(
        [pa.array(c).cast(f.type) for c, f in zip(columns, METRICS_SCHEMA, strict=True)],
        schema=METRICS_SCHEMA,
    )
    pq.write_table(pa.concat_tables([table.cast(METRICS_SCHEMA), fresh]), path)


def test_histograms_are_differenced_and_the_network_is_the_rest(tmp_path: Path) -> None:
    make_run(tmp_path / "run", SHAPE)
    histograms = {"request_queue_time_seconds": (0.25, 400), "iteration_tokens_total": (8.0, 500)}
    rows: dict[str, tuple[float, float]] = {}
    for name, (mean, count) in histograms.items():
        rows |= {f"{name}_sum": (7.0, 7.0 + mean * count), f"{name}_count": (3.0, 3.0 + count)}
    for name, gain in {"flops": 6e12, "read_bytes": 1e12, "write_bytes": 0.5e12}.items():
        rows[f"estimated_{name}_per_gpu_total"] = (1e9, 1e9 + gain)
    add_rows(tmp_path / "run", rows)
    found = server_side(load_run(tmp_path / "run"))
    assert found.queue_mean == pytest.approx(0.25)
    assert (found.steps, found.tokens_per_step) == (500, pytest.approx(8.0))
    assert found.bytes_per_step == pytest.approx(3e9)
    assert found.flops_per_byte == pytest.approx(4.0)
    assert found.network_mean == pytest.approx(0.002, abs=1e-6)
    assert found.prefill_mean is None
    assert found.running_mean == pytest.approx(30 * 0.13, rel=0.3)


def test_no_network_where_the_server_saw_other_requests(tmp_path: Path) -> None:
    make_run(tmp_path / "run", SHAPE)
    add_rows(
        tmp_path / "run",
        {"time_to_first_token_seconds_count": (0, 1000), "time_to_first_token_seconds_sum": (0, 9)},
    )
    assert server_side(load_run(tmp_path / "run")).network_mean is None


def test_no_network_below_nothing(tmp_path: Path) -> None:
    """A token cannot arrive before it leaves: the two sides did not see the same requests."""
    make_run(tmp_path / "run", SHAPE, network=-0.25)
    assert server_side(load_run(tmp_path / "run")).network_mean is None


def test_nothing_exported_nothing_said(tmp_path: Path) -> None:
    make_run(tmp_path / "run", SHAPE)
    (tmp_path / "run" / "server_metrics.parquet").unlink()
    said = json.loads(server_side(load_run(tmp_path / "run")).model_dump_json())
    assert {name for name, value in said.items() if value is not None} == {
        "dispatch_delay_mean",
        "first_tokens",
    }


def test_a_gauge_holds_until_the_next_scrape() -> None:
    times, values = np.array([-1.0, 2.0, 9.0]), np.array([4.0, 10.0, 99.0])
    assert mean_over(times, values, 0.0, 4.0) == pytest.approx((2 * 4 + 2 * 10) / 4)
    assert mean_over(np.array([]), np.array([]), 0.0, 4.0) is None
    assert mean_over(np.array([5.0]), np.array([1.0]), 0.0, 4.0) is None


def test_the_front_end_is_what_ttft_has_beyond_queue_and_prefill(tmp_path: Path) -> None:
    make_run(tmp_path / "run", SHAPE)
    seen = server_side(load_run(tmp_path / "run"))
    assert seen.ttft_mean is not None and seen.first_tokens
    rows: dict[str, tuple[float, float]] = {}
    for name, mean in {"queue": 0.001, "prefill": 0.004}.items():
        rows[f"request_{name}_time_seconds_sum"] = (0.0, mean * seen.first_tokens)
        rows[f"request_{name}_time_seconds_count"] = (0.0, float(seen.first_tokens))
    add_rows(tmp_path / "run", rows)
    assert server_side(load_run(tmp_path / "run")).front_end_mean == pytest.approx(seen.ttft_mean - 0.005)


def test_no_front_end_where_queue_and_prefill_are_of_other_requests(tmp_path: Path) -> None:
    make_run(tmp_path / "run", SHAPE)
    rows = {
        f"request_{name}_time_seconds_{part}": (0.0, 9.0)
        for name in ("queue", "prefill")
        for part in ("sum", "count")
    }
    add_rows(tmp_path / "run", rows)
    assert server_side(load_run(tmp_path / "run")).front_end_mean is None


def test_bytes_that_vllm_exports_as_zero_were_not_counted(tmp_path: Path) -> None:
    make_run(tmp_path / "run", SHAPE)
    rows = {f"estimated_{name}_per_gpu_total": (0.0, 0.0) for name in ("flops", "read_bytes", "write_bytes")}
    add_rows(
        tmp_path / "run",
        rows | {"iteration_tokens_total_sum": (0, 9), "iteration_tokens_total_count": (0, 9)},
    )
    found = server_side(load_run(tmp_path / "run"))
    assert found.steps == 9 and found.bytes_per_step is None and found.flops_per_byte is None


def test_energy_of_the_window_over_its_tokens(tmp_path: Path) -> None:
    make_run(tmp_path / "run", SHAPE)
    path, moments = tmp_path / "run" / "server_metrics.parquet", np.arange(-1.0, 40.0)
    joules = [("{" + f'"gpu": "{gpu}"' + "}", t, 5e6 + 150.0 * t) for gpu in (0, 1) for t in moments.tolist()]
    fresh = {
        "t": [t for _, t, _ in joules],
        "name": ["gpu:energy_joules_total"] * len(joules),
        "labels": [labels for labels, _, _ in joules],
        "value": [value for _, _, value in joules],
    }
    table = pq.read_table(path).cast(METRICS_SCHEMA)
    pq.write_table(pa.concat_tables([table, pa.table(fresh).cast(METRICS_SCHEMA)]), path)
    run = load_run(tmp_path / "run")
    assert server_side(run).gpu_power_mean == pytest.approx(300.0)
    figures = request_metrics.figures(run)
    tokens = figures["output_token_throughput"].value
    assert figures["energy_per_token"].value == server_side(run).joules_per_token
    assert figures["energy_per_token"].value == pytest.approx(300.0 / (tokens or 0))
    good = figures["goodput_rate"].value
    assert figures["energy_per_good_request"].value == pytest.approx(300.0 / (good or 0))
    assert figures["energy_per_good_request"].count == round((good or 0) * 20)
