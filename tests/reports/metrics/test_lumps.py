"""Streams that a buffer holds back are told from those that are merely fast."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.synthetic import make_run
from reports.metrics.gaps import token_flow
from reports.metrics.lumps import _shapes
from reports.runs.runs import load_run
from reports.verdict.rule import Verdict
from reports.verdict.rules.path import stream_lumps
from reports.verdict.validity import check, verdict


def held_back(folder: Path, every: float) -> None:
    """Change each stream as a buffer would that hands on what it has once in `every` seconds."""
    table = pq.read_table(folder / "requests.parquet")
    at = table.schema.get_field_index("chunk_times")
    times = [
        None if each is None else [float(np.ceil(time / every) * every) for time in each]
        for each in table["chunk_times"].to_pylist()
    ]
    column = pa.array(times, table.schema.field(at).type)
    pq.write_table(table.set_column(at, table.schema.field(at), column), folder / "requests.parquet")


def test_a_stream_as_it_was_sent_has_no_lumps(tmp_path: Path) -> None:
    make_run(tmp_path, jitter=0.2)
    found = token_flow(load_run(tmp_path)).lumps
    assert found.lumpy == 0 and found.streams > 1000
    assert stream_lumps(load_run(tmp_path)).passed


@pytest.mark.parametrize(("every", "word"), [(0.2, "http-no-delay"), (0.1, "holds chunks back")])
def test_a_buffer_is_told_with_its_pause_and_the_run_stays_valid(
    tmp_path: Path, every: float, word: str
) -> None:
    make_run(tmp_path, output=100)
    held_back(tmp_path, every)
    found = token_flow(load_run(tmp_path)).lumps
    assert found.share > 0.99
    assert found.pause == pytest.approx(every, rel=0.01)
    assert found.size == pytest.approx(every / 0.01, rel=0.2)  # the first and last are cut
    rules = check(load_run(tmp_path))
    rule = next(rule for rule in rules if rule.rule == "stream_lumps")
    assert not rule.passed and word in rule.advice
    assert rule.verdict is Verdict.VALID and verdict([rule]) is Verdict.VALID


@given(
    step=st.floats(0.0001, 0.05),
    count=st.integers(8, 200),
    pauses=st.lists(st.floats(0.0, 0.1), min_size=0, max_size=3),
)
def test_some_pauses_in_a_steady_stream_are_no_lumps(step: float, count: int, pauses: list[float]) -> None:
    """A fast server that stops now and then is no buffer, while its steps fill more time than its stops."""
    gaps = np.full(count - 1, step)
    gaps[: len(pauses)] += pauses
    if sum(pauses) > 0.8 * gaps.sum() and step < 0.001:
        return
    times = np.concatenate([[1.0], 1.0 + np.cumsum(gaps)])
    size, _ = _shapes(times, np.array([0, count]), np.array([True]))
    assert len(size) == 0


@given(
    lump=st.integers(2, 30), lumps_=st.integers(3, 20), pause=st.floats(0.02, 1.0), before=st.integers(0, 5)
)
def test_lumps_are_found_wherever_the_stream_stands(
    lump: int, lumps_: int, pause: float, before: int
) -> None:
    if lump * lumps_ < 8:
        return
    one = np.repeat(np.arange(lumps_) * pause, lump) + 5.0
    times = np.concatenate([np.linspace(0, 1, before), one])
    offsets = np.array([0, before, before + len(one)])
    size, found = _shapes(times, offsets, np.array([False, True]))
    assert size == pytest.approx([lump]) and found == pytest.approx([pause])
