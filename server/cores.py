"""Cores of their own: for the load, and for the server that is launched for it."""

import contextlib
import os
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from common.usage import UsageError

_CPUS = Path("/sys/devices/system/cpu")


@dataclass(frozen=True)
class Cores:
    """Numbers of logical CPUs, ascending."""

    client: tuple[int, ...]
    server: tuple[int, ...]

    def as_dict(self) -> dict[str, list[int]]:
        """As server.json has it."""
        return {"client": list(self.client), "server": list(self.server)}

    def __str__(self) -> str:
        client, server = (", ".join(map(str, each)) for each in (self.client, self.server))
        return f"the load on core {client}, the server on {server}"


def split(workers: int) -> Cores:
    """One of this process's cores for each worker, the rest for the server. Raises UsageError."""
    return share(workers, own("--pin"))


def own(option: str) -> list[list[int]]:
    """The CPUs that this process may use, by core. Raises UsageError, for `option`, where none are known."""
    if not hasattr(os, "sched_getaffinity"):
        raise UsageError(f"{option}: this system knows no cores of one's own (it takes Linux)")
    return siblings(os.sched_getaffinity(0))


def share(workers: int, groups: Iterable[Collection[int]]) -> Cores:
    """The last groups for the load (interrupts go to the first, as a rule), whole ones where enough are left.

    `groups`: the logical CPUs of each physical core. Raises UsageError where they are too few.
    """
    ordered = sorted(sorted(group) for group in groups)
    every = [cpu for group in ordered for cpu in group]
    if workers >= len(every):
        raise UsageError(
            f"--pin: {workers} workers and the server take {workers + 1} cores, and there are {len(every)}"
        )
    client: list[int] = []
    while len(client) < workers:
        client = ordered.pop() + client
    if len(client) == len(every):  # threads of one core are shared rather than none had
        client = sorted(every)[-workers:]
    return Cores(tuple(sorted(client)), tuple(sorted(set(every) - set(client))))


def halves(groups: Iterable[Collection[int]]) -> list[tuple[int, ...]]:
    """Two halves, each of as many physical cores; an odd one stays free. `groups`: as in `share`.

    Raises UsageError where there is only one.
    """
    ordered = sorted(sorted(group) for group in groups)
    half = len(ordered) // 2
    if not half:
        raise UsageError("--side-by-side: takes two cores or more, and there is one; leave it out")
    parts = ordered[:half], ordered[half : 2 * half]
    return [tuple(sorted(cpu for group in part for cpu in group)) for part in parts]


def siblings(cpus: Collection[int]) -> list[list[int]]:
    """These CPUs by the physical core that they are threads of; each alone where the system does not tell."""
    found: dict[str, list[int]] = {}
    for cpu in sorted(cpus):
        key = str(cpu)
        with contextlib.suppress(OSError):
            key = (_CPUS / f"cpu{cpu}" / "topology" / "thread_siblings_list").read_text().strip()
        found.setdefault(key, []).append(cpu)
    return list(found.values())


@contextlib.contextmanager
def kept_to(cpus: Collection[int] | None) -> Iterator[None]:
    """While it is entered, what this thread starts gets these cores; None: those that this thread has."""
    if cpus is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def pin(cpus: Collection[int]) -> None:
    """Keep this thread, and what it starts from now on, on these."""
    os.sched_setaffinity(0, cpus)
