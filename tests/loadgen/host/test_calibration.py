"""The stored calibration: kept for each machine, found by the nearest load."""

import json
from pathlib import Path

import pytest

from common.usage import UsageError
from loadgen.host import calibration, machine


def test_the_nearest_load_is_found_by_ratio(tmp_path: Path) -> None:
    path = tmp_path / "results" / "calibration.json"
    rows = [{"chunks_per_s": load, "ttft_error_p50": load / 1e6} for load in (3_000.0, 30_000.0)]
    calibration.store(rows, 20, "2026-01-01T00:00:00Z", path)
    found = [calibration.nearest(load, path) for load in (1.0, 9_000.0, 10_000.0, 1e9)]
    assert [row and row["chunks_per_s"] for row in found] == [3_000, 3_000, 30_000, 30_000]
    assert found[0] is not None and found[0]["measured_at"] == "2026-01-01T00:00:00Z"
    assert calibration.nearest(0, path) is None


def test_no_calibration_is_none(tmp_path: Path) -> None:
    assert calibration.nearest(100, tmp_path / "calibration.json") is None


def test_other_machines_stay_and_do_not_count(tmp_path: Path) -> None:
    path = tmp_path / "calibration.json"
    other = {"machine": {}, "measured_at": "x", "rows": [{"chunks_per_s": 1.0}]}
    path.write_text(json.dumps({"format": 1, "machines": {"another": other}}))
    assert calibration.nearest(1, path) is None
    calibration.store([{"chunks_per_s": 5.0}], 20, "y", path)
    machines = json.loads(path.read_text())["machines"]
    assert machines["another"] == other
    assert machine.key(machine.describe()) in machines


@pytest.mark.parametrize("text", ["{", "[]", '{"format": 2}'])
def test_a_broken_file_is_a_clear_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "calibration.json").write_text(text)
    with pytest.raises(UsageError, match=r"calibration\.json: .*make calibrate"):
        calibration.nearest(1, tmp_path / "calibration.json")


def test_results_can_be_moved(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TOKENSWARM_RESULTS", str(tmp_path))
    assert calibration.file() == tmp_path / "calibration.json"
    monkeypatch.setenv("TOKENSWARM_RESULTS", "")  # as make exports a setting that is not given
    assert calibration.file() == Path("results/calibration.json")
    monkeypatch.delenv("TOKENSWARM_RESULTS")
    assert calibration.file() == Path("results/calibration.json")
