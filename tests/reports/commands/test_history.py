"""The table of all runs, and what of it is read."""

import json
import re
from pathlib import Path

import pytest

from bench.synthetic import Shape, edit_manifest, make_run
from common.usage import UsageError
from reports.runs.index import index
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
    runs, problems = index(results)
    assert [each.run[:8] for each in runs] == ["20260102", "20260101", "20260100"] and not problems
    assert runs[0].summary.verdict is None and runs[0].manifest.seed == 2


def test_a_summary_of_an_earlier_version_is_read_with_todays_names(results: Path) -> None:
    folder = results / "20260101T000000Z-baseline"
    summary = {"verdict": "VALID", "accounting": {}, "metrics": {"goodput_share": {"value": 0.9}}}
    (folder / "summary.json").write_text(json.dumps(summary))
    [entry] = [each for each in index(results)[0] if each.run == folder.name]
    assert (entry.summary.verdict, entry.summary.metrics) == ("VALID", {"slo_attainment": 0.9})


def test_a_damaged_run_is_listed_with_the_reason(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = results / "20260103T000000Z-broken"
    folder.mkdir()
    (folder / "manifest.json").write_text('{"format": 1')
    (results / "20260100T000000Z-baseline" / "summary.json").write_text("[1")
    (results / "20260101T000000Z-baseline" / "summary.json").write_text('{"metrics": {"ttft_p50": 1}}')
    [problem] = index(results)[1]
    assert problem.run == folder.name and "cut off" in problem.problem
    assert main(["history"]) == 0
    out = capsys.readouterr().out
    assert (
        out.count("unreadable") == 3
        and "summary.json: cannot be read" in out
        and "not a summary" in out
        and "4 runs" in out
    )


def test_the_command(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    summarise(results / "20260102T000000Z-baseline", "SATURATED", 0.0123)
    assert main(["history", "--limit", "1"]) == 0
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
