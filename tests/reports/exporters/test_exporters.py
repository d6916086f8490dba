"""Runs as other tools' files: their schema and their reader, and ours, must take them."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from reports.exporters import benchmark_report, vllm_bench
from reports.metrics import request_metrics
from reports.runs.importers.imported import Imported
from reports.runs.importers.reader import read
from reports.runs.runs import Run
from tests.support.make_report import make_pair
from tokenswarm.__main__ import run as main


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return make_pair(tmp_path_factory.mktemp("runs"))[0]


def written(folder: Path, found: dict[str, Any]) -> tuple[Path, Imported]:
    path = folder / "exported.json"
    path.write_text(json.dumps(found))
    (imported,) = read(path)
    return path, imported


def test_a_run_as_vllm_s_result_is_read_back_with_the_same_figures(run: Run, tmp_path: Path) -> None:
    path, imported = written(tmp_path, vllm_bench.export(run))
    assert imported.tool == "vllm bench serve"
    assert all(claim.reproduced is not False for claim in imported.claims)
    again = imported.run("again", path.name, imported.span)
    counts = request_metrics.accounting(run)
    back = request_metrics.accounting(again)
    assert (back["due"], back["completed"]) == (counts["due"], counts["completed"])
    for metric in ("ttft", "scheduled_ttft", "latency", "tpot"):
        before, after = (request_metrics.survival(each, metric).known for each in (run, again))
        assert after[: len(before)] == pytest.approx(before, abs=1e-6)


def test_a_run_as_a_benchmark_report_holds_our_percentiles(run: Run, tmp_path: Path) -> None:
    _, imported = written(tmp_path, without_null(benchmark_report.export(run)))
    claims = {claim.row: claim.value for claim in imported.claims}
    for metric in ("ttft", "tpot", "latency"):
        value = request_metrics.percentile(run, metric, 0.5).value
        assert value is not None and claims[f"{metric}_p50"] == pytest.approx(value)
    assert imported.due == request_metrics.accounting(run)["due"] and not imported.has_records


def test_llm_d_s_own_schema_takes_the_report_and_its_converter_vllm_s_file(run: Run, tmp_path: Path) -> None:
    package = pytest.importorskip("llmd_benchmark_report")
    core = pytest.importorskip("llmd_benchmark_report.core")
    convert = pytest.importorskip("llmd_benchmark_report.native_to_br0_2")
    assert package
    report = core.load_benchmark_report(without_null(benchmark_report.export(run)))
    ours = request_metrics.percentile(run, "ttft", 0.5).value
    found = report.results.request_performance.aggregate.latency.time_to_first_token.p50
    assert ours is not None and math.isclose(found, ours)
    path, _ = written(tmp_path, said := vllm_bench.export(run))
    converted = convert.import_vllm_benchmark(str(path)).results.request_performance.aggregate
    assert math.isclose(converted.latency.time_to_first_token.p50, said["median_ttft_ms"])
    assert converted.requests.total == said["num_prompts"]


def test_the_command_writes_into_the_run_s_folder(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    if run.folder is None:
        pytest.skip("made in memory")
    for kind, name in (("vllm", "vllm-bench-serve.json"), ("br0.2", "benchmark-report-0.2.json")):
        assert main(["export", str(run.folder), "--to", kind]) == 0
        assert capsys.readouterr().out.strip().endswith(name)
        assert read(run.folder / name)


def without_null(found: Any) -> Any:
    return (
        {k: without_null(v) for k, v in found.items() if v is not None} if isinstance(found, dict) else found
    )
