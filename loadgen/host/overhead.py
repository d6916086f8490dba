"""What the load costs a worker: its CPU time, and how long its event loop keeps a timer waiting."""

import time
from array import array
from dataclasses import dataclass

import gevent
import numpy as np

PERIOD = 0.02  # s between two looks at the loop


@dataclass(frozen=True)
class Cost:
    """Over the schedule. Stalls: how much later than asked the loop served a timer, ms."""

    cpu_s: float
    wall_s: float
    stall_p99_ms: float | None
    stall_max_ms: float | None


class Gauge:
    """Measures from `start` to `stop`."""

    def __init__(self) -> None:
        self._stalls = array("d")
        self._began = self._cpu = 0.0
        self._cost: Cost | None = None
        self._watch: gevent.Greenlet | None = None

    def start(self) -> None:
        self._began, self._cpu = time.perf_counter(), time.process_time()
        self._watch = gevent.spawn(self._look)

    def stop(self) -> None:
        """Take the figures; a second call changes nothing."""
        if self._watch is None or self._cost is not None:
            return
        self._watch.kill(block=False)
        stalls = np.array(self._stalls) * 1e3
        self._cost = Cost(
            cpu_s=time.process_time() - self._cpu,
            wall_s=time.perf_counter() - self._began,
            stall_p99_ms=float(np.percentile(stalls, 99)) if len(stalls) else None,
            stall_max_ms=float(stalls.max()) if len(stalls) else None,
        )

    @property
    def cost(self) -> Cost | None:
        """None before `stop`, and where it never started."""
        return self._cost

    def _look(self) -> None:
        while True:
            asked = time.perf_counter() + PERIOD
            gevent.sleep(PERIOD)
            self._stalls.append(max(time.perf_counter() - asked, 0.0))
