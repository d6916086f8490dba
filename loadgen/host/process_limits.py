"""What the system lets this process have: open files, and a place before others on the cores."""

import os
import resource
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from common.usage import UsageError

SPARE = 100  # files that are no connections
CERTAIN = 5.0  # s: a server that takes this long for an answer is nothing unusual
BUDGET = Path("/proc/sys/kernel/sched_rt_runtime_us")  # -1: without bound
NICENESS = -10
PRIORITY = 1  # the lowest of the real-time ones


def raise_limit() -> int:
    """Raise the soft limit of open files to the hard one; return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard if hard != resource.RLIM_INFINITY else 2**31


def check(limit: int, due: NDArray[np.float64]) -> None:
    """Raise UsageError when the limit cannot hold the connections of any CERTAIN seconds of requests.

    `due`: their times, sorted, s. A server that never answers needs one for every arrival; the record then
    says that none was left.
    """
    need = SPARE + busiest(due, CERTAIN)
    if need > limit:
        raise UsageError(
            f"open files are limited to {limit}, this load needs {need} or more on each worker; "
            "raise it (ulimit -n), or spread the load (WORKERS=n)"
        )


def busiest(due: NDArray[np.float64], span: float) -> int:
    """The most of the sorted times within any `span` seconds."""
    before = np.searchsorted(due, due - span, "right")
    return int((np.arange(1, len(due) + 1) - before).max(initial=0))


class Urgency:
    """A worker's place before others on this machine's cores, while it sends.

    A stamp that waits for a core is late, and a server under test on the same machine may want all of them:
    beside vLLM on two cores an ordinary process was seen to wait 500 ms for its turn, one with real-time
    priority 0.08 ms. Both ways need the right to do it (root, or CAP_SYS_NICE); without it nothing changes,
    and the run's verdict says how late the sends were.

    A worker that is busy all the time would leave the server nothing: the kernel bounds what real-time
    processes take (0.95 s of each second), and where it is told not to, the worker is content with niceness.
    The verdict says when workers took more of the server's cores than does no harm (`shared_cores`).

    `gained` says what came of it: "fifo", "nice" or "none".
    """

    def __init__(self, wanted: bool) -> None:
        self.gained = self._rise() if wanted else "none"

    def _rise(self) -> str:
        try:
            if _bounded():
                os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(PRIORITY))
                return "fifo"
        except (OSError, AttributeError):  # not allowed; or a system without it
            pass
        try:
            os.setpriority(os.PRIO_PROCESS, 0, NICENESS)
            return "nice"
        except OSError:
            return "none"

    def end(self) -> None:
        """Back among the others."""
        if self.gained == "fifo":
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        elif self.gained == "nice":
            os.setpriority(os.PRIO_PROCESS, 0, 0)


def _bounded() -> bool:
    """Whether the kernel keeps a part of each second for ordinary processes: it does unless told not to."""
    try:
        return int(BUDGET.read_text()) >= 0
    except (OSError, ValueError):
        return False
