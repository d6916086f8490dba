"""`tokenswarm forecast`: the table, what is refused in one line, what is kept and scored."""

import json
from pathlib import Path

import pytest

from common.usage import UsageError, exit_code
from forecast.scheduler import Engine
from reports.metrics.server_side import server_side
from reports.roofline.forecasts import forecasts
from reports.runs.runs import load_run
from tests.support.make_engine import load, make_engine_run, write
from tokenswarm.__main__ import run as tokenswarm


def main(words: list[str]) -> int:
    return tokenswarm(["forecast", *words])


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    write(make_engine_run(), folder)
    return folder


@pytest.fixture(autouse=True)
def here(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKENSWARM_RESULTS", str(results))


def baseline(results: Path) -> str:
    return next(results.glob("*-baseline")).name


def test_the_table_has_a_row_for_each_setting_and_rate(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [baseline(results), "--set", "--max-num-seqs 8", "--set", "--max-num-seqs 16", "--rates", "5,20"]
    assert main([*words, "--duration", "20"]) == 0
    told = capsys.readouterr().out
    assert told.count("max-num-seqs") >= 4 and "SATURATED" in told
    assert "a step takes 4." in told and "Most worth measuring" in told


def test_another_scenario_and_gpu(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([baseline(results), "--scenario", "rag-small", "--rates", "2", "--duration", "20"]) == 0
    assert "baseline" in capsys.readouterr().out
    with pytest.raises(UsageError, match="does not hold the model's config"):
        main([baseline(results), "--gpu", "H100"])


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--rates", "5,fast"], "--rates '5,fast': must be numbers"),
        (["--rates", "-1"], "--rates"),
        (["--set", "max-num-seqs 8"], "must be flags of the server"),
        (["--set", "--max-num-seqs none"], "--max-num-seqs must be a whole number"),
        (["--set", "--quantization fp8"], "cannot say what --quantization does"),
        (["--gpu", "Z9000"], "not in hardware.yaml"),
        (["no-such-variant"], "no-such-variant"),
        (["--scenario", "nowhere"], "nowhere"),
    ],
)
def test_a_mistake_is_one_line(
    results: Path, words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(lambda: main([baseline(results), *words])) == 2
    told = capsys.readouterr().err.strip()
    assert says in told and "\n" not in told


def test_an_unknown_run_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(lambda: main(["nowhere"])) == 2
    assert "nowhere" in capsys.readouterr().err


def test_a_kept_forecast_is_held_to_its_run(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = write(make_engine_run(load(), Engine(8, 2048)), tmp_path, "optimized")
    (real / "summary.json").write_text("{}")
    assert main([str(results / baseline(results)), "optimized", "--keep", str(real)]) == 0
    assert "forecast for optimized from" in capsys.readouterr().err
    run = load_run(real)
    rows = forecasts([run], {run.name: server_side(run)})
    assert {row.label for row in rows} >= {"output tokens/s", "TPOT p50", "TTFT p50"}
    tokens = rows[0]
    assert tokens.inside and tokens.measured == pytest.approx(tokens.forecast, rel=0.03)
    monkeypatch.setenv("TOKENSWARM_RESULTS", str(tmp_path))
    assert main(["--score"]) == 0
    assert "tok/s        median error" in capsys.readouterr().out
    kept = json.loads((real / "forecast.json").read_text())
    kept["figures"]["output_token_throughput"] = {"low": 1.0, "value": 2.0, "high": 3.0}
    (real / "forecast.json").write_text(json.dumps(kept))
    outside = forecasts([run], {run.name: server_side(run)})[0]
    assert outside.inside is False and outside.broke
    for damaged in ("", "[]", '{"figures": 1}', json.dumps(kept | {"schedule_digest": "other"})):
        (real / "forecast.json").write_text(damaged)
        assert forecasts([run], {}) == []


def test_without_history_there_is_no_score(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKENSWARM_RESULTS", str(tmp_path))
    with pytest.raises(UsageError, match="no judged run with a forecast"):
        main(["--score"])
    with pytest.raises(UsageError, match="no run of baseline yet"):
        main([])
