"""How long each arrival would wait, had the server been a first-come-first-served queue."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

NEVER = 1e12  # s: when what pads a shorter run is due
AT_ONCE = 4_000_000  # waits that are computed together: some 100 MB


@dataclass(frozen=True)
class Offered:
    """The arrivals of one run, in order; all (arrivals,).

    `due`: s from the start. `work`: in any unit. `judged`: whether it is due inside the window.
    """

    due: Floats
    work: Floats
    judged: NDArray[np.bool_]


def waits(runs: Sequence[Offered], paces: Floats, places: int) -> Iterator[Floats]:
    """Seconds that the judged arrivals wait for a free place: of each run a (paces, arrivals).

    `paces`: work per second of all places together, which are free at first. The recursion is Kiefer's and
    Wolfowitz' (1955, Transactions of the American Mathematical Society 78); of one place, a leaky bucket's
    (Turner 1986, IEEE Communications Magazine 24(10)).
    """
    if places == 1:
        yield from (_backlog(run, paces)[:, run.judged] for run in runs)
        return
    longest = max(len(run.due) for run in runs)
    count = max(AT_ONCE // (longest * len(paces)), 1)
    for first in range(0, len(runs), count):
        yield from _queued(runs[first : first + count], paces, places)


def _queued(runs: Sequence[Offered], paces: Floats, places: int) -> Iterator[Floats]:
    longest = max(len(run.due) for run in runs)
    due, work = np.full((longest, len(runs)), NEVER), np.zeros((longest, len(runs)))
    for number, run in enumerate(runs):
        due[: len(run.due), number], work[: len(run.due), number] = run.due, run.work
    rows = len(runs) * len(paces)  # by run, then pace
    free, first = np.zeros(rows * places), np.arange(rows) * places
    slowness, found = np.tile(places / paces, len(runs)), np.empty((longest, rows))
    for number in range(longest):
        at = np.repeat(due[number], len(paces))
        place = first + free.reshape(rows, places).argmin(axis=1)
        begin = np.maximum(free[place], at)
        found[number] = begin - at
        free[place] = begin + np.repeat(work[number], len(paces)) * slowness
    for run, held in zip(runs, found.T.reshape(len(runs), len(paces), longest), strict=True):
        yield held[:, : len(run.due)][:, run.judged]


def _backlog(run: Offered, paces: Floats) -> Floats:
    """Seconds of work before each arrival, (paces, arrivals)."""
    before = np.concatenate([[0.0], np.cumsum(run.work)[:-1]])
    net = before / paces[:, None] - run.due
    return np.asarray(net - np.minimum.accumulate(net, axis=1))
