"""A batch that cannot be read costs its own arrivals, and no other's."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.usage import UsageError
from loadgen.host import machine
from loadgen.records.collect import BATCHES, DRAFT, SET_ASIDE, Collector, recover
from loadgen.records.outbox import pack
from loadgen.records.record import COMPLETED, LOST, Record, to_table
from loadgen.workload.scenario import Scenario
from loadgen.workload.schedule import schedule

SCENARIO = Scenario.from_dict(
    {"name": "s", "rate": 5, "duration": 4, "warmup": 0, "prompt_tokens": 9, "output_tokens": 3}
)


def batch(arrivals: list[int], lane: int = 0) -> bytes:
    rows = [
        Record(number, lane, "s", number / 9, COMPLETED, sent=4.0, end=4.0, chunk_times=np.zeros(2))
        for number in arrivals
    ]
    return pack(to_table(rows))


SOUND = batch([0, 1])
WRONG = {
    "empty": b"",
    "garbage": b"garbage",
    "cut": SOUND[: len(SOUND) // 2],
    "another lane's": batch([2, 3], lane=1),
    "other columns": pack(pa.table({"arrival": [1]})),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_batch_is_set_aside_and_the_others_are_written(what: str, tmp_path: Path) -> None:
    collector = Collector(tmp_path)
    for number, content in enumerate([SOUND, WRONG[what], batch([4])]):
        collector.receive(0, number, content)
        collector.receive(0, number, content)
    assert collector.received(0) == 3, "it is not asked for again"
    assert collector.settle() == {0: 3}
    (aside,) = collector.set_aside
    assert (aside.lane, aside.batch) == (0, 1) and aside.why and "\n" not in aside.why
    assert collector.write([]) == {0: 3}
    assert pq.read_table(tmp_path / "requests.parquet")["arrival"].to_pylist() == [0, 1, 4]
    assert [path.read_bytes() for path in (tmp_path / SET_ASIDE).iterdir()] == [WRONG[what]]


@given(place=st.integers(0, len(SOUND) - 1), value=st.integers(0, 255), keep=st.integers(0, len(SOUND)))
def test_whatever_bytes_a_batch_has_nothing_escapes(
    place: int, value: int, keep: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("run")
    collector = Collector(folder)
    spoilt = bytearray(SOUND)
    spoilt[place] = value
    collector.receive(0, 0, bytes(spoilt[:keep]))
    collector.receive(0, 1, batch([4]))
    collector.settle()
    collector.write([])
    assert 4 in pq.read_table(folder / "requests.parquet")["arrival"].to_pylist()


def test_what_was_removed_or_spoilt_meanwhile_is_known(tmp_path: Path) -> None:
    collector = Collector(tmp_path)
    for number in range(4):
        collector.receive(0, number, batch([number]))
    first, second, *_ = sorted((tmp_path / BATCHES).iterdir())
    first.unlink()
    second.write_bytes(b"")
    assert collector.settle() == {0: 2}
    assert collector.gone == 1 and [each.batch for each in collector.set_aside] == [1]


def test_recover_reads_what_is_good(tmp_path: Path) -> None:
    load = schedule(SCENARIO, 1)
    (tmp_path / BATCHES).mkdir()
    master = machine.this_process() | {"began": "1"}
    draft = {"master": master, "scenario": SCENARIO.to_dict(), "seed": 1, "schedule_end": 4.0}
    draft |= {"lane_count": 1, "clocks": []}
    (tmp_path / DRAFT).write_text(json.dumps(draft))
    for number, content in enumerate([SOUND, b"garbage"]):
        (tmp_path / BATCHES / f"lane-0000-{number:06}.arrow").write_bytes(content)
    (tmp_path / BATCHES / "lane-x.arrow").write_bytes(SOUND)
    recover([tmp_path])
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    records = pq.read_table(tmp_path / "requests.parquet").to_pandas()
    assert sorted(records["arrival"]) == [arrival.number for arrival in load.arrivals]
    assert manifest["due"] == len(records) and (records["status"] == LOST).sum() == len(records) - 2
    assert [each["batch"] for each in manifest["set_aside"]] == [1, -1]
    assert f"2 batches could not be read, see {SET_ASIDE}/" in manifest["ended_why"]


def test_where_no_batch_is_good_recover_says_why(tmp_path: Path) -> None:
    (tmp_path / BATCHES).mkdir()
    master = machine.this_process() | {"began": "1"}
    (tmp_path / DRAFT).write_text(json.dumps({"master": master, "lane_count": 1, "clocks": []}))
    (tmp_path / BATCHES / "lane-0000-000000.arrow").write_bytes(b"garbage")
    with pytest.raises(UsageError, match="holds no records that can be read"):
        recover([tmp_path])
