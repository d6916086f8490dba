"""DISTURBED: did others take the cores that client and server needed? And is a process of the server full?"""

from reports.metrics import machine
from reports.metrics.machine import Disturbance, ServerProcess
from reports.runs.runs import Run
from reports.verdict.both_sides import FRONT_END
from reports.verdict.rule import Rule, Verdict, not_checked, rule
from reports.verdict.rules.server import saturated

DISTURBED_SHARE = 0.01  # of the window's seconds; more, and they can make every p99
SINGLE = 1.25  # a process's CPU time / its busiest thread's, up to which that thread is the process

_UNSEEN = "the run has no samples of its machines (it was made elsewhere, or by an earlier version)"
_CURES = {  # how a process's name begins: what relieves it
    "API server": "the front end is full: try --api-server-count 2, or vLLM's Rust front end",
    "APIServer": "the front end is full: try a higher --api-server-count, or vLLM's Rust front end",
    "EngineCore": "each engine step is bound by one core of the host: try CUDA graphs (no --enforce-eager)",
}


@rule
def others_on_machine(run: Run) -> Rule:
    """Share of the window's seconds in which others took 10 % or more of a machine's cores: other programs,
    while fewer than two cores were idle, or the host of a virtual machine (steal).

    A lone second counts from 30 % on. Others are told from the server where its processes can be seen.
    """
    name = "others_on_machine"
    watched = machine.uses(run)
    if not watched:
        return not_checked(name, Verdict.DISTURBED, DISTURBED_SHARE, "share", _UNSEEN)
    if not any(use.judged.any() for use in watched):
        why = "the server's processes cannot be told from others: it runs in a container, or another user's"
        return not_checked(name, Verdict.DISTURBED, DISTURBED_SHARE, "share", why)
    found = [each for each in machine.disturbances(run) if each.start < run.window[1]]
    figure = machine.disturbed_seconds(run) / run.window_length
    text = "; ".join(map(_told, sorted(found, key=_size)[:3])) or "nobody else took a tenth of the cores"
    text += f"; and {len(found) - 3} times more" if len(found) > 3 else ""
    advice = "have the machine to yourself, and run again: latencies are those of a machine that was shared"
    passed = figure <= DISTURBED_SHARE
    return Rule(name, Verdict.DISTURBED, passed, figure, DISTURBED_SHARE, "share", text, advice)


def _size(each: Disturbance) -> float:
    return -each.share * (each.end - each.start)


def _told(each: Disturbance) -> str:
    where = "" if each.machine == "master" else f" of the machine of {each.machine}"
    text = (
        f"others took {100 * each.share:.0f} % of the cores{where} from {each.start:.0f} to {each.end:.0f} s"
    )
    if each.culprit:
        text += f", {each.culprit} {100 * each.culprit_share:.0f} %"
    if each.steal >= 0.01:
        text += f", the host of this virtual machine {100 * each.steal:.0f} % (steal)"
    return text


def _may_bound(run: Run, each: ServerProcess) -> bool:
    """Whether a full process of that kind bounds what is measured, and is not what measures up."""
    if each.name.startswith(FRONT_END) or not machine.computes_on_cores(run, each.machine):
        return True
    return saturated(run)


@rule
def server_process_full(run: Run) -> Rule:
    """The busiest thread of a server's process that has hardly another one / a core, over the window.

    Where cores compute the model, the front end counts, and others only once the server fell behind.
    """
    name = "server_process_full"
    seen = machine.server_processes(run)
    if not seen:
        return not_checked(
            name,
            Verdict.VALID,
            machine.FULL,
            "cores",
            "no process of the server's was seen where workers ran",
        )
    single = [each for each in seen if each.cpu <= SINGLE * each.thread and _may_bound(run, each)]
    worst = (single or seen)[0]
    figure = worst.thread if single else 0.0
    text = f"{worst.name} used {worst.cpu:.2f} cores, its busiest thread {worst.thread:.2f}"
    text += f"; its threads waited for a core {worst.waiting:.2f} s in each second"
    cure = next((each for start, each in _CURES.items() if worst.name.startswith(start)), "")
    advice = cure or f"{worst.name} can do no more than one core does: that bounds what is measured"
    return Rule(name, Verdict.VALID, figure <= machine.FULL, figure, machine.FULL, "cores", text, advice)
