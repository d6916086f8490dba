"""CLIENT-LIMITED: did the load leave on time, and were our stamps prompt?"""

from collections.abc import Callable

import numpy as np

from loadgen.records.record import FAILED, LOST
from reports.metrics import durations, request_metrics
from reports.runs.manifest import Lane
from reports.runs.runs import LATE_SHARE, Run
from reports.text.formatting import counted, milliseconds, quantity
from reports.verdict.rule import Rule, Verdict, not_checked, rule

LAG_P99 = 0.005  # s; a twentieth of the 100 ms that a person notices, and what the project promises
LATE = 0.05  # s; a request that leaves this late meets a different server than it was due to meet
STALL_P99 = 10.0  # ms; a stamp can be late by one stall: a tenth of the 100 ms that a person notices
CPU = 0.8  # of one core; above it, events queue in the single-threaded loop (M/D/1: mean wait 2 services)
UNSENT_SHARE = 0.01  # share of the due arrivals that may have left after the window
SHARED = 0.25  # of the server's own cores; workers go first there, so what they take, it lacks
HELD = 0.01  # share of the requests; so many move a p99
FILES = 0.9  # of the limit; sockets beyond it are refused by our own kernel, not by the server

_MORE_WORKERS = "spread the load: WORKERS=n, or workers on other machines"
_LATE_ADVICE = f"{_MORE_WORKERS}; see that nothing else takes the workers' cores"


@rule
def dispatch_delay_p99(run: Run) -> Rule:
    """p99 of sent - due, less what `max_concurrency` held back."""
    found = request_metrics.percentile(run, "dispatch_delay", 0.99)
    if not found.count:
        return not_checked("dispatch_delay_p99", Verdict.CLIENT_LIMITED, LAG_P99, "s", "no request was sent")
    figure = found.value
    never = f"> {milliseconds(found.lower_bound)}: requests never left"
    text = never if figure is None else milliseconds(figure)
    text = f"99 % of {found.count:,} requests left within {text} of their due time"
    passed = figure is not None and figure <= LAG_P99
    return Rule(
        "dispatch_delay_p99", Verdict.CLIENT_LIMITED, passed, figure, LAG_P99, "s", text, _LATE_ADVICE
    )


@rule
def late_share(run: Run) -> Rule:
    """Share of requests that left more than 50 ms late."""
    lag = durations.of(run, "dispatch_delay").seconds
    if not len(lag):
        return not_checked("late_share", Verdict.CLIENT_LIMITED, LATE_SHARE, "share", "no request was sent")
    late = int((lag > LATE).sum())
    figure = late / len(lag)
    text = f"{late:,} of {len(lag):,} requests left more than {LATE * 1e3:.0f} ms late"
    passed = figure <= LATE_SHARE
    return Rule("late_share", Verdict.CLIENT_LIMITED, passed, figure, LATE_SHARE, "share", text, _LATE_ADVICE)


@rule
def unsent_share(run: Run) -> Rule:
    """Share of the window's arrivals that had not left when the window ended, left out those lost and those
    that `max_concurrency` held back.
    """
    held, sent = np.nan_to_num(run.records.numbers("held")), run.records.numbers("sent")
    here = run.judged & ~run.records.status_is(LOST) & ~((held > 0) & np.isnan(sent))
    due = int(here.sum())
    if not due:
        return not_checked("unsent_share", Verdict.CLIENT_LIMITED, UNSENT_SHARE, "share", "nothing was due")
    unsent = np.isnan(sent) & run.records.status_is(FAILED)  # tried, but not even a connect was possible
    left = int((here & (unsent | (sent - held < run.window[1] + LAG_P99))).sum())
    figure = (due - left) / due
    asked, got = due / run.window_length, left / run.window_length
    text = f"{got:.2f} of {asked:.2f} requests/s left inside the window"
    passed = figure <= UNSENT_SHARE
    return Rule(
        "unsent_share", Verdict.CLIENT_LIMITED, passed, figure, UNSENT_SHARE, "share", text, _LATE_ADVICE
    )


@rule
def loop_stall_p99(run: Run) -> Rule:
    """The worst lane's p99 stall of its event loop; fails where a living lane did not say and others did."""
    worst = _worst(run, lambda lane: lane.stall_p99_ms)
    if worst is None:
        return not_checked(
            "loop_stall_p99", Verdict.CLIENT_LIMITED, STALL_P99, "ms", "no worker reported stalls"
        )
    figure, lane = worst
    text = (
        f"the loop of {lane.label} stalled {quantity(figure, 'ms')} (p99) and "
        f"{quantity(lane.stall_max_ms or 0, 'ms')} at most"
    )
    silent = [other.label for other in run.manifest.lanes if not other.lost and other.stall_p99_ms is None]
    text += f"; {', '.join(silent)} did not say" if silent else ""
    advice = f"{_MORE_WORKERS}; keep listeners on the record hooks short"
    passed = figure <= STALL_P99 and not silent
    return Rule("loop_stall_p99", Verdict.CLIENT_LIMITED, passed, figure, STALL_P99, "ms", text, advice)


@rule
def worker_cpu(run: Run) -> Rule:
    """The busiest lane's CPU time / wall time, over the schedule."""
    worst = _worst(
        run, lambda lane: lane.cpu_s / lane.wall_s if lane.cpu_s is not None and lane.wall_s else None
    )
    if worst is None:
        return not_checked("worker_cpu", Verdict.CLIENT_LIMITED, CPU, "cores", "no worker reported CPU time")
    figure, lane = worst
    text = f"{lane.label} used {100 * figure:.0f} % of a core"
    return Rule(
        "worker_cpu", Verdict.CLIENT_LIMITED, figure <= CPU, figure, CPU, "cores", text, _MORE_WORKERS
    )


@rule
def shared_cores(run: Run) -> Rule:
    """CPU time of all workers on the server's own machine / all that its cores had, over the schedule."""
    name = "shared_cores"
    here = [
        lane for lane in run.manifest.lanes if lane.beside_server and lane.cpu_s is not None and lane.wall_s
    ]
    if not here:
        return not_checked(
            name, Verdict.CLIENT_LIMITED, SHARED, "share", "no worker is known to run on the server's machine"
        )
    if (run.manifest.server or {}).get("pinned"):
        why = "client and server have cores of their own (--pin)"
        return not_checked(name, Verdict.CLIENT_LIMITED, SHARED, "share", why)
    used, cores = sum((lane.cpu_s or 0.0) / (lane.wall_s or 1.0) for lane in here), here[0].cores or 1
    figure = used / cores
    text = f"{counted(len(here), 'worker')} used {used:.2f} of the {cores} cores that the server runs on"
    advice = "put the workers on another machine, or lower the rate: what they take, the server lacks"
    return Rule(name, Verdict.CLIENT_LIMITED, figure <= SHARED, figure, SHARED, "share", text, advice)


@rule
def open_files(run: Run) -> Rule:
    """The peak number of requests in flight / the limit of open files, of the worst lane."""
    worst = _worst(
        run,
        lambda lane: (
            lane.peak_in_flight / lane.open_files_limit
            if lane.peak_in_flight is not None and lane.open_files_limit
            else None
        ),
    )
    if worst is None:
        return not_checked(
            "open_files", Verdict.CLIENT_LIMITED, FILES, "share", "no worker reported its limit"
        )
    figure, lane = worst
    limit, peak = lane.open_files_limit, lane.peak_in_flight
    text = f"{lane.label} had {peak} requests in flight, {limit} open files allowed"
    advice = f"raise the limit (ulimit -n), or {_MORE_WORKERS}"
    return Rule("open_files", Verdict.CLIENT_LIMITED, figure <= FILES, figure, FILES, "share", text, advice)


@rule
def client_queue(run: Run) -> Rule:
    """Share of the arrivals that `max_concurrency` held back: they waited in the client. It only warns."""
    name, held = "client_queue", run.records.numbers("held")[run.judged]
    waited = held[held > 0]
    figure = len(waited) / max(len(held), 1)
    text = f"max_concurrency held back {len(waited)} of {len(held)} requests"
    if len(waited):
        text += f", for {np.quantile(waited, 0.5):.3g} s (p50) and {waited.max():.3g} s at most"
    advice = "scheduled figures hold this wait, service figures do not; raise the cap, or lower the rate"
    return Rule(name, Verdict.VALID, figure <= HELD, figure, HELD, "share", text, advice)


def _worst(run: Run, figure: Callable[[Lane], float | None]) -> tuple[float, Lane] | None:
    """The highest figure of a lane, and whose; None where no lane has one."""
    found = [(value, lane) for lane in run.manifest.lanes if (value := figure(lane)) is not None]
    return max(found, key=lambda pair: pair[0]) if found else None
