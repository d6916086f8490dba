"""Repeats whose measuring was disturbed, while others of the same variant were not.

One disturbed run would leave a whole series without a claim. It is excluded where enough sound repeats of its
variant stand in, and only for what befell the measuring: what the server did is a result, good or bad.
"""

from collections.abc import Sequence

from reports.document.run import UNUSABLE, RunInfo
from reports.runs.runs import Run

SOUND = 2  # repeats that a variant must keep: fewer say nothing of how runs differ
# Rules that another program on the machine, or a lost worker, can break in one repeat and not in the next.
DISTURBANCES = frozenset(
    {
        "lanes_lost",
        "batches_lost",
        "clocks",
        "dispatch_delay_p99",
        "late_share",
        "unsent_share",
        "loop_stall_p99",
        "worker_cpu",
        "shared_cores",
    }
)


def excluded(repeats: Sequence[RunInfo]) -> list[RunInfo]:
    """Which runs of one variant are excluded; none where fewer than SOUND are usable."""
    usable = [run for run in repeats if run.verdict not in UNUSABLE]
    return [run for run in repeats if _disturbed(run)] if len(usable) >= SOUND else []


def without(excluded: Sequence[RunInfo], runs: Sequence[Run]) -> list[Run]:
    """The runs that figures are made of."""
    gone = {info.run for info in excluded}
    return [run for run in runs if run.name not in gone]


def _disturbed(run: RunInfo) -> bool:
    failed = [rule for rule in run.rules if not rule.passed and rule.verdict in UNUSABLE]
    return bool(failed) and all(rule.verdict == "DISTURBED" or rule.rule in DISTURBANCES for rule in failed)
