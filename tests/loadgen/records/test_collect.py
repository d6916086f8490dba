"""Records on their way to disk: each arrives once, none is lost, a dead master costs none."""

import json
import os
import random
from array import array
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.usage import UsageError
from loadgen.host import machine
from loadgen.records.collect import BATCHES, DRAFT, Collector, lost_records, recover
from loadgen.records.outbox import Outbox, pack
from loadgen.records.record import COMPLETED, FAILED, LOST, SCHEMA, Record, to_table
from loadgen.workload.scenario import Scenario
from loadgen.workload.schedule import schedule
from tokenswarm.__main__ import run


def record(arrival: int, lane: int = 0, chunks: int = 2) -> Record:
    times = np.arange(chunks) * 0.01 + arrival
    return Record(arrival, lane, "chat", float(arrival), COMPLETED, end=arrival + 1.0, chunk_times=times)


def test_a_run_that_goes_on_is_not_recovered(tmp_path: Path) -> None:
    (tmp_path / DRAFT).write_text(json.dumps({"master": machine.this_process()}))
    with pytest.raises(UsageError, match=f"its run goes on, in process {os.getpid()}"):
        recover([tmp_path])
    (tmp_path / DRAFT).write_text("")
    with pytest.raises(UsageError, match="ended before it had begun; there is nothing to recover"):
        recover([tmp_path])


def test_what_dead_masters_left_is_listed_with_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKENSWARM_RESULTS", str(tmp_path))
    here = machine.this_process()
    dead = here | {"began": "1"}  # its number is another process's now
    for name, master in (("dead", dead), ("lives", here), ("unanswered", dead)):
        (tmp_path / name / BATCHES).mkdir(parents=True)
        (tmp_path / name / DRAFT).write_text(json.dumps({"master": master}))
    for name in ("dead", "lives"):
        (tmp_path / name / BATCHES / "lane-0-1.arrow").touch()
    (tmp_path / "prepares").mkdir()
    (tmp_path / "prepares" / DRAFT).touch()
    assert run(["history"]) == 0
    where = tmp_path / "dead"
    command = f"tokenswarm recover {where}"
    told = capsys.readouterr().out.splitlines()
    assert told[1:] == [f"{where}: no run yet; if its master died, `{command}` makes one"]


def test_records_become_a_table_with_their_lists() -> None:
    rows = [record(3, chunks=3), Record(4, 1, "chat", 4.0, LOST), record(5, chunks=0)]
    rows[0].chunk_tokens = array("i", [1, 2, 1])
    table = to_table(rows)
    assert table.schema == SCHEMA
    assert table["chunk_times"].to_pylist() == [pytest.approx([3.0, 3.01, 3.02]), None, []]
    assert table["chunk_tokens"].to_pylist() == [[1, 2, 1], None, None]


@given(
    sizes=st.lists(st.integers(0, 1200), min_size=1, max_size=4),
    seed=st.integers(0, 2**16),
)
def test_every_record_arrives_once_whatever_is_sent_twice(
    sizes: list[int], seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder, chance = tmp_path_factory.mktemp("run"), random.Random(seed)
    (folder / BATCHES).mkdir()
    collector, held = Collector(folder), list[tuple[int, bytes]]()
    outbox = Outbox(lambda number, content: held.append((number, content)))
    wanted: list[int] = []
    for size in sizes:
        for _ in range(size):
            wanted.append(len(wanted))
            outbox.add(record(wanted[-1], chunks=1))
        outbox.flush()
        outbox.repeat()
        chance.shuffle(held)
        for number, content in held:
            collector.receive(0, number, content)
            outbox.acknowledge(number)
        held.clear()
    assert outbox.unacknowledged == 0 and collector.received(0) == outbox.sent
    counts = collector.write([])
    assert counts == ({0: len(wanted)} if wanted else {})
    assert pq.read_table(folder / "requests.parquet")["arrival"].to_pylist() == wanted
    assert (folder / BATCHES).exists(), "until the manifest is written, they can be recovered from"
    collector.discard()
    assert not (folder / BATCHES).exists()


def test_a_row_that_cannot_be_stored_costs_no_other(tmp_path: Path) -> None:
    got: list[bytes] = []
    outbox = Outbox(lambda number, content: got.append(content))
    rows = [record(number) for number in range(4)]
    rows[1].output_tokens, rows[2].error = 5_000_000_000, "half \ud83d"
    for row in rows:
        outbox.add(row)
    outbox.flush()
    table = pa.ipc.open_file(got[0]).read_all()
    assert table["arrival"].to_pylist() == [0, 1, 2, 3]
    assert table["status"].to_pylist() == [COMPLETED, FAILED, FAILED, COMPLETED]
    assert table["error"].to_pylist()[1:3] == ["what the server said of it cannot be stored"] * 2


def test_what_the_master_never_got_is_kept(tmp_path: Path) -> None:
    outbox = Outbox(lambda number, content: None)
    outbox.add(record(1))
    outbox.flush()
    outbox.add(record(2))
    assert outbox.leave(tmp_path, 3) == 2
    found = [pa.ipc.open_file(path).read_all() for path in sorted(tmp_path.iterdir())]
    assert [table["arrival"].to_pylist() for table in found] == [[1], [2]]


def test_lost_arrivals_are_those_due_without_a_record() -> None:
    scenario = Scenario.load("chat-low").with_overrides(duration=10)
    plan = schedule(scenario, 1)
    known = {arrival.number for arrival in plan.arrivals if arrival.lane_key % 2 == 0}
    lost = lost_records(scenario, 1, 2, known, until=8.0)
    assert {each.arrival for each in lost} == {
        arrival.number for arrival in plan.arrivals if arrival.lane_key % 2 and (arrival.due or 0) < 8.0
    }
    assert {each.lane for each in lost} == {1} and {each.status for each in lost} == {LOST}


def test_the_file_grows_in_row_groups_by_arrival(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loadgen.records.record_file.GROUP", 1)
    collector = Collector(tmp_path)
    for number, arrivals in enumerate([(2, 0), (1, 4)]):
        collector.receive(0, number, pack(to_table([record(arrival) for arrival in arrivals])))
    assert collector.settle() == {0: 4} and not (tmp_path / "requests.parquet").exists()
    assert collector.write([Record(3, 1, "chat", 3.0, LOST)]) == {0: 4}
    found = pq.ParquetFile(tmp_path / "requests.parquet")
    groups = [found.read_row_group(group)["arrival"].to_pylist() for group in range(found.num_row_groups)]
    assert groups == [[0, 2], [1, 4], [3]]


def test_a_batch_that_is_spoilt_by_now_is_not_in_the_file(tmp_path: Path) -> None:
    collector = Collector(tmp_path)
    for number in range(3):
        collector.receive(0, number, pack(to_table([record(number)])))
    sorted((tmp_path / BATCHES).iterdir())[1].write_bytes(b"ARROW1")
    assert collector.settle() == {0: 2} and collector.write([]) == {0: 2}
    assert pq.read_table(tmp_path / "requests.parquet")["arrival"].to_pylist() == [0, 2]
