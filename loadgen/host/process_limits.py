"""How many files this process may open, against how many the load may need."""

import resource

from common.usage import UsageError
from loadgen.workload.schedule import Arrival

SPARE = 100  # files that are no connections
CERTAIN = 5.0  # s: a server that takes this long for an answer is nothing unusual


def raise_limit() -> int:
    """Raise the soft limit of open files to the hard one; return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard if hard != resource.RLIM_INFINITY else 2**31


def check(limit: int, arrivals: list[Arrival]) -> None:
    """Raise UsageError when the limit cannot hold the connections of any CERTAIN seconds of `arrivals`.

    A server that never answers needs one for every arrival; the record then says that none was left.
    """
    need = SPARE + busiest([arrival.due or 0.0 for arrival in arrivals], CERTAIN)
    if need > limit:
        raise UsageError(
            f"open files are limited to {limit}, this load needs {need} or more on each worker; "
            "raise it (ulimit -n), or spread the load (WORKERS=n)"
        )


def busiest(due: list[float], span: float) -> int:
    """The most of the sorted times within any `span` seconds."""
    most = start = 0
    for end, moment in enumerate(due):
        while moment - due[start] >= span:
            start += 1
        most = max(most, end - start + 1)
    return most
