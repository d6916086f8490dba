"""The workers of --processes: children of the master, which nothing may outlive."""

import contextlib
import time

import gevent
import psutil

END_WITHIN = 10.0  # s to wait for them when all is over


def kill() -> None:
    """End the workers of --processes, which have nothing to lose yet: Locust would not wait for them."""
    workers = psutil.Process().children()
    for worker in workers:
        with contextlib.suppress(psutil.Error):
            worker.kill()
    _wait(workers)


def await_end() -> None:
    """Let the workers of --processes end first, so that nothing outlives this process; one that does not (it
    may be stopped) is killed: the run is written, and the lane was lost long ago."""
    workers = psutil.Process().children()
    _wait(workers)
    for worker in workers:
        with contextlib.suppress(psutil.Error):
            if worker.status() != psutil.STATUS_ZOMBIE:
                worker.kill()


def _wait(workers: list[psutil.Process]) -> None:
    """Wait, up to END_WITHIN, until they have ended; Locust reaps them."""
    deadline = time.monotonic() + END_WITHIN
    for worker in workers:
        with contextlib.suppress(psutil.Error):
            while worker.status() != psutil.STATUS_ZOMBIE and time.monotonic() < deadline:
                gevent.sleep(0.01)
