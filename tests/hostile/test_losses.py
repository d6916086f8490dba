"""What a run is made of is taken away while it goes on: each arrival has its record, the ending says why."""

import os
import re
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from bench.process import metronome
from tests.end_to_end.test_endings import SLOW_TO_PREPARE, reconciles
from tests.support.loadrun import SHORT, LoadRun, left_running, load

pytestmark = pytest.mark.thorough

LONGER = SHORT.replace("duration: 5", "duration: 7")


def remove_folder(running: LoadRun) -> None:
    shutil.rmtree(running.folder)


def remove_batches(running: LoadRun) -> None:
    shutil.rmtree(running.folder / ".batches")


def spoil_batches(running: LoadRun) -> None:
    for path in (running.folder / ".batches").glob("lane-*"):
        path.write_bytes(b"spoilt")


def replace_batches(running: LoadRun) -> None:
    """By a file of that name, as nobody would."""
    remove_batches(running)
    (running.folder / ".batches").write_bytes(b"")


def remove_draft(running: LoadRun) -> None:
    for path in running.folder.glob("*draft*"):
        path.unlink()


FAULTS: dict[str, tuple[Callable[[LoadRun], None], str]] = {  # what happens, and what the ending says
    "the run's folder is removed": (remove_folder, r"batch(es)? (was|were) (gone|removed)"),
    "the batches are removed": (remove_batches, r"batch(es)? (was|were) (gone|removed)"),
    "the batches are spoilt": (spoil_batches, "could not be read"),
    "the draft is removed": (remove_draft, ""),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("workers", [None, 2])
def test_what_is_taken_away_costs_no_record(fault: str, workers: int | None, tmp_path: Path) -> None:
    strike, says = FAULTS[fault]
    with (
        metronome("--ttft", "0.05", "--tpot", "0.01") as server,
        LoadRun(tmp_path, server.url, workers=workers, scenario=LONGER) as running,
    ):
        running.wait_for_records(30, workers or 1)
        strike(running)
        found = running.end()
        assert not left_running(running.process.pid)
    assert "Traceback" not in found.err, found.err
    reconciles(found)
    assert found.manifest["due"] == found.manifest["scheduled"], "to the last arrival"
    assert re.search(says, found.manifest["ended_why"] or ""), found.manifest["ended_why"]
    assert found.counts()["completed"] > 20, "what came later is kept"


@pytest.mark.parametrize("which", ["one", "all"])
def test_a_worker_killed_while_it_prepares_ends_the_run_at_once(which: str, tmp_path: Path) -> None:
    locustfile = tmp_path / "slow.py"
    locustfile.write_text(SLOW_TO_PREPARE)
    with (
        metronome() as server,
        LoadRun(tmp_path, server.url, workers=2, scenario=LONGER, locustfile=str(locustfile)) as running,
    ):
        running.wait_for("run folder")
        time.sleep(1)
        children = psutil.Process(running.process.pid).children()
        for child in children[: 1 if which == "one" else 2]:
            os.kill(child.pid, signal.SIGKILL)
        found = running.end()
        assert not left_running(running.process.pid)
    assert found.code == 2 and not found.folder.exists()
    assert found.err.count("was lost before the run began") == 1 and "Traceback" not in found.err
    assert len(found.err.splitlines()) < 30, found.err


FAULTY = """
from loadgen.user import OpenLoopUser

class Faulty(OpenLoopUser):
    def body(self, arrival, history):
        return {"messages": self.prompts.messages(arrival, history), "max_tokens": arrival.output_tokens}

    def check(self, arrival, reply):
        raise ValueError("line one\\n" + "x" * 100_000)
"""


def test_a_faulty_class_costs_no_record_and_is_told_once_for_each_fault(tmp_path: Path) -> None:
    locustfile = tmp_path / "faulty.py"
    locustfile.write_text(FAULTY)
    with metronome("--ttft", "0.02", "--tpot", "0.001") as server:
        found = load(tmp_path, server.url, workers=None, locustfile=str(locustfile))
    assert found.err.count("Traceback") == 1, found.err[-3000:]
    reconciles(found)
    assert found.counts() == {"failed": found.manifest["due"]}
    assert (
        found.records["error"].str.len().max() < 500 and not found.records["error"].str.contains("\n").any()
    )


def test_a_judge_that_is_killed_leaves_a_written_run_and_says_so(tmp_path: Path) -> None:
    with (
        metronome("--ttft", "0.01", "--tpot", "0.001") as server,
        LoadRun(tmp_path, server.url, "--duration", "1", workers=1) as running,
    ):
        master = psutil.Process(running.process.pid)
        while running.process.poll() is None:
            for child in master.children():
                try:
                    if "judge" in child.cmdline():
                        child.kill()
                except psutil.Error:
                    continue
            time.sleep(0.01)
        found = running.end()
    assert found.code == 1 and "Traceback" not in found.err
    assert "the judge was ended by SIGKILL; the run is written: `tokenswarm judge" in found.err
    assert found.manifest["due"] == len(found.records) == found.counts()["completed"]
