"""The machine beside a run: whose CPU time is whose."""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from loadgen.host import processes, watch
from loadgen.host.processes import Process
from loadgen.host.sockets import Listener, Sockets
from loadgen.host.watch import Watch

ME = os.getpid()
PORT = 8000
HOME = b"0100007F"  # 127.0.0.1


def process(
    parent: int, own: float = 0.0, group: int = 0, name: str = "python", reaped: float = 0.0
) -> Process:
    return Process(parent, group, own, reaped, 7, name)


class Told(Sockets):
    """(pid, port) of each that listens; (pid, own port, far port) of each connection."""

    def __init__(self, *told: tuple[Any, ...]) -> None:
        self.listening = [Listener(each[0], HOME, each[1]) for each in told if len(each) == 2]
        self._far = [each for each in told if len(each) == 3]

    def ends(self, pids: Iterable[int]) -> set[tuple[bytes, int]]:
        own = {(each.pid, each.port) for each in self.listening}
        return {(HOME, far) for pid, port, far in self._far if pid in pids and (pid, port) not in own}


# 10 is vLLM's API server, a shell's child; 11 its engine core; 20 a stranger's; ME a child of 5.
TREE = {
    1: process(0, name="systemd"),
    5: process(1, group=5, name="bash"),
    ME: process(5, group=ME),
    ME + 1: process(ME, group=ME),
    10: process(5, group=10, name="vllm"),
    11: process(10, group=10, name="VLLM::EngineCor"),
    20: process(1, group=20, name="burner"),
}


def test_the_server_is_who_listens_and_all_that_it_started(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = processes.descendants({ME}, TREE) | processes.ancestors(ME, TREE)
    assert ours == {1, 5, ME, ME + 1}

    def found(*sockets: tuple[Any, ...]) -> set[int] | None:
        monkeypatch.setattr(processes, "Sockets", lambda pids: Told(*sockets))
        return processes.serving([PORT], TREE, ours)

    assert found((10, PORT)) == {10, 11}
    assert found((11, PORT)) == {10, 11}, "an API server that a parent of its group started"
    assert found((20, PORT), (20, 50001, 9000), (10, 9000)) == {20, 10, 11}, "a gateway"
    assert found((20, PORT), (20, PORT, 9000), (10, 9000)) == {20}, "who asked it is no server"
    assert found() is None and found((None, PORT)) is None
    docker = TREE | {30: process(1, group=30, name="docker-proxy")}
    monkeypatch.setattr(processes, "Sockets", lambda pids: Told((30, PORT)))
    assert processes.serving([PORT], docker, ours) is None, "the server behind it is in a container"


class Machine:
    """Two cores whose processes take what `spend` says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, every_process: bool = True) -> None:
        self.tree, self.stat = dict(TREE), {"busy": 100.0, "interrupts": 5.0, "steal": 1.0, "idle": 500.0}
        monkeypatch.setattr(processes, "table", lambda: dict(self.tree))
        monkeypatch.setattr(processes, "read", self.tree.get)
        monkeypatch.setattr(processes, "sees_all", lambda: every_process)
        monkeypatch.setattr(processes, "Sockets", lambda pids: Told((10, PORT)))
        monkeypatch.setattr(watch, "_stat", lambda: dict(self.stat))
        monkeypatch.setattr(watch.os, "cpu_count", lambda: 2)
        self.watch = Watch([("127.0.0.1", True, PORT)])
        self.watch.look()
        self.watch.rows(0.0)

    def spend(self, steal: float = 0.0, unseen: float = 0.0, **seconds: float) -> None:
        pids = {"client": ME, "worker": ME + 1, "server": 10, "engine": 11, "burner": 20}
        for name, spent in seconds.items():
            old = self.tree[pids[name]]
            self.tree[pids[name]] = process(old.parent, old.own + spent, old.group, old.name)
        busy = sum(seconds.values()) + unseen
        self.stat["busy"] += busy
        self.stat["steal"] += steal
        self.stat["idle"] += 2.0 - busy - steal

    def rows(self, t: float) -> dict[tuple[str, str], float]:
        found = {}
        for _, name, labels, value in self.watch.rows(t):
            told = json.loads(labels)
            assert told.pop("machine") == "master"
            found[name, "".join(told.values())] = value
        return found


def test_cpu_time_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch)
    machine.spend(client=0.1, worker=0.2, server=0.3, engine=0.4, burner=0.5, steal=0.1)
    found = machine.rows(1.0)
    cpu = {
        who: found["host:cpu_seconds_total", who] for who in ("client", "server", "others", "steal", "idle")
    }
    assert cpu == pytest.approx({"client": 0.3, "server": 0.7, "others": 0.5, "steal": 0.1, "idle": 0.4})
    assert found["host:other_cpu_seconds_total", "burner"] == pytest.approx(0.5)
    assert found["host:server_known", ""] == 1 and found["host:cores", ""] == 2
    by_process = {
        name: value for (series, name), value in found.items() if series == "host:process_cpu_seconds_total"
    }
    assert sorted(by_process.values()) == pytest.approx([0.3, 0.4])


def test_a_run_beside_ours_is_no_stranger_and_a_stranger_still_is(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch)
    machine.tree |= {30: process(1, group=30, name="launcher"), 31: process(30, group=31, name="vllm")}
    machine.watch.expect([], 30)
    machine.watch.look()
    machine.tree[31] = process(30, 0.8, 31, "vllm")
    machine.spend(server=0.2, burner=0.4, unseen=0.8)
    found = machine.rows(1.0)
    assert found["host:cpu_seconds_total", "partner"] == pytest.approx(0.8)
    assert found["host:cpu_seconds_total", "others"] == pytest.approx(0.4)
    assert found["host:other_cpu_seconds_total", "burner"] == pytest.approx(0.4)
    assert ("host:other_cpu_seconds_total", "vllm") not in found


def test_children_that_lived_for_less_than_a_second_are_their_parents(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine = Machine(monkeypatch)
    machine.tree[20] = process(1, 0.1, 20, "burner", reaped=0.8)
    machine.spend(unseen=0.9)
    assert machine.rows(1.0)["host:other_cpu_seconds_total", "burner"] == pytest.approx(0.9)


def test_in_a_container_only_what_is_seen_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest may be the server, in another container."""
    machine = Machine(monkeypatch, every_process=False)
    machine.spend(unseen=1.5)
    assert machine.rows(1.0)["host:cpu_seconds_total", "others"] == 0
    machine.spend(burner=1.0, unseen=0.5)
    assert machine.rows(2.0)["host:cpu_seconds_total", "others"] == pytest.approx(1.0)


def test_this_machine_is_read() -> None:
    """The real /proc: some of the rows are there, and this process's own time is the client's."""
    real = Watch([])
    real.look()
    real.rows(0.0)
    sum(number * number for number in range(2_000_000))
    found = {
        name: value for _, name, labels, value in real.rows(1.0) if "client" in labels or "who" not in labels
    }
    assert found["host:cpu_seconds_total"] > 0.01 and found["host:cores"] == os.cpu_count()
    assert found["host:watch_cpu_seconds_total"] > 0


def test_a_process_with_a_device_open_is_accelerated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "ACCELERATORS", (str(tmp_path),))
    assert processes.accelerated([ME]) is False and processes.accelerated([]) is None
    with (tmp_path / "device0").open("w"):
        assert processes.accelerated([2**22 + 1, ME]) is True, "one of them is enough"
    assert processes.accelerated([2**22 + 1]) is None, "of a process that has gone nothing is known"


def test_connections_are_followed_twice_and_again_where_the_server_is_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They are thousands under load, and take long to list."""
    machine = Machine(monkeypatch)
    followed: list[int] = []

    def serving(*_: Any) -> set[int]:
        followed.append(1)
        return {10, 11}

    monkeypatch.setattr(processes, "serving", serving)
    for _ in range(3):
        machine.watch.look()
    assert len(followed) == watch.FOLLOWED - 1, "the first look was before"
    machine.tree[12] = process(10, group=10, name="VLLM::Worker")
    machine.watch.look()
    machine.spend(server=0.1)
    names = {process for name, process in machine.rows(1.0) if name == "host:process_cpu_seconds_total"}
    assert "VLLM::Worker" in names, "what it has started meanwhile is the server's"
    del machine.tree[10], machine.tree[11], machine.tree[12]
    machine.watch.look()
    assert len(followed) == watch.FOLLOWED
