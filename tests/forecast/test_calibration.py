"""A run teaches the engine that made it, and the forecast of another setting is what that engine would do."""

import dataclasses
import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from common.usage import UsageError
from forecast.alternatives import unchanged, with_flags
from forecast.calibration import Calibration, calibrate
from forecast.forecast import NAMES, forecast
from forecast.scheduler import Engine
from forecast.slo_rate import slo_rate
from loadgen.records.watched import table
from reports.metrics import request_metrics
from reports.runs.runs import Records
from reports.runs.server_metrics import ServerMetrics
from tests.support.make_engine import ENGINE, FRONT, TIMES, load, make_engine_run, measured


@pytest.fixture(scope="module")
def found() -> Calibration:
    return calibrate(measured(make_engine_run()))


def test_the_engine_s_step_times_are_found(found: Calibration) -> None:
    assert found.step_times.coefficients[:2] == pytest.approx(TIMES[:2], rel=0.05)
    one_prompt = np.array([0, 0, 0, 50, 1, 0])
    assert one_prompt @ found.step_times.coefficients == pytest.approx(one_prompt @ TIMES, rel=0.15)
    assert found.front_end.base == pytest.approx(FRONT.base, abs=0.0007)
    assert (found.settings.engine.max_num_seqs, found.settings.engine.lookahead) == (128, 0)


@pytest.mark.parametrize(
    ("flags", "engine", "rate"),
    [
        ("--max-num-seqs 8", Engine(8, 2048), 20.0),
        ("--max-num-seqs 16", Engine(16, 2048), 20.0),
        ("--max-num-batched-tokens 512", Engine(128, 512), 20.0),
        ("", ENGINE, 10.0),
        ("", ENGINE, 25.0),
    ],
)
def test_a_forecast_is_what_the_engine_then_does(
    found: Calibration, flags: str, engine: Engine, rate: float
) -> None:
    arrivals = load(rate)
    setting = with_flags(found, flags, arrivals) if flags else unchanged(found, arrivals)
    told, real = forecast(found, setting), make_engine_run(arrivals, engine).run
    for name in ("output_token_throughput", "completed_rate"):
        figure = request_metrics.figures(real)[name].value
        assert told.figures[name].value == pytest.approx(figure, rel=0.03)
    truth = request_metrics.percentile(real, "tpot", 0.5).value
    assert truth is None or told.figures["tpot_p50"].value == pytest.approx(truth, rel=0.03)
    for name in NAMES:
        band = told.figures[name]
        assert band.value is None or band.low is None or band.low <= band.value


def test_saturation_is_foreseen(found: Calibration) -> None:
    few = forecast(found, with_flags(found, "--max-num-seqs 4", load()))
    assert few.saturated and not few.maybe
    assert not forecast(found, unchanged(found, load(10.0))).saturated


@pytest.mark.parametrize(("core", "limited"), [(0.9, True), (0.1, False)])
def test_a_front_end_that_fills_its_core_first_is_the_limit(core: float, limited: bool) -> None:
    run = measured(make_engine_run())
    name = "host:process_{}_seconds_total"
    told = {"machine": "master", "process": "API server"}
    rows = [
        (t, name.format(kind), json.dumps(told), core * t)
        for kind in ("cpu", "busiest_thread", "run_queue")
        for t in np.arange(0.0, 60.0)
    ]
    seen = calibrate(dataclasses.replace(run, machine=ServerMetrics(table(rows)), memo={}))
    tokens = request_metrics.figures(run)["output_token_throughput"].value
    assert tokens and seen.front_end_full == pytest.approx(tokens / core, rel=0.01)
    limit = slo_rate(seen, unchanged(seen, load()))
    assert limit.front_end is limited and limit.rate and limit.low and limit.high
    assert (limit.rate == pytest.approx(20 / core, rel=0.15)) is limited
    assert limit.low <= limit.rate <= limit.high


def changed(**update: Any) -> Any:
    run = measured(make_engine_run(load(duration=15.0)))
    return dataclasses.replace(run, manifest=run.manifest.model_copy(update=update), memo={})


def test_a_run_without_chunks_is_refused() -> None:
    made = make_engine_run(load(duration=15.0))
    table = made.table.drop_columns(["chunk_times", "chunk_tokens"])
    with pytest.raises(UsageError, match="no step times in it.*make baseline"):
        calibrate(dataclasses.replace(measured(made), records=Records(table), memo={}))


def test_another_engine_is_refused() -> None:
    with pytest.raises(UsageError, match="no vLLM server is described in it"):
        calibrate(changed(server=None))


def test_a_run_that_was_saturated_from_the_start_is_refused() -> None:
    run = measured(make_engine_run(load(60.0, 15.0), Engine(8, 2048)))
    with pytest.raises(UsageError, match="saturated from the start.*RPS=15"):
        calibrate(run)


def test_two_tokens_a_chunk_are_two_steps() -> None:
    made = make_engine_run()
    lists = made.table["chunk_times"].to_pylist()
    pairs = [[row[0], *row[1:][1::2]] for row in lists]
    tokens = [[1, *[2] * (len(row) - 1)] for row in pairs]
    table = made.table
    for name, values, kind in (("chunk_times", pairs, pa.float64()), ("chunk_tokens", tokens, pa.int32())):
        table = table.set_column(table.schema.get_field_index(name), name, pa.array(values, pa.list_(kind)))
    seen = calibrate(dataclasses.replace(measured(made), records=Records(table), memo={}))
    assert seen.chunk == 2
    assert seen.step_times.coefficients[:2] == pytest.approx(TIMES[:2], rel=0.06)
