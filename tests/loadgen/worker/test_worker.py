"""When a worker takes its master for gone."""

import os
import time

import pytest
from locust.runners import WorkerRunner

from loadgen.worker.worker import ORPHANED, Worker


@pytest.mark.parametrize(
    ("made_by_master", "parent", "silent", "gone"),
    [
        (True, os.getppid(), 10 * ORPHANED, False),  # it lives, and waits for a core
        (True, 0, 0.0, True),
        (False, 0, ORPHANED / 2, False),
        (False, 0, ORPHANED + 1, True),
    ],
)
def test_a_master_that_is_seen_to_live_may_be_silent(
    made_by_master: bool, parent: int, silent: float, gone: bool
) -> None:
    worker, runner = Worker.__new__(Worker), WorkerRunner.__new__(WorkerRunner)
    runner.last_heartbeat_timestamp = time.time() - silent
    worker._runner, worker._masters_child, worker._parent = runner, made_by_master, parent
    assert worker._orphaned() is gone
