"""How many of a run's arrivals ended in some way: of all, and of the workload of a mix that it hits most."""

from dataclasses import dataclass

import numpy as np

from loadgen.records.record import FAILED, OVERLOADED, gone, timed_out
from reports.runs.runs import Mask, Run
from reports.statistics.distributions import binomial_below
from reports.verdict.both_sides import elsewhere

CLOSED = tuple(f"connection {how} before the headers" for how in ("closed by the server", "reset"))
PART_P = 0.01  # of a workload's share being above the bound by chance


@dataclass(frozen=True)
class Share:
    """How many of how many; `workload`: of which part of a mix, empty for all."""

    count: int
    of: int
    workload: str = ""

    @property
    def share(self) -> float:
        return self.count / self.of

    def __str__(self) -> str:
        return f"{self.count} of {self.of}" + (f" ({self.workload})" if self.workload else "")


def worst_share(run: Run, chosen: Mask, bound: float) -> Share:
    """The share of the window's arrivals (one or more) that were chosen: of all, or of the workload that it
    hits most. In a mix a small workload can starve and be less than `bound` of all.

    A workload counts where its share is above the bound by more than chance (binomial, PART_P).
    """
    whole = Share(int((run.judged & chosen).sum()), int(run.judged.sum()))
    codes, names = run.records.codes("workload")
    here = run.judged & (codes >= 0)
    due, hit = (np.bincount(codes[mask], minlength=len(names)) for mask in (here, here & chosen))
    parts = [Share(int(count), int(of), name) for count, of, name in zip(hit, due, names, strict=True) if of]
    if whole.share > bound or len(parts) < 2:
        return whole
    beyond = [part for part in parts if part.share > bound and _by_chance(part, bound) <= PART_P]
    return max([whole, *beyond], key=lambda part: part.share)


def _by_chance(part: Share, bound: float) -> float:
    """How likely so many or more are where each is hit with the probability `bound`."""
    return 1 - binomial_below(part.count - 1, part.of, bound)


def overloaded(run: Run) -> Mask:
    """Which records failed in a way that says the server had too much to do; shape (records,).

    So do connections that were closed before an answer, where requests waited before the server.
    """
    failed = run.records.status_is(FAILED)
    codes, texts = run.records.codes("error")
    timed = [code for code, text in enumerate(texts) if timed_out(text)]
    nobody = [code for code, text in enumerate(texts) if gone(text)]
    status = run.records.numbers("http_status")
    there = elsewhere(run)
    closed = [code for code, text in enumerate(texts) if text in CLOSED and there and there.outside]
    turned_away = np.isin(status, OVERLOADED) & ~np.isin(codes, nobody)
    return failed & (turned_away | np.isin(codes, [*timed, *closed]))
