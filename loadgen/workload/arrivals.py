"""When requests come: due times in seconds, sorted, within [0, duration), for each arrival process.

Pure functions of their parameters and of a random generator.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Stage = tuple[float, float, float]  # rate at its start, rate at its end (1/s), duration (s)

CHUNK = 4096  # gaps drawn at a time; the sequence does not depend on it


def constant(rate: float, duration: float) -> Floats:
    """One every 1/rate seconds, the first at 0."""
    times = np.arange(int(np.ceil(rate * duration)) + 1) / rate
    return times[times < duration]


def poisson(rate: float, duration: float, rng: np.random.Generator) -> Floats:
    """Independent exponential gaps: counts have variance = mean."""
    return _renewal(lambda: rng.exponential(1 / rate, CHUNK), 0.0, duration)


def gamma(rate: float, burstiness: float, duration: float, rng: np.random.Generator) -> Floats:
    """Independent gamma gaps of shape `burstiness`: 1 is Poisson, below 1 burstier, above 1 more even.

    The word and its sense are those of `vllm bench serve --burstiness`. Over long times counts have
    variance = mean / burstiness. The first arrival comes after a rest of a gap that was already running
    (uniform share of a length-biased gap), so the rate is the same from the first second on.
    """
    scale = 1 / (rate * burstiness)
    first = rng.random() * rng.gamma(burstiness + 1, scale)
    return _renewal(lambda: rng.gamma(burstiness, scale, CHUNK), first, duration)


def hawkes(rate: float, branching: float, decay: float, duration: float, rng: np.random.Generator) -> Floats:
    """Self-exciting arrivals with mean rate `rate`: each brings on `branching` others on average,
    after exponential delays of mean 1/decay seconds.

    Cluster method (Hawkes and Oakes, J. Appl. Prob. 11, 1974): immigrants are Poisson at
    rate · (1 − branching), every arrival has Poisson(branching) children. Over long times counts have
    variance = mean / (1 − branching)². A stretch before 0 is simulated too, so that the process is
    stationary from the start (`settling`).
    """
    before = settling(branching, decay)
    base = rate * (1 - branching)
    count = rng.poisson(base * (before + duration))
    generation = rng.uniform(-before, duration, count)
    clusters = [generation]
    while len(generation):
        parents = np.repeat(generation, rng.poisson(branching, len(generation)))
        children = parents + rng.exponential(1 / decay, len(parents))
        generation = children[children < duration]
        clusters.append(generation)
    times = np.sort(np.concatenate(clusters))
    return times[times >= 0]


def settling(branching: float, decay: float) -> float:
    """Seconds before 0 that a Hawkes process is simulated for: a cluster dies out as
    exp(−decay · (1 − branching) · t), and 12 such times leave 6 in a million."""
    return 12 / (decay * (1 - branching))


def stages(plan: Sequence[Stage], rng: np.random.Generator | None) -> Floats:
    """Rates that follow a plan of steps and ramps; Poisson with `rng`, evenly paced without.

    Time change: arrivals of unit rate are put where the integral of the rate reaches them.
    """
    expected = np.array([(first + last) / 2 * length for first, last, length in plan])
    ends = np.cumsum(expected)
    unit = constant(1.0, float(ends[-1])) if rng is None else poisson(1.0, float(ends[-1]), rng)
    which = np.minimum(np.searchsorted(ends, unit, side="right"), len(plan) - 1)
    inside = unit - (ends - expected)[which]
    first, last, length = np.array(plan, dtype=float).T[:, which]
    slope = (last - first) / length
    # first·t + slope·t²/2 = inside, in the form that also holds for a slope of 0
    root = np.sqrt(np.maximum(first**2 + 2 * slope * inside, 0))
    within = 2 * inside / np.maximum(first + root, 1e-300)
    starts = np.cumsum([0.0, *(stage[2] for stage in plan[:-1])])
    times = starts[which] + np.minimum(within, length)
    return times[times < sum(stage[2] for stage in plan)]


def trace(times: Floats, rate: float | None = None) -> Floats:
    """Recorded times (seconds from the trace's start, sorted).

    With a rate they are counted from the first and stretched, so that this is their mean rate: n times have
    the mean rate (n − 1) / (last − first). Raises ValueError where several times are all the same.
    """
    if rate is None:
        return times
    span = times[-1] - times[0]
    if len(times) > 1 and not span:
        raise ValueError(f"its first {len(times)} times are the same, so they cannot be played at a rate")
    return (times - times[0]) * ((len(times) - 1) / (span or 1.0) / rate)


def _renewal(gaps: Callable[[], Floats], first: float, duration: float) -> Floats:
    """Times whose gaps are drawn chunk by chunk until `duration` is reached. `first` 0: none at 0."""
    parts = [np.array([first])] if first else []
    last = first
    while last < duration:
        part = last + np.cumsum(gaps())
        parts.append(part)
        last = float(part[-1])
    times = np.concatenate(parts) if parts else np.empty(0)
    return times[times < duration]
