"""Folders that an earlier version (commit 339e325) wrote are read as before: judged, reported, recovered."""

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from common.places import ROOT
from common.results import MANIFEST, RECORDS, SUMMARY
from loadgen.records.collect import recover
from tokenswarm.__main__ import run as main

BEFORE = (
    ROOT / "tests" / "data" / "before"
)  # made against bench.metronome; the second one's master was killed
FIGURES = (
    *("output_token_throughput", "offered_rate", "completed_rate", "ttft_p50", "ttft_p99", "tpot_p50"),
    *("latency_p50", "latency_p99", "itl_p50", "itl_p99"),
)


def copied(name: str, folder: Path) -> Path:
    home = folder / name
    shutil.copytree(BEFORE / name, home)
    return home


def read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def test_a_run_is_judged_as_before(tmp_path: Path) -> None:
    home = copied("run", tmp_path)
    before = read(home / SUMMARY)
    (home / SUMMARY).unlink()
    assert before["verdict"] == "INVALID"  # then, too few requests hid what was measured
    assert main(["judge", str(home)]) == 4
    after = read(home / SUMMARY)
    for key in ("accounting", "accounting_all", "errors"):
        assert after[key] == before[key] | ({} if key == "errors" else {"empty": 0})
    for name in FIGURES:
        for key in ("value", "unit", "count", "lower_bound", "upper_bound"):
            assert after["metrics"][name][key] == before["metrics"][name][key], (name, key)


def test_a_run_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKENSWARM_RESULTS", str(tmp_path))
    home = copied("run", tmp_path)
    main(["report", str(home)])
    (report,) = tmp_path.glob("reports/*/README.md")
    assert "INVALID" in report.read_text(encoding="utf-8")


def test_a_run_whose_master_died_is_recovered_as_before(tmp_path: Path) -> None:
    home = copied("interrupted", tmp_path)
    assert recover([home]) == home
    manifest = read(home / MANIFEST)
    assert {key: manifest[key] for key in ("due", "ended", "schedule_end", "scenario_hash")} == {
        "due": 44,
        "ended": "interrupted",
        "schedule_end": 5.560280849000264,
        "scenario_hash": "e24536585c5d",
    }
    assert pq.read_table(home / RECORDS)["status"].to_pylist() == ["completed"] * 44
    assert main(["judge", str(home)]) == 5
    summary = read(home / SUMMARY)
    assert summary["accounting"]["due"] == 22
    assert summary["metrics"]["ttft_p50"]["value"] == pytest.approx(0.0504, abs=1e-4)
