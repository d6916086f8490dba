"""A forecast as a run folder: every metric and rule takes it, and it is marked as one everywhere."""

import json
from pathlib import Path

import numpy as np
import pytest

from forecast.scheduler import Engine
from reports.metrics import gaps
from reports.runs.runs import load_run
from reports.verdict.judge import judge
from tests.support.make_engine import load, make_engine_run


def test_it_is_written_read_and_judged_like_a_run(tmp_path: Path) -> None:
    made = make_engine_run(load(duration=35.0))
    run = load_run(made.write(tmp_path))
    found = judge(run)
    assert found.verdict.label == "VALID"
    assert found.accounting["due"] == found.accounting["completed"] > 600
    assert run.manifest.variant == "baseline (forecast)" and "forecast" in run.name
    assert "forecast" in json.loads((tmp_path / run.name / "manifest.json").read_text())


def test_an_overloaded_engine_is_judged_saturated() -> None:
    found = judge(make_engine_run(load(40.0), Engine(8, 2048)).run)
    assert found.verdict.label == "SATURATED" and found.accounting["unfinished"] > 0


def test_tokens_without_chunks_are_those_with_them() -> None:
    made = make_engine_run(load(duration=15.0), Engine(16, 2048))
    received = gaps.token_flow(made.run)
    assert received is not None
    counts = made.table["output_tokens"].to_numpy()
    assert made.table["chunk_tokens"].combine_chunks().flatten().to_numpy().sum() == counts.sum()
    times = made.table["chunk_times"].to_pylist()
    assert all((np.diff(row) > 0).all() for row in times)
    assert [row[0] for row in times if row] == pytest.approx(made.table["first_token"].drop_null().to_numpy())


@pytest.mark.parametrize("name", ["conversation", "shared-prefix", "mixed", "chat-priority", "steps"])
def test_other_loads_run_to_their_end(name: str) -> None:
    arrivals = load(5.0, 20.0, name) if name != "steps" else load(None, None, name)  # type: ignore[arg-type]
    found = judge(make_engine_run(arrivals).run)
    assert found.accounting["due"] == found.accounting["completed"] + found.accounting["unfinished"] > 20


def test_a_closed_loop_asks_again() -> None:
    arrivals = load(None, 20.0, "closed-loop-chat")  # type: ignore[arg-type]
    run = make_engine_run(arrivals).run
    assert len(run.records) > 2 * len(arrivals.arrivals)
    turns = run.records.numbers("turn")
    assert turns.max() > 2
