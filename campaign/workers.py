"""How many workers a load takes on this machine, for `--workers auto`."""

import math
import os
from argparse import ArgumentTypeError

from loadgen.workload.arrivals.closed_loop import ClosedLoop
from loadgen.workload.scenario import Scenario
from loadgen.workload.schedule import schedule

AUTO = "auto"
CHUNKS = 20_000  # chunks/s of one worker: 0.4 of a core (docs/cores.md), so that no stamp waits for others
REQUESTS = 800  # requests/s of one worker: of one token they take 0.43 CPU s per 1,000 (docs/accuracy.md)
PACE = 50.0  # chunks/s of a closed loop's stream, where nobody knows: one every 20 ms


def workers(text: str) -> int | str:
    """The type of the option."""
    if text == AUTO:
        return AUTO
    try:
        return int(text)
    except ValueError:
        raise ArgumentTypeError(f"must be a whole number or {AUTO}, is {text!r}") from None


def choose(scenario: Scenario, seed: int, beside_server: bool) -> tuple[int, str]:
    """How many, and why in one line. `beside_server`: it is served on this machine, too.

    Raises UsageError for a dataset that does not serve.
    """
    return count(
        *offered(scenario, seed), len(os.sched_getaffinity(0)), beside_server, scenario.max_concurrency
    )


def offered(scenario: Scenario, seed: int) -> tuple[float, float]:
    """Chunks/s and requests/s, as the schedule has them; of a closed loop at PACE."""
    load = schedule(scenario, seed)
    tokens = load.arrivals.numbers("output_tokens")
    if not len(tokens):
        return 0.0, 0.0
    if isinstance(scenario.arrivals, ClosedLoop):
        chunks = PACE * scenario.arrivals.concurrency
        return chunks, chunks / float(tokens.mean())
    turns = scenario.conversation.turns.middle if scenario.conversation else 1.0
    requests = turns * len(tokens) / load.end
    return requests * float(tokens.mean()), requests


def count(
    chunks: float, requests: float, cores: int, beside_server: bool, most: int | None = None
) -> tuple[int, str]:
    """For a load of so many per second on so many cores. `most`: requests in flight, of which each worker
    must have one."""
    usable = max(cores // 2 if beside_server else cores - 1, 1)
    wanted = max(math.ceil(chunks / CHUNKS), math.ceil(requests / REQUESTS), 1)
    chosen = min(wanted, usable, most or usable)
    s = "s" if chosen > 1 else ""
    short = "" if chosen == wanted else f", which would take {wanted}"
    left = "half of them for the server" if beside_server else "one of them for the master"
    return chosen, (
        f"{chosen} worker{s} (auto): {chunks:,.0f} chunks/s and {requests:,.0f} requests/s are offered"
        f"{short}; {cores} cores, {left}"
    )
