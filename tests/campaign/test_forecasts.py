"""What a campaign says and keeps before a run, and where a search for the capacity begins."""

import json
import os
from pathlib import Path

import pytest

from campaign import forecasts
from campaign.load import Load
from tests.support.make_engine import load, make_engine_run, write


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    made = write(make_engine_run(load(duration=35.0)), folder)
    (made / "summary.json").write_text('{"verdict": "VALID"}')
    return folder


@pytest.fixture(autouse=True)
def results(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKENSWARM_RESULTS", str(runs))


def asked(**options: str) -> Load:
    return Load(
        "cpu-tiny", None, 8000, "locustfiles/chat.py", 1, None, "chat-medium", {"duration": "20"} | options
    )


def test_the_forecast_is_said_and_kept_before_the_run(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    forecasts.foretell(asked(), "optimized", tmp_path)
    told = capsys.readouterr().err.strip()
    assert "forecast for optimized from" in told
    assert "\n" not in told and "SATURATED" in told and "tok/s" in told
    kept = json.loads((tmp_path / "forecast.json").read_text())
    assert kept["setting"] == "optimized" and kept["saturated"]


def test_where_nothing_can_be_said_the_run_goes_on(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    forecasts.foretell(asked(), "baseline", tmp_path)  # it would be forecast from itself
    monkeypatch.setenv("TOKENSWARM_RESULTS", str(tmp_path))
    forecasts.foretell(asked(), "optimized", tmp_path)  # no run to forecast it from
    assert capsys.readouterr().err == "" and not list(tmp_path.iterdir())
    (tmp_path / "20260101T000000Z-baseline").mkdir()
    (tmp_path / "20260101T000000Z-baseline" / "summary.json").write_text('{"verdict": "TOO-SHORT"}')
    forecasts.foretell(asked(), "optimized", tmp_path)
    assert capsys.readouterr().err.strip().endswith("no run of baseline on cpu-tiny is VALID")


def test_a_waiting_forecast_goes_to_the_run_that_was_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKENSWARM_RESULTS", str(tmp_path))
    waiting = forecasts.waiting_folder()
    (waiting / "forecast.json").write_text("{}")
    run = tmp_path / "20260101T000000Z-optimized"
    run.mkdir()
    (run / "manifest.json").write_text("{}")
    forecasts.settle("optimized")
    assert (run / "forecast.json").is_file() and not waiting.exists()
    (forecasts.waiting_folder() / "forecast.json").write_text("{}")
    os.utime(run, (0, 0))  # an older run; this one made none
    forecasts.settle("optimized")
    assert not waiting.exists()


def test_a_search_begins_where_the_limit_is_expected(runs: Path) -> None:
    begun = forecasts.begin_at(asked(), "optimized")
    assert 6 < float(begun.options["rps"]) < 10, "8 at a time with steps of about 6 ms and 150 tokens"
    assert forecasts.begin_at(asked(rps="3"), "optimized").options["rps"] == "3"
