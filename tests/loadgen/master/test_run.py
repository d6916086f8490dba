"""A run on the master: how it waits, what it takes, who is lost."""

import time
from pathlib import Path
from typing import Any

import gevent
import pytest

from common.usage import UsageError
from loadgen.master import scrape
from loadgen.master.machines import Machines
from loadgen.master.partner import Partner
from loadgen.master.run import Run
from loadgen.master.server_info import Server
from loadgen.protocol import messages
from loadgen.protocol.messages import Plan
from loadgen.records.collect import BATCHES
from loadgen.workload.scenario import Scenario
from loadgen.workload.schedule import schedule
from tests.support.pulses import BLANK


def waiting_run(folder: Path, **asked: Any) -> Run:
    """A run whose one worker never gets ready."""
    scenario = Scenario.load("chat-low")
    plan = Plan(
        "run", scenario.to_dict(), 1, "", 1, "http://127.0.0.1:1", "m", True, [], {}, True, False, True, []
    )
    folder.mkdir()
    server = Server("http://127.0.0.1:1", {}, True)
    run = Run(
        folder,
        schedule(scenario, 1),
        plan,
        {},
        {"w": None},
        lambda now: scrape.Scraper(server, now),
        lambda *_: None,
        Machines(),
        **asked,
    )
    run.hand_out([])
    return run


def test_a_run_that_never_began_does_not_wait_for_its_workers_and_leaves_nothing(tmp_path: Path) -> None:
    lost, stopped = waiting_run(tmp_path / "lost"), waiting_run(tmp_path / "stopped")
    with pytest.raises(UsageError, match="worker w was lost before the run began"):
        lost.start(lambda worker: False)
    stopped.interrupt("interrupted by SIGINT")
    with pytest.raises(UsageError, match="interrupted by SIGINT before the first request; nothing was"):
        stopped.start(lambda worker: True)
    (tmp_path / "stopped" / "server.log").touch()
    lost.discard()
    stopped.discard()
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")] == [
        "stopped",
        "stopped/server.log",
    ]


def test_two_runs_side_by_side_agree_on_one_moment(tmp_path: Path) -> None:
    runs = [waiting_run(tmp_path / name, beside=Partner(tmp_path / other)) for name, other in ("ab", "ba")]
    moments: list[float] = []

    def meet(run: Run) -> None:
        assert run._beside is not None
        moments.append(run._meet(run._beside, lambda worker: True))

    first = gevent.spawn(meet, runs[0])
    gevent.sleep(0.1)
    assert not moments, "it waits for the other"
    gevent.joinall([first, gevent.spawn(meet, runs[1])], timeout=10, raise_error=True)
    assert moments[0] == moments[1] > time.perf_counter() + 1
    for run in runs:
        run.discard()
    assert not any(tmp_path.iterdir())


def test_a_run_that_waits_for_the_one_beside_it_can_be_ended(tmp_path: Path) -> None:
    stopped = waiting_run(tmp_path / "a", beside=Partner(tmp_path / "b"))
    assert stopped._beside is not None and stopped._beside.launcher is None
    gevent.spawn_later(0.1, stopped.interrupt, "interrupted by SIGTERM")
    with pytest.raises(UsageError, match="interrupted by SIGTERM before the first request"):
        stopped._meet(stopped._beside, lambda worker: True)
    lost = waiting_run(tmp_path / "c", beside=Partner(tmp_path / "b"))
    assert lost._beside is not None
    with pytest.raises(UsageError, match="worker w was lost before the run began"):
        lost._meet(lost._beside, lambda worker: False)


def test_a_run_whose_server_is_far_behind_launches_no_more_and_drains_as_the_slo_needs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run = waiting_run(tmp_path / "run", stop_when_saturated=True)
    sent: list[tuple[str, dict[str, Any]]] = []
    monkeypatch.setattr(run, "_send", lambda name, data, worker: sent.append((name, data)))
    monkeypatch.setattr(Run, "now", property(lambda self: now))
    run.phase, told = "running", []
    for second in range(60):
        now = float(second)
        counts = {"chat": {"sent": 20 * second, "completed": 5 * second}}
        pulse = BLANK | {"t": now, "due": 20 * second, "in_flight": 15 * second}
        pulse |= {"counts": counts, "digests": {}, "warmup": {}}
        first = ([0], [5], [0.1])
        run.on_pulse(pulse | {"histograms": {"chat": {"first_chunk": first}} if second else {}})
        monkeypatch.setattr("loadgen.master.run.due_between", lambda *_: 20 * (60 - second))  # noqa: B023
        told += [why] if (why := run.stop_early()) else []
    [why] = told
    assert why.startswith("stopped after ") and "falls behind beyond doubt" in why
    [(name, data)] = sent
    assert name == messages.DRAIN and run.schedule.window_start < data["end"] < run.schedule.end
    assert run._deadline == data["end"] + run.schedule.drain
    monkeypatch.setattr("loadgen.master.run.due_between", lambda *_: 0)  # enough have a first token
    for undecided, t, drains in (
        (0, data["end"] - 0.1, True),
        (1, data["end"], True),
        (0, data["end"], False),
    ):
        run.on_pulse(pulse | {"t": t, "undecided": undecided, "histograms": {}})
        now = data["end"] + 1
        assert run._drains == drains, "until no request under way can still meet the SLO"
    assert run.stopped_early and run.stopped_why is None, "it is complete, as far as it goes"


def closing(closed: dict[str, object] | None, alive: bool, monkeypatch: pytest.MonkeyPatch, at: Path) -> Run:
    """A run that has been closed, whose worker said this and is gone or not."""
    monkeypatch.setattr("loadgen.master.run.CLOSE_WITHIN", 0.1)
    run = waiting_run(at)
    if closed is not None:
        run.on_closed({"lane": 0, "left": False, "batches": 0, "due": 0, "watched": None} | closed)
    run.close(lambda worker: alive)
    return run


@pytest.mark.parametrize(
    ("closed", "alive", "lost"),
    [
        ({}, True, False),
        (None, True, True),  # never answered
        (None, False, True),  # died while it closed
        ({"batches": 1}, True, True),  # a batch did not come
        ({"left": True}, True, True),
    ],
)
def test_a_lane_that_did_not_hand_over_all_is_lost(
    closed: dict[str, object] | None, alive: bool, lost: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run = closing(closed, alive, monkeypatch, tmp_path / "run")
    assert run.lanes[0].lost is lost and (run.live.lost == {0}) is lost


def test_a_run_that_is_being_written_stays_complete_and_takes_no_more(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run = closing({}, True, monkeypatch, tmp_path / "run")
    run.interrupt("interrupted by SIGINT")
    assert run.stopped_why is None
    run._taking = False  # as `write` has it
    run.on_batch({"lane": 0, "number": 0, "content": b""})
    gevent.sleep(0.05)
    assert not (run.folder / BATCHES).exists()
