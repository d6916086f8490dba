"""What one start of a server leaves open: how far its pace may lie from that of the next start.

Two starts of one server are not equally fast: threads, memory and the machine's clock fall otherwise, and
hours later the machine is another. One start each cannot show that, however long it is loaded. So the
spread of the pace is a term of its own, and every figure moves with the pace as the server makes it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from reports.document.run import UNUSABLE
from reports.metrics import catalogue, durations, request_metrics
from reports.metrics.catalogue import COUNTS, ROW, Row
from reports.runs.conditions import by_number
from reports.runs.earlier import of_its_kind
from reports.runs.index import Entry
from reports.runs.machines import same_process
from reports.runs.runs import Run
from reports.statistics import queue_memory
from reports.statistics.distributions import student_quantile
from reports.statistics.intervals import CONFIDENCE

PACE = ROW["tpot_p50"]
LEAST_FREEDOM = 3  # of a history: as many as the prior has
HISTORY = 20  # earlier starts of each variant that are looked at
STEEPEST = 20.0  # per cent of the wait for one of the pace, at most: beyond it a figure is no longer one


@dataclass(frozen=True)
class Spread:
    """The standard deviation of the logarithm of the pace between starts, from `freedom` + 1 or more."""

    sd: float
    freedom: float
    source: str

    @property
    def reach(self) -> float:
        """How far, as a logarithm, one start may lie from the mean of all, in 95 of 100 (Student's t).

        All figures move with one pace, so the 5 % are not shared among them.
        """
        return student_quantile(self.freedom, (1 + CONFIDENCE) / 2) * self.sd

    @property
    def text(self) -> str:
        """For the report's words on its method."""
        varies = f"From start to start the pace varies by {100 * self.sd:.1f} % (sd; {self.source})"
        return f"{varies}, which the intervals hold."


# TPOT p50 of four starts of one server under the same 40 s of arrivals: 16.1, 17.2, 17.4, 19.7 ms (vLLM 0.26
# without compiled graphs, one H200).
PRIOR = Spread(0.084, 3, "as four starts on an H200 did")


@dataclass(frozen=True)
class Reach:
    """How far a figure may fall and rise with the pace: as logarithms, or in its own unit."""

    down: float = 0.0
    up: float = 0.0


def spread(baseline: Sequence[Run], other: Sequence[Run], known: Sequence[Entry] = ()) -> Spread | None:
    """The term for one start each; None where the runs show it themselves, or one process served both.

    `known`: the runs of the results folder, from which those of these variants under this load are taken.
    """
    if max(starts(baseline), starts(other)) > 1:
        return None
    if all(same_process(baseline[0], run) for run in (*baseline[1:], *other)):
        return None
    return _of_history(baseline[0], other[0], known) or PRIOR


def starts(runs: Sequence[Run]) -> int:
    """How many starts of a server they are of; a run that does not say is one of its own."""
    told = [(run.manifest.server or {}).get("started_at") for run in runs]
    return len({moment for moment in told if moment}) + sum(not moment for moment in told)


def _of_history(baseline: Run, other: Run, known: Sequence[Entry]) -> Spread | None:
    """From earlier starts of the two variants under this load, each around its own mean."""
    squares, freedom, count = 0.0, 0, 0
    for run in (baseline, other):
        found = _paces(run, known)
        if len(found) > 1:
            squares += float(np.var(found) * len(found))
            freedom, count = freedom + len(found) - 1, count + len(found)
    if freedom < LEAST_FREEDOM:
        return None
    return Spread(math.sqrt(squares / freedom), freedom, f"as {count} starts of these variants did")


def _paces(run: Run, known: Sequence[Entry]) -> list[float]:
    """The logarithm of the pace of this start and of the earlier ones; one run of each start."""
    now, found = catalogue.figure(run, PACE).value, {}
    for entry in islice(of_its_kind(run, known), HISTORY):
        value = entry.summary.metrics.get(PACE.name)
        started = (entry.manifest.server or {}).get("started_at")
        if value and started and entry.summary.verdict not in (*UNUSABLE, None):
            found[started] = math.log(value)
    found.pop((run.manifest.server or {}).get("started_at"), None)
    return [*found.values(), *([math.log(now)] if now else [])]


def reach(run: Run, row: Row, pace: float, queue_grew: bool, absolute: bool) -> Reach:
    """How far the figure goes where the server is slower or faster by the logarithm `pace`; `absolute`: in
    its own unit, else as a logarithm."""
    if row.of_slo:
        return _of_slo(run, row, pace, queue_grew)
    if row.name not in COUNTS:
        rate = row.metric is None and not row.of_gpu  # energy goes with how long a token takes
        kept_up = rate and not queue_grew and not paced_by_answers(run)
        power = 0.0 if kept_up else pace * elasticity(run, row, queue_grew)  # then the load decides the rate
        found = catalogue.figure(run, row)
        value = (found.value if found.value is not None else found.lower_bound) or 0.0
        return (
            Reach(-value * math.expm1(-power), value * math.expm1(power)) if absolute else Reach(power, power)
        )
    if not queue_grew:  # who keeps up completes what is offered
        return Reach()
    counts = request_metrics.accounting(run)
    if row.name not in ("completed", "unfinished"):
        return Reach()
    more, fewer = (counts["completed"] * abs(math.expm1(sign * pace)) for sign in (1, -1))
    more = min(more, counts["unfinished"])
    return Reach(fewer, more) if row.name == "completed" else Reach(more, fewer)


def elasticity(run: Run, row: Row, queue_grew: bool) -> float:
    """By how many per cent a time, or the rate of a server that fell behind, changes where the server takes
    one per cent longer for everything."""
    if not row.waits:
        return 1.0
    if queue_grew:
        return steepness(run)
    found = catalogue.figure(run, row)
    figure = found.value if found.value is not None else found.lower_bound
    if not figure:
        return 1.0
    # Near the capacity a wait is exponential (Kingman, JRSS B 24 (1962) 383-392).
    waited = -math.log(1 - (row.share or 0.5)) * queue_memory.mean_wait(run)
    return 1 + min(waited / figure, 1.0) * (min(queue_memory.steepness(run), STEEPEST) - 1)


def paced_by_answers(run: Run) -> bool:
    """Whether answers alone made requests due, so that the rate is the server's doing."""
    return run.closed_loop or by_number(run)


def steepness(run: Run, served: float | None = None) -> float:
    """By how many per cent the wait in a growing queue changes with one per cent of the served rate.

    The queue grows by offered - served, so by offered / (offered - served); STEEPEST at most.
    """
    offered = queued_rate(run)
    if served is None:
        served = request_metrics.rate(run, "completed_rate").value or 0.0
    if offered <= served:
        return STEEPEST
    return min(offered / (offered - served), STEEPEST)


def queued_rate(run: Run) -> float:
    """Arrivals of the window that may have stood in the queue, per second: those that did not fail."""
    return int((run.judged & ~run.records.status_is("failed")).sum()) / run.window_length


def _of_slo(run: Run, row: Row, pace: float, queue_grew: bool) -> Reach:
    """Those that would have met the SLO, had every time been shorter or longer by its elasticity."""
    rows = {"ttft": ROW["ttft_p99"], "tpot": PACE, "latency": ROW["latency_p50"]}
    powers = {key: elasticity(run, each, queue_grew) for key, each in rows.items()}
    met: list[float] = []
    for side in (-pace, 0.0, pace):
        slower = tuple((key, math.exp(side * power)) for key, power in powers.items())
        found = durations.met_slo(run, slower=slower)
        if found is None:
            return Reach()
        met.append(float(found.sum()))
    best, now, worst = met
    if row.better == "lower":  # energy, which goes with the pace, over them
        value = catalogue.figure(run, row).value or 0.0
        least, most = (
            math.exp(-pace) * now / best if best else 1.0,
            math.exp(pace) * now / worst if worst else math.inf,
        )
        return Reach(value * (1 - least), value * (most - 1))
    over = int(run.judged.sum()) if row.unit == "share" else run.window_length
    return Reach(max(now - worst, 0.0) / over, max(best - now, 0.0) / over) if over else Reach()
