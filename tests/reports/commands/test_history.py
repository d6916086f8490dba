"""The index of all runs."""

import json
import os
import re
from pathlib import Path

import pytest

from bench.synthetic import Shape, edit_manifest, make_run
from common.usage import UsageError
from reports.commands.history import INDEX, history
from tokenswarm.__main__ import run as main


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TOKENSWARM_RESULTS", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "250")
    for number in range(3):
        make_run(tmp_path / f"2026010{number}T000000Z-baseline", Shape(rate=5, duration=5, seed=number))
        edit_manifest(
            tmp_path / f"2026010{number}T000000Z-baseline", started_at=f"2026-01-0{number + 1}T00:00:00+00:00"
        )
    return tmp_path


def summarise(folder: Path, verdict: str, tpot: float) -> None:
    counts = {"due": 9, "completed": 8, "failed": 1, "unfinished": 0, "lost": 0}
    summary = {
        "run": folder.name,
        "verdict": verdict,
        "accounting": counts,
        "metrics": {"tpot_p50": {"value": tpot}},
    }
    (folder / "summary.json").write_text(json.dumps(summary), encoding="utf-8")


def test_newest_first_and_unjudged_ones_too(results: Path) -> None:
    rows = history(results)
    assert [row["run"][:8] for row in rows] == ["20260102", "20260101", "20260100"]
    assert rows[0]["verdict"] is None and rows[0]["seed"] == 2


def test_the_index_follows_the_files(results: Path) -> None:
    history(results)
    folder = results / "20260101T000000Z-baseline"
    summarise(folder, "VALID", 0.011)
    row = next(row for row in history(results) if row["run"] == folder.name)
    assert (row["verdict"], row["completed"], row["metrics"]["tpot_p50"]) == ("VALID", 8, 0.011)
    summarise(folder, "INVALID", 0.5)
    os.utime(folder / "summary.json", ns=(1, 1))
    row = next(row for row in history(results) if row["run"] == folder.name)
    assert row["verdict"] == "INVALID"
    (folder / "manifest.json").unlink()
    assert len(history(results)) == 2


def test_an_index_that_is_up_to_date_reads_no_manifest(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = history(results)

    def never(folder: Path) -> None:
        raise AssertionError(f"{folder} was read again")

    monkeypatch.setattr("reports.commands.history.read_manifest", never)
    assert history(results) == before


def test_a_damaged_index_is_made_anew(results: Path) -> None:
    before = history(results)
    (results / INDEX).write_text("no database, but long enough to look like one" * 100)
    assert history(results) == before
    whole = (results / INDEX).read_bytes()
    (results / INDEX).write_bytes(whole[: len(whole) // 2])
    assert history(results) == before
    (results / INDEX).unlink()
    assert history(results) == before
    assert len(history(results, rebuild=True)) == 3


def test_a_damaged_run_is_listed_with_the_reason(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = results / "20260103T000000Z-broken"
    folder.mkdir()
    (folder / "manifest.json").write_text('{"format": 1')
    row = next(row for row in history(results) if row["run"] == folder.name)
    assert "cut off" in row["problem"]
    assert main(["history"]) == 0
    out = capsys.readouterr().out
    assert "unreadable" in out and "4 runs" in out


def test_the_command(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    summarise(results / "20260102T000000Z-baseline", "SATURATED", 0.0123)
    assert main(["history", "--rebuild", "--limit", "1"]) == 0
    out = capsys.readouterr().out
    assert "SATURATED" in out and "12.3" in out and "20260101T" not in out
    assert main(["history", "--variant", "nobody"]) == 0
    assert "No runs" in capsys.readouterr().out
    with pytest.raises(UsageError, match="--limit"):
        main(["history", "--limit", "0"])


def test_a_narrow_terminal_has_whole_lines(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["history"]) == 0
    whole = capsys.readouterr().out
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["history"]) == 0
    heading, *rows = capsys.readouterr().out.splitlines()
    assert max(map(len, (heading, *rows[:3]))) <= 80
    assert {"run", "verdict", "tok/s", "TTFT p99"} <= set(re.split(r"  +", heading))
    assert rows[3].startswith("No room for: variant, seed, target")
    assert "No room for" not in whole and "latency p50" in whole


def test_no_results_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKENSWARM_RESULTS", str(tmp_path / "none"))
    with pytest.raises(UsageError, match="no results yet"):
        main(["history"])
