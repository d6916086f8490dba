"""Stalls: seconds without a token in the middle of answers."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from bench.synthetic import Shape, make_run
from reports.metrics.stalls import stalls
from reports.runs.runs import load_run

BUSY = Shape(rate=10, duration=20, warmup=2, ttft=0.05, tpot=0.05, output=40, arrivals="constant")


def delay(folder: Path, start: float, end: float) -> None:
    """Whatever the server sent from `start` on comes at `end` at the earliest, as from a buffer."""
    path = folder / "requests.parquet"
    table = pq.read_table(path)
    for name in ("first_byte", "first_token", "last_token", "end"):
        at = table[name].combine_chunks()
        held = pc.if_else(pc.and_(pc.greater_equal(at, start), pc.less(at, end)), end, at)
        table = table.set_column(table.schema.get_field_index(name), table.schema.field(name), held)
    lists = table["chunk_times"].combine_chunks()
    times = lists.values.to_numpy()
    held_times = np.where((times >= start) & (times < end), end, times)
    chunks = pa.ListArray.from_arrays(lists.offsets, held_times)
    place = table.schema.get_field_index("chunk_times")
    pq.write_table(table.set_column(place, table.schema.field(place), chunks), path)


def test_a_server_that_keeps_sending_has_none(tmp_path: Path) -> None:
    make_run(tmp_path / "run", BUSY)
    assert stalls(load_run(tmp_path / "run")) == []


def test_a_stall_in_the_middle_of_answers(tmp_path: Path) -> None:
    make_run(tmp_path / "run", BUSY)
    delay(tmp_path / "run", 10.0, 13.5)
    (stall,) = stalls(load_run(tmp_path / "run"))
    assert (stall.start, stall.end) == (10.0, 13.0)
    assert stall.streaming == pytest.approx(20, abs=2)  # 10 a second for 2 s each


def test_a_pause_without_answers_under_way_is_none(tmp_path: Path) -> None:
    """One short request every 5 s, and one long prompt after the other: silence, but no stall."""
    make_run(tmp_path / "idle", BUSY, rate=0.2)
    make_run(tmp_path / "reading", BUSY, rate=0.2, ttft=4.0, output=5)
    assert stalls(load_run(tmp_path / "idle")) == []
    assert stalls(load_run(tmp_path / "reading")) == []
