"""What the server's GPUs did beside a run, by NVML: who else computed there, what held clocks, what broke.

From the series `gpu:` of server_metrics.parquet (loadgen.master.gpu); without a GPU there are none.
"""

from dataclasses import dataclass

import numpy as np

from reports.runs.runs import Floats, Mask, Run, kept

POWER_LIMIT = 0x4  # bits of NVML's clocks event reasons
HEAT = 0x8 | 0x20 | 0x40 | 0x80  # hardware slowdown, heat by software or hardware, power brake


@dataclass(frozen=True)
class Other:
    """Another's process on one of the server's GPUs, within the window."""

    process: str
    gpu: str
    memory: float  # bytes, at most
    seen: float  # share of the readings
    used: Floats | None  # its share of each reading's time; None where the card does not tell


@dataclass(frozen=True)
class Clocks:
    """Of all the server's GPUs, over the window's readings."""

    hertz: float | None  # of the multiprocessors, mean while any kernel ran
    heat: float  # share of the readings in which heat or a power brake held them down
    power_limit: float  # in which the power limit did


def were_read(run: Run) -> bool:
    """Whether the server ran on GPUs that NVML could be asked of."""
    return any(name.startswith("gpu:") for name in run.server.names)


@kept
def others(run: Run) -> list[Other] | None:
    """None where nobody could tell the server's processes on the card from others'."""
    if not run.server.label_sets("gpu:processes"):
        return None
    found = []
    for labels in run.server.label_sets("gpu:other_memory_bytes"):
        t, memory = _inside(run, "gpu:other_memory_bytes", **labels)
        readings, _ = _inside(run, "gpu:processes", gpu=labels["gpu"], who="server")
        if len(t) and len(readings):
            _, used = _inside(run, "gpu:other_utilization_ratio", **labels)
            seen = min(len(t) / len(readings), 1.0)
            told = used if len(used) else None
            found.append(Other(labels["process"], labels["gpu"], float(memory.max()), seen, told))
    return sorted(found, key=lambda each: -each.memory)


@kept
def clocks(run: Run) -> Clocks | None:
    """None where no card told what holds its clocks."""
    sets = run.server.label_sets("gpu:throttle_reasons")
    reasons = [_inside(run, "gpu:throttle_reasons", **labels)[1] for labels in sets]
    every = np.concatenate(reasons).astype(np.int64) if reasons else np.empty(0, np.int64)
    if not len(every):
        return None
    heat, limit = (float(((every & bits) > 0).mean()) for bits in (HEAT, POWER_LIMIT))
    return Clocks(_hertz(run), heat, limit)


def errors(run: Run) -> dict[str, float] | None:
    """Of the whole run: what broke on a card, and how often; None where no card tells."""
    start, end = 0.0, run.manifest.drained_at
    found: dict[str, float] = {}
    told = run.server.label_sets("gpu:ecc_errors_total")
    for labels in told:
        gained = run.server.increase("gpu:ecc_errors_total", start, end, **labels) or 0.0
        if gained and labels["kind"] == "uncorrected":
            found[f"uncorrected memory error of GPU {labels['gpu']}"] = gained
    for labels in run.server.label_sets("gpu:xid_errors_total"):
        gained = run.server.increase("gpu:xid_errors_total", start, end, **labels) or 0.0
        found |= {f"Xid {labels['xid']} of GPU {labels['gpu']}": gained} if gained else {}
    return found if told or found else None


def _hertz(run: Run) -> float | None:
    means = []
    for labels in run.server.label_sets("gpu:sm_clock_hertz"):
        t, hertz = _inside(run, "gpu:sm_clock_hertz", **labels)
        at, used = _inside(run, "gpu:utilization_ratio", **labels)
        busy: Mask = np.isin(t, at[used > 0]) if len(at) else np.ones(len(t), bool)
        if busy.any():
            means.append(float(hertz[busy].mean()))
    return float(np.mean(means)) if means else None


def _inside(run: Run, name: str, **labels: str) -> tuple[Floats, Floats]:
    """Readings of one series within the window."""
    found = run.server.gauge(name, "sum", **labels)
    if found is None:
        return np.empty(0), np.empty(0)
    here = (found[0] >= run.window[0]) & (found[0] < run.window[1])
    return found[0][here], found[1][here]
