"""When a worker takes its master for gone."""

import os
import time

import pytest
from locust.runners import WorkerRunner

from loadgen.worker.worker import ORPHANED, Worker


@pytest.mark.parametrize(
    ("made_by_master", "lives", "silent", "gone"),
    [
        (True, True, 10 * ORPHANED, False),  # it waits for a core
        (True, False, 0.0, True),
        (False, False, ORPHANED / 2, False),
        (False, False, ORPHANED + 1, True),
    ],
)
def test_a_master_that_is_seen_to_live_may_be_silent(
    made_by_master: bool, lives: bool, silent: float, gone: bool
) -> None:
    worker, runner = Worker.__new__(Worker), WorkerRunner.__new__(WorkerRunner)
    runner.last_heartbeat_timestamp, runner.greenlet = time.time() - silent, None
    worker._runner, worker._masters_child = runner, made_by_master
    worker._parent = os.getppid() if lives else 0
    assert worker._orphaned() is gone
