"""Who had the cores while a run went: the client, the server, others; and when others disturbed it.

From machine.parquet (loadgen.host.watch): a sample a second of each machine on which workers or server ran.
"""

from dataclasses import dataclass

import numpy as np

from reports.runs.runs import Floats, Mask, Run, kept
from reports.runs.server_metrics import ServerMetrics

TAKEN = 0.10  # of the cores: from so much on a second counts as disturbed
# Of the cores: a lone second counts only from here on; services of a machine wake now and then.
AT_ONCE = 0.30
SPARE = 2.0  # cores; where so many stand idle, nobody has to wait for what others take
FULL = 0.9  # of a core: a thread that ran so long of the window leaves nothing to spare
WHO = ("client", "server", "others", "interrupts", "steal", "idle")
CPU = "host:cpu_seconds_total"


@dataclass(frozen=True, eq=False)
class Use:
    """Cores in use on one machine between successive samples; arrays of shape (samples - 1,)."""

    machine: str  # "master", or the worker that watched it
    cores: float
    t: Floats  # begin of each, s from the run's start
    end: Floats
    client: Floats
    server: Floats
    others: Floats
    interrupts: Floats
    steal: Floats
    idle: Floats
    judged: Mask  # whether others can be told from the server there

    @property
    def taken(self) -> Floats:
        """Share of the cores that the run lacked, for others had them."""
        others = np.where(self.judged & (self.idle < SPARE), self.others, 0.0)
        return (others + self.steal) / self.cores


@dataclass(frozen=True)
class Disturbance:
    """Seconds in which others had the cores."""

    machine: str
    start: float  # s from the run's start
    end: float
    share: float  # of the machine's cores, mean
    steal: float  # of that, what the host of this virtual machine took
    culprit: str  # the program that took the most of it; empty where it was not seen
    culprit_share: float  # of the machine's cores, mean


@dataclass(frozen=True)
class ServerProcess:
    """One process of the server over the window, cores."""

    machine: str
    name: str
    cpu: float
    thread: float  # its busiest thread
    waiting: float  # threads that waited for a core, mean number


@kept
def uses(run: Run) -> list[Use]:
    """Of each machine that was watched, in the order of their names."""
    names = sorted({labels["machine"] for labels in run.machine.label_sets(CPU)})
    return [found for name in names if (found := _use(run.machine, name)) is not None]


def _use(series: ServerMetrics, machine: str) -> Use | None:
    counted = {who: series.gauge(CPU, machine=machine, who=who) for who in WHO}
    cores = series.gauge("host:cores", machine=machine)
    known = series.gauge("host:server_known", machine=machine)
    if (
        cores is None
        or known is None
        or any(found is None or len(found[0]) < 2 for found in counted.values())
    ):
        return None
    t = cores[0]
    rates = {
        who: np.maximum(np.diff(found[1]), 0.0) / np.diff(t)
        for who, found in counted.items()
        if found is not None and len(found[0]) == len(t)
    }
    if len(rates) < len(WHO):
        return None
    return Use(machine, float(cores[1][0]), t[:-1], t[1:], **rates, judged=known[1][1:] > 0)


@kept
def disturbances(run: Run) -> list[Disturbance]:
    """From the window's start to the end of the drain, in their order."""
    found = []
    for use in uses(run):
        inside = (use.end > run.window[0]) & (use.t < run.manifest.drained_at)
        for begin, after in _stretches(_disturbed(use) & inside):
            found.append(_disturbance(run, use, slice(begin, after)))
    return sorted(found, key=lambda each: each.start)


def disturbed_seconds(run: Run) -> float:
    """How much of the window others disturbed, s; on several machines at once it counts once."""
    start, end = run.window
    spans = [(max(each.start, start), min(each.end, end)) for each in disturbances(run)]
    total, reached = 0.0, start
    for begin, after in sorted(span for span in spans if span[1] > span[0]):
        total += max(after - max(begin, reached), 0.0)
        reached = max(reached, after)
    return total


def _disturbed(use: Use) -> Mask:
    high, much = use.taken >= AT_ONCE, use.taken >= TAKEN
    beside = np.zeros(len(much), bool)
    beside[1:] |= much[:-1]
    beside[:-1] |= much[1:]
    return high | (much & beside)


def _stretches(mask: Mask) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(np.int8), [0]]))).reshape(-1, 2)
    return [(int(begin), int(after)) for begin, after in edges]


def _disturbance(run: Run, use: Use, part: slice) -> Disturbance:
    start, end = float(use.t[part][0]), float(use.end[part][-1])
    lasted = use.end[part] - use.t[part]
    whole = float(lasted.sum()) * use.cores
    taken = {
        labels["process"]: run.machine.increase("host:other_cpu_seconds_total", start, end, **labels) or 0.0
        for labels in run.machine.label_sets("host:other_cpu_seconds_total")
        if labels["machine"] == use.machine
    }
    culprit = max(taken, key=lambda name: taken[name], default="")
    share = float(use.taken[part] @ lasted) / float(lasted.sum())
    return Disturbance(
        use.machine,
        start,
        end,
        share,
        float(use.steal[part] @ lasted) / whole,
        culprit if taken.get(culprit, 0.0) > 0 else "",
        min(taken.get(culprit, 0.0) / whole, share),
    )


def taken_by_others(run: Run) -> float | None:
    """Share of the cores that others had over the window, on the machine where they had most; None where
    nobody watched or others could not be told from the server."""
    shares = []
    for use in uses(run):
        inside = (use.end > run.window[0]) & (use.t < run.window[1]) & use.judged
        if inside.any():
            lasted = (use.end - use.t)[inside]
            shares.append(float(use.others[inside] @ lasted) / float(lasted.sum()) / use.cores)
    return max(shares, default=None)


@kept
def server_processes(run: Run) -> list[ServerProcess]:
    """Those that were seen, the one with the busiest thread first."""
    start, end = run.window
    found = []
    for labels in run.machine.label_sets("host:process_cpu_seconds_total"):
        gains = [
            run.machine.increase(f"host:process_{name}_seconds_total", start, end, **labels) or 0.0
            for name in ("cpu", "busiest_thread", "run_queue")
        ]
        cores = [gain / _span(run, labels) for gain in gains]
        found.append(ServerProcess(labels["machine"], labels["process"], *cores))
    return sorted(found, key=lambda each: -each.thread)


def computes_on_cores(run: Run, machine: str) -> bool:
    """Whether the server there is known to use no accelerator: then cores compute the model, and a full one
    is what the machine is."""
    found = run.machine.gauge("host:server_accelerated", "max", machine=machine)
    return found is not None and not found[1].max()


def _span(run: Run, labels: dict[str, str]) -> float:
    """Seconds between the samples that `increase` takes for the window."""
    series = run.machine.gauge("host:process_cpu_seconds_total", "sum", **labels)
    assert series is not None
    t, (start, end) = series[0], run.window
    first = max(int(np.searchsorted(t, start, "right")) - 1, 0)
    last = min(int(np.searchsorted(t, end, "left")), len(t) - 1)
    return max(float(t[last] - t[first]), run.window_length)
