"""Which machines are watched, and by whom; what a worker saw of its own reaches the run's folder."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gevent
import pytest

from loadgen.client.transport import Host
from loadgen.host import clock, machine
from loadgen.master.machines import SWITCH, Machines
from loadgen.records import watched
from reports.runs.server_metrics import read_server_metrics
from tests.support.fakeserver import FakeServer


@pytest.fixture(autouse=True)
def _watched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SWITCH, raising=False)


@pytest.fixture(scope="module")
def server() -> Iterator[FakeServer]:
    with FakeServer() as started:
        yield started


def ready(boot: str, space: str, pid: int) -> dict[str, Any]:
    return {"boot": boot, "process": {"pid": pid, "space": space, "began": "1"}}


def test_each_other_machine_is_watched_by_its_first_worker(server: FakeServer) -> None:
    lanes = {
        0: ready("far", "far-1", 10),
        1: ready("far", "far-1", 11),
        2: ready(
            "pods", "pods-1", 10
        ),  # two containers of one machine: each would take the other for a stranger
        3: ready("pods", "pods-2", 10),
        4: ready("", "", 9),  # no Linux
    }
    found = Machines(Host.resolve(server.url("normal")))
    assert found.start(lanes, lambda: 0.0) == {0: [10, 11]}
    found.stop()


def test_what_was_seen_is_written(server: FakeServer, tmp_path: Path) -> None:
    found = Machines(Host.resolve(server.url("normal")))
    here = machine.this_process()
    found.start({0: {"boot": clock.boot(), "process": here}}, lambda: 1.5)
    gevent.sleep(0.1)
    found.stop()
    found.take(watched.pack(watched.table([(2.0, "host:cores", '{"machine": "worker 3"}', 8.0)])))
    found.take(b"no table")
    found.write(tmp_path / "machine.parquet")
    read = read_server_metrics(tmp_path / "machine.parquet")
    assert {labels["machine"] for labels in read.label_sets("host:cores")} == {"master", "worker 3"}
    assert "host:cpu_seconds_total" in read.names


def test_it_can_be_switched_off(monkeypatch: pytest.MonkeyPatch, server: FakeServer, tmp_path: Path) -> None:
    monkeypatch.setenv(SWITCH, "0")
    found = Machines(Host.resolve(server.url("normal")))
    assert found.start({0: ready("far", "far-1", 10)}, lambda: 0.0) == {}
    found.stop()
    found.write(tmp_path / "machine.parquet")
    assert list(tmp_path.iterdir()) == []
