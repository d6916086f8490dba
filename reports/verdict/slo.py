"""Does a run meet the SLO at its rate? What its records say, and with what confidence.

The share is of all arrivals, from their due time, so whatever our own client loses counts against the
server. That makes "met" safe. "Missed" is said only when arrivals miss the SLO even where the client is
granted its own lateness: the time from the send, less the longest stall of a worker's loop.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from reports.metrics import durations, request_metrics
from reports.runs.runs import Run
from reports.statistics.distributions import normal_quantile
from reports.verdict.rule import Rule, Verdict
from reports.verdict.rules.machine import others_on_machine
from reports.verdict.rules.server import SERVER

CONFIDENCE = 0.95
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
    disturbed = [rule for rule in failed if rule.rule == others_on_machine.__name__]
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


def wilson(met: int, count: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """The interval of a share (Wilson 1927, JASA 22): of independent arrivals; neighbours in a queue are
    not, so the truth is wider. (0, 1) for none."""
    if not count:
        return 0.0, 1.0
    z = normal_quantile((1 + confidence) / 2)
    share, shrink = met / count, 1 + z * z / count
    middle = (share + z * z / (2 * count)) / shrink
    half = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count)) / shrink
    return max(0.0, middle - half), min(1.0, middle + half)


def _bounds_lateness(run: Run) -> bool:
    """An SLO that counts from the due time is missed by what leaves late; so what met it did not."""
    slo = run.manifest.scenario.get("slo") or {}
    return slo.get("ttft") is not None or slo.get("latency") is not None
