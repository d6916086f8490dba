"""When a request's service starts: at once, or first come, first served under a known limit."""

from collections import deque
from typing import Generic, Protocol, TypeVar

Job = TypeVar("Job")


class Service(Protocol[Job]):
    """Takes jobs in order of arrival and says when each may start."""

    def arrive(self, job: Job, now: float) -> float | None:
        """The job's start time; None when it has to wait until `leave` names it."""

    def leave(self, job: Job) -> Job | None:
        """A job ended, or gave up; the waiting job that takes its place now."""

    def waiting(self, now: float) -> int:
        """Jobs that have arrived and not started."""


class Paced(Generic[Job]):
    """Starts are at least 1/rate s apart: the limit is `rate` jobs a second (inf: none)."""

    def __init__(self, rate: float) -> None:
        self._gap = 1 / rate
        self._free_at = float("-inf")
        self._starts: deque[float] = deque()

    def arrive(self, job: Job, now: float) -> float | None:
        start = max(now, self._free_at)
        self._free_at = start + self._gap
        if start > now:
            self._starts.append(start)
        return start

    def leave(self, job: Job) -> Job | None:
        return None  # a job that gives up keeps its place in the row, as work already handed on does

    def waiting(self, now: float) -> int:
        while self._starts and self._starts[0] <= now:
            self._starts.popleft()
        return len(self._starts)


class Slots(Generic[Job]):
    """At most `slots` jobs at a time: the limit is slots / (seconds a job takes)."""

    def __init__(self, slots: int) -> None:
        self._free = slots
        self._queue: dict[Job, None] = {}  # in order of arrival

    def arrive(self, job: Job, now: float) -> float | None:
        if self._free:
            self._free -= 1
            return now
        self._queue[job] = None
        return None

    def leave(self, job: Job) -> Job | None:
        if job in self._queue:
            del self._queue[job]
            return None
        if not self._queue:
            self._free += 1
            return None
        successor = next(iter(self._queue))
        del self._queue[successor]
        return successor

    def waiting(self, now: float) -> int:
        return len(self._queue)
