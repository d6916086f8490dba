"""Files that other tools wrote (tests/data/importers, cut): what is read, and that it is read rightly.

The proof of the latter: each tool's own printed figures come out of its records by its own definition, to its
rounding, at three loads: 4/s; 8/s, 2 tokens a chunk, 2 of 16 refused; 16/s, the role chunk 80 ms early.
"""

import gzip
import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.usage import UsageError
from reports.commands.audit import read_files
from reports.document.schema import Comparison
from reports.metrics import request_metrics
from reports.runs.importers.reader import read
from tests.support.auditing import DATA, audited, read_one
from tokenswarm.__main__ import run as main

FILES = DATA / "importers"
LOADS = ("small4", "small8", "small16")
WITH_RECORDS = [
    *((f"vllm-0.32/{load}.json", "vllm bench serve") for load in LOADS),
    *((f"guidellm-0.8/{load}.json", "GuideLLM") for load in LOADS),
    *((f"aiperf-0.13/{load}/profile_export.jsonl", "AIPerf") for load in LOADS),
    *((f"inference-perf-0.7/{load}/per_request_lifecycle_metrics.json", "inference-perf") for load in LOADS),
    *((f"evalscope-1.14/{load}/benchmark_data.db", "evalscope perf") for load in LOADS),
    *((f"sglang-0.5/{load}.jsonl", "SGLang bench_serving") for load in LOADS),
]
SUMS = [
    ("guidellm-0.8/small8.csv", "GuideLLM", 16),
    ("aiperf-0.13/small8/profile_export_aiperf.json", "AIPerf", 16),
    ("inference-perf-0.7/small8/summary_lifecycle_metrics.json", "inference-perf", 16),
    ("evalscope-1.14/small8/benchmark_summary.json", "evalscope perf", 16),
    ("benchmark-report-0.2/by-inference-perf.yaml", "llm-d benchmark report", 12),
    ("locust-2.47/stats_stats.csv", "Locust", 60),
    ("cases/inference-perf-summary.json", "inference-perf", 47_002),
    ("cases/vllm-0.25.1-bench-serve-aggregates.json", "vllm bench serve", 8),
    ("cases/vllm-0.25.1-bench-serve-all-failed.json", "vllm bench serve", 8),
]
CASES = [
    ("cases/aiperf-profile-export-layout.jsonl", "AIPerf", 3),
    ("cases/genai-perf-profile-export-layout.json", "genai-perf", 1),
    ("cases/sglang-bench-serving-layout.json", "SGLang bench_serving", 3),
]
VLLM = FILES / "vllm-0.32" / "small4.json"


@pytest.mark.parametrize(("name", "tool"), WITH_RECORDS)
def test_a_tool_s_own_figures_come_out_of_its_records(name: str, tool: str) -> None:
    found = read_one(FILES / name)
    assert (found.tool, found.table.num_rows) == (tool, 12 if "small4" in name else 16)
    own = [claim for claim in found.claims if claim.own is not None]
    assert {"ttft_mean", "ttft_p50", "ttft_p99", "tpot_mean", "latency_p50"} <= {claim.row for claim in own}
    assert {"output_token_throughput", "completed_rate", "completed"} <= {claim.row for claim in own}
    assert [(each.field, each.value, each.own) for each in own if not each.reproduced] == []


@pytest.mark.parametrize(("name", "tool"), [each for each in WITH_RECORDS if "small8" in each[0]])
def test_who_failed_is_known_and_left_out_of_the_tool_s_figures_only(name: str, tool: str) -> None:
    _, found, (run,) = audited(FILES / name)
    counts = request_metrics.accounting(run)
    assert (counts["due"], counts["completed"], counts["failed"]) == (16, 14, 2)
    assert found.tool.startswith(tool)
    p99 = next(each for each in found.same if each.metric == "ttft_p99")
    assert p99.here is None and "the tool leaves them out" in p99.cause


@pytest.mark.parametrize(("name", "tool", "due"), SUMS)
def test_sums_are_claims_without_records(name: str, tool: str, due: int) -> None:
    found = read_one(FILES / name)
    assert (found.tool, found.due, found.has_records) == (tool, due, False) and len(found.claims) > 5
    comparison, audit, _ = audited(FILES / name)
    assert "no records, so nothing supports or contradicts the claims" in audit.paragraph
    assert {check.outcome for check in audit.checks} == {"cannot tell"}
    assert comparison.runs[0].verdict == "INVALID"


@pytest.mark.parametrize(("name", "tool", "records"), CASES)
def test_layouts_with_few_requests_give_a_report(name: str, tool: str, records: int) -> None:
    comparison, audit, (run,) = audited(FILES / name)
    assert audit.tool.startswith(tool) and len(run.records) == records
    Comparison.model_validate_json(comparison.model_dump_json())


def test_the_role_chunk_of_vllm_is_no_first_token_here() -> None:
    found = read_one(FILES / "vllm-0.32" / "small16.json")
    run = found.run("run", "run", found.span)
    printed = next(claim.value for claim in found.claims if claim.row == "ttft_p50")
    here = request_metrics.percentile(run, "ttft", 0.5).value
    assert here is not None and printed < 0.02 and 0.08 < here < 0.12
    tpot = request_metrics.percentile(run, "tpot", 0.5).value
    assert tpot == pytest.approx(0.02, rel=0.05)
    _, audit, _ = audited(FILES / "vllm-0.32" / "small16.json")
    assert "of its TTFT, its first chunk is the one that names the role" in audit.paragraph
    same = next(each for each in audit.same if each.metric == "ttft_p50")
    assert same.reproduced and "names the role" in same.cause


def _as_version_33(found: dict[str, Any]) -> None:
    for index, gaps in enumerate(found["itls"]):
        found["ttfts"][index] += gaps.pop(0)


def _as_version_8(found: dict[str, Any]) -> None:
    for name in ("start_times", "latencies", "queue_times", "failed"):
        found.pop(name)
    found["request_goodput:"] = found.pop("request_goodput")


def changed(folder: Path, source: Path, change: Callable[[Any], object]) -> Path:
    found = json.loads(source.read_text())
    change(found)
    path = folder / source.name
    path.write_text(json.dumps(found))
    return path


def test_older_and_newer_vllm(tmp_path: Path) -> None:
    new = read_one(changed(tmp_path, VLLM, _as_version_33))
    old = read_one(VLLM)
    for metric in ("ttft", "tpot", "itl"):
        runs = [each.run("run", "run", each.span) for each in (old, new)]
        before, after = (request_metrics.survival(each, metric).known for each in runs)
        assert after == pytest.approx(before, abs=1e-6)
    oldest = read_one(changed(tmp_path, VLLM, _as_version_8))
    assert not oldest.placed and any(claim.row == "goodput_rate" for claim in oldest.claims)
    _, audit, (run,) = audited(tmp_path / VLLM.name)
    assert request_metrics.percentile(run, "ttft", 0.5).value is not None
    told = {each.metric: each.outcome for each in audit.checks}
    assert told["tpot_p50"] == "supported" and told["completed_rate"] == "cannot tell"


def test_several_results_of_a_file_are_audited_each_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = FILES / "cases" / "vllm-0.25.1-bench-sweep-summary.json"
    monkeypatch.setenv("TOKENSWARM_RESULTS", str(tmp_path))
    assert main(["audit", str(sweep), "--name", "sweep"]) == 0
    assert {path.name for path in (tmp_path / "reports").iterdir()} == {"sweep-1", "sweep-2"}
    appended = tmp_path / "appended.json"
    appended.write_text(VLLM.read_text() + "\n" + VLLM.read_text())
    assert [len(each) for each in read_files([appended])] == [1, 1]
    ((one,),) = read_files([Path(f"{appended}#2")])
    assert one.table.num_rows == 12
    for path, said in ((f"{appended}#3", "no number 3"), (str(appended), "name one of them")):
        with pytest.raises(UsageError, match=said):
            read_files([Path(path), VLLM])


def test_two_tools_are_compared_by_their_labels() -> None:
    aiperf = FILES / "aiperf-0.13" / "small4"
    guidellm = FILES / "guidellm-0.8" / "small4.json"
    (pair,) = read_files([guidellm, aiperf], ["before", "after"])
    assert [each.label for each in pair] == ["before", "after"]
    _, audit, runs = audited(guidellm, aiperf)
    assert audit.paragraph.startswith("profile_export is held against small4, the first file")
    assert audit.tool == "GuideLLM 0.8.1 and AIPerf 0.13.0"
    with pytest.raises(UsageError, match="--label"):
        read_files([guidellm, aiperf], ["a", "a"])
    assert {run.manifest.scenario_name for run in runs} == {"as each tool ran it"}


def test_packed_files_and_folders(tmp_path: Path) -> None:
    packed = tmp_path / "small4.json.gz"
    packed.write_bytes(gzip.compress(VLLM.read_bytes()))
    assert read_one(packed).table.equals(read_one(VLLM).table)
    for folder in ("aiperf-0.13/small4", "inference-perf-0.7/small4", "evalscope-1.14/small4"):
        assert read_one(FILES / folder).has_records  # not the sums beside them
    with pytest.raises(UsageError, match="holds 3 results"):
        read(FILES / "vllm-0.32")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="holds no result file of .*GuideLLM"):
        read(tmp_path / "empty")


def _line(number: int, **values: Any) -> Callable[[list[dict[str, Any]]], object]:
    def change(lines: list[dict[str, Any]]) -> None:
        for part, new in values.items():
            lines[number][part] = lines[number][part] | new

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_line(2, metadata={"request_start_ns": 5}), "record 2 .*not epoch nanoseconds"),
        (
            _line(3, metrics={"request_latency": {"value": 1.0, "unit": "min"}}),
            "record 3 .*in 'min', not in ns",
        ),
        (
            _line(3, metrics={"request_latency": {"value": -1.0, "unit": "ms"}}),
            "record 3 .*negative duration",
        ),
        (
            _line(1, metrics={"time_to_first_token": {"value": 9e9, "unit": "s"}}),
            "record 1 .*more than 7 days",
        ),
        (
            _line(4, metrics={"output_sequence_length": {"value": 0.5, "unit": "tokens"}}),
            "record 4 .*of tokens",
        ),
        (lambda lines: lines.__setitem__(5, {"metadata": 3}), "line 6: is no record of AIPerf"),
    ],
)
def test_nonsense_in_aiperf_s_lines(
    tmp_path: Path, change: Callable[[list[dict[str, Any]]], object], said: str
) -> None:
    source = FILES / "aiperf-0.13" / "small4" / "profile_export.jsonl"
    lines = [json.loads(line) for line in source.read_text().splitlines()]
    change(lines)
    path = tmp_path / "profile_export.jsonl"
    path.write_text("\n".join(json.dumps(line) for line in lines))
    with pytest.raises(UsageError, match=said) as caught:
        read_one(path)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


def test_nonsense_in_other_files(tmp_path: Path) -> None:
    broken = tmp_path / "benchmark_data.db"
    broken.write_bytes((FILES / "evalscope-1.14" / "small4" / "benchmark_data.db").read_bytes()[:3000])
    guidellm = FILES / "guidellm-0.8" / "small4.json"

    def backwards(found: dict[str, Any]) -> None:
        timings = found["benchmarks"][0]["requests"]["successful"][1]["info"]["timings"]
        timings["last_token_iteration"] = timings["request_start"] - 1

    report = (FILES / "benchmark-report-0.2" / "by-inference-perf.yaml").read_text()
    (tmp_path / "unit.yaml").write_text(report.replace("units: s\n", "units: minutes\n"))
    (tmp_path / "bomb.yaml").write_text(
        "version: [results, request_performance\nresults:\nrequest_performance: &a"
    )
    for path, said in (
        (broken, "damaged, or cut off|lacks"),
        (changed(tmp_path, guidellm, backwards), "record 1 .*after its last"),
        (tmp_path / "unit.yaml", "units is 'minutes'"),
        (tmp_path / "bomb.yaml", "no YAML"),
    ):
        with pytest.raises(UsageError, match=said):
            read(path)


HOSTILE = [FILES / name for name, _ in WITH_RECORDS if "small4" in name] + [
    FILES / SUMS[0][0],
    FILES / SUMS[4][0],
]


@settings(max_examples=60)
@given(
    source=st.sampled_from(HOSTILE),
    cut=st.floats(0, 1),
    flips=st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), max_size=4),
)
def test_a_damaged_file_is_read_or_is_one_line(
    source: Path, cut: float, flips: list[tuple[float, int]]
) -> None:
    data = bytearray(source.read_bytes())
    for place, value in flips:
        data[int(place * len(data))] = value
    folder = Path(tempfile.mkdtemp())
    try:
        path = folder / source.name
        path.write_bytes(data[: int(len(data) * max(cut, 0.01))])
        for found in read(path):
            assert np.isfinite(found.watched)
    except UsageError as error:
        assert "\n" not in str(error) and len(str(error)) < 2000
    finally:
        shutil.rmtree(folder)
