"""Does a run meet the SLO at its rate? What its records say, and with what confidence.

The share is of all arrivals, from their due time, so whatever our own client loses counts against the
server. That makes "met" safe. "Missed" is said only when arrivals miss the SLO even where the client is
granted its own lateness: the time from the send, less the longest stall of a worker's loop.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from reports.metrics import durations, request_metrics
from reports.metrics.plateau import open_at
from reports.runs.runs import Run
from reports.statistics.queue_fit import Step
from reports.statistics.waits import Floats, Offered
from reports.verdict.rule import Rule, Verdict
from reports.verdict.rules.gpu import others_on_gpu
from reports.verdict.rules.machine import others_on_machine
from reports.verdict.rules.server import SERVER

PROMPT_WORK = 0.1  # of a prompt's token against that of an answer, which takes a step of its own
DROWNED = 0.3  # of the arrivals missed: then what a server that fell behind completes is all that it can
# Rules of INVALID that are no matter here: no p99 is printed as a claim, and a slow beginning counts as slow.
NOT_ASKED = ("enough_requests", "warmup_long_enough")
FALLS_BEHIND = frozenset(each.__name__ for each in SERVER)

State = Literal["met", "missed", "unclear"]


@dataclass(frozen=True)
class Standing:
    """What one run says at its rate. Counts are of the window's arrivals."""

    judged: int
    met: int  # met every part of the SLO, from the due time
    met_granted: int  # the same, with the client's own lateness granted
    behind: str | None  # the rule that says that the server fell behind
    doubt: str | None  # why the run says nothing on the SLO
    late: str | None  # the server may have seen less than the asked rate, and the SLO would not notice
    completed_rate: float  # per second
    disturbed: str | None = None  # who took the cores meanwhile


def standing(run: Run, rules: Sequence[Rule]) -> Standing:
    """Read a run with an SLO; `rules` are those of `validity.check`. Raises ValueError without an SLO."""
    stall = max((lane.stall_max_ms or 0.0 for lane in run.manifest.lanes), default=0.0) / 1000
    good, granted = durations.met_slo(run), durations.met_slo(run, granted=stall)
    if good is None or granted is None:
        raise ValueError(f"{run.name}: its scenario has no SLO")
    failed = [rule for rule in rules if not rule.passed]
    invalid = [r for r in failed if r.verdict is Verdict.INVALID and r.rule not in NOT_ASKED]
    behind = [rule for rule in failed if rule.rule in FALLS_BEHIND]
    others = (others_on_machine.__name__, others_on_gpu.__name__)
    disturbed = [r for r in failed if r.rule in others and r.verdict is Verdict.DISTURBED]
    late = [rule for rule in failed if rule.rule == "unsent_share" and not _bounds_lateness(run)]
    return Standing(
        len(good),
        int(good.sum()),
        int(granted.sum()),
        behind[0].text if behind else None,
        f"{invalid[0].rule}: {invalid[0].text}" if invalid else None if len(good) else "nothing was due",
        late[0].text if late else None,
        request_metrics.rate(run, "completed_rate").value or 0.0,
        disturbed[0].text if disturbed else None,
    )


def work_of(prompt: Floats, output: Floats) -> Floats:
    """Of requests of so many tokens, in tokens of an answer."""
    return np.asarray(output + PROMPT_WORK * prompt + 1)


def step_of(run: Run, rate: float, now: Standing) -> Step:
    """The run as the search for the highest rate takes it: its arrivals, who missed the SLO, their TTFT."""
    due = run.records.numbers("due")
    order = np.argsort(due, kind="stable")
    tokens = (np.nan_to_num(run.records.numbers(f"{name}_asked")) for name in ("prompt", "output"))
    missed = run.judged.copy()
    missed[run.judged] = ~np.asarray(durations.met_slo(run))
    first, last = (run.records.numbers(name) for name in ("first_token", "last_token"))
    drowned = now.behind is not None and now.met < (1 - DROWNED) * now.judged
    return Step(
        rate,
        Offered(due[order], work_of(*tokens)[order], run.judged[order]),
        missed[order],
        np.nan_to_num(first - due, nan=np.inf)[order],
        most_at_once(first, last),
        now.completed_rate if drowned else None,
    )


def most_at_once(first: Floats, last: Floats) -> int:
    """How many answers streamed at once, at most."""
    known = np.isfinite(first) & np.isfinite(last)
    return int(open_at(first[known], last[known])[1].max(initial=1))


def state_of(found: Standing, share: float) -> tuple[State, str]:
    """Whether the share was met at this rate, and why not in a few words ("" when it was).

    A rate at which the queue grows misses it, however well its first seconds went. Where others took
    the cores meanwhile, it is said.
    """
    state, why = _undisturbed(found, share)
    return state, f"{why}; meanwhile {found.disturbed}" if state == "missed" and found.disturbed else why


def _undisturbed(found: Standing, share: float) -> tuple[State, str]:
    if found.doubt:
        return "unclear", found.doubt
    if found.met >= share * found.judged:
        if found.behind:
            return "missed", f"falls behind: {found.behind}"
        return ("unclear", f"the load left late: {found.late}") if found.late else ("met", "")
    if found.met_granted < share * found.judged:
        return "missed", f"{found.judged - found.met} of {found.judged} arrivals missed it"
    return "unclear", "misses that the client's own lateness explains"


def _bounds_lateness(run: Run) -> bool:
    """An SLO that counts from the due time is missed by what leaves late; so what met it did not."""
    slo = run.manifest.scenario.get("slo") or {}
    return slo.get("ttft") is not None or slo.get("latency") is not None
