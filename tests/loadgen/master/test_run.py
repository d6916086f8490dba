"""A run on the master: how it waits, what it takes, who is lost."""

from pathlib import Path

import gevent
import pytest

from common.usage import UsageError
from loadgen.master import scrape
from loadgen.master.machines import Machines
from loadgen.master.run import Run
from loadgen.master.server_info import Server
from loadgen.protocol.messages import Plan
from loadgen.records.collect import BATCHES
from loadgen.workload.scenario import Scenario
from loadgen.workload.schedule import schedule


def waiting_run(folder: Path) -> Run:
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
