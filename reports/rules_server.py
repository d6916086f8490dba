"""SATURATED: did the server keep up with the offered rate?"""

from dataclasses import dataclass

import numpy as np

from loadgen.record import FAILED, UNFINISHED
from reports import metrics
from reports.backlog import END_GROWTH, GROWTH, LEAST, TREND_P, measure, measure_end, measure_steps
from reports.runs import Mask, Run
from reports.stages import stages
from reports.survival import binomial_cdf
from reports.validity import Rule, Verdict, not_checked

UNFINISHED_SHARE = 0.01  # above it the p99 is only known to be "> x"
REFUSED_SHARE = 0.01  # likewise
PART_P = 0.01  # of a workload's share being above the bound by chance
_OVERLOAD_STATUS = (429, 503)

_LOWER_RATE = "lower the rate (RPS=); `make capacity` finds the highest that holds the SLO"
_NO_QUEUE = "in a closed loop a slower server is asked less, so that no queue can grow"


def backlog(run: Run) -> Rule:
    """Growth of the number in flight beyond what the arrivals explain / the offered rate, if significant."""
    if run.closed_loop:
        return not_checked("backlog", Verdict.SATURATED, GROWTH, "share", _NO_QUEUE)
    planned = stages(run)
    whole = None if planned else measure(run)
    tried = measure_steps(run, planned) if planned else [whole] if whole else []
    if not tried:
        least = "no step of a constant rate has" if planned else "fewer than"
        why = f"{least} {LEAST} arrivals"
        return not_checked("backlog", Verdict.SATURATED, GROWTH, "share", why)
    level = TREND_P / len(tried)
    found = max(tried, key=lambda each: (each.grows(level), each.share / each.bound))
    of = f", the step of {len(tried)} in which most came to it" if len(tried) > 1 else ""
    text = f"at {found.place}{of}: " if found.place else ""
    text += _in_flight(found.means[0], found.means[-1], found.explained[0], found.explained[-1])
    text += f"the rest: {found.growth * 60:+.1f} a minute, {100 * found.share:+.1f} % of the offered rate; "
    text += f"p = {found.p:.2g} (Mann-Kendall, {len(found.means)} blocks of {found.block:.1f} s)"
    passed = not found.grows(level)
    return Rule("backlog", Verdict.SATURATED, passed, found.share, found.bound, "share", text, _LOWER_RATE)


def backlog_at_end(run: Run) -> Rule:
    """The same in the window's last tenth or fifth / the arrivals due there; of ramps and traces, too."""
    if run.closed_loop:
        return not_checked("backlog_at_end", Verdict.SATURATED, END_GROWTH, "share", _NO_QUEUE)
    found = measure_end(run)
    if found is None:
        why = f"fewer than {LEAST} arrivals, or none had completed before the window's last tenth"
        return not_checked("backlog_at_end", Verdict.SATURATED, END_GROWTH, "share", why)
    text = f"in the last {found.seconds:.1f} s " + _in_flight(*found.means, *found.explained)
    text += f"the rest: {found.growth:+.1f} against the most before, {100 * found.share:+.1f} % of the "
    text += f"{found.due} arrivals due there"
    advice = "see the figures over time for what slowed the server or which rate it no longer held; "
    advice += f"then run longer, or {_LOWER_RATE}"
    passed = found.share <= found.bound
    return Rule("backlog_at_end", Verdict.SATURATED, passed, found.share, found.bound, "share", text, advice)


def _in_flight(first: float, last: float, first_explained: float, last_explained: float) -> str:
    text = f"requests in flight went from {first:.1f} to {last:.1f}, those that the arrivals explain from "
    return text + f"{first_explained:.1f} to {last_explained:.1f}; "


def unfinished_share(run: Run) -> Rule:
    """Share of the window's arrivals that were unfinished when the drain ended."""
    counts = metrics.accounting(run)
    if not counts["due"]:
        return not_checked(
            "unfinished_share", Verdict.SATURATED, UNFINISHED_SHARE, "share", "nothing was due"
        )
    worst = worst_share(run, run.records.status_is(UNFINISHED), UNFINISHED_SHARE)
    text = f"{worst} unfinished after a drain of "
    text += f"{run.manifest.drained_at - run.manifest.schedule_end:.1f} s"
    advice = f"{_LOWER_RATE}; if the drain was shorter than a request lasts, raise --drain"
    passed = worst.share <= UNFINISHED_SHARE
    return Rule(
        "unfinished_share", Verdict.SATURATED, passed, worst.share, UNFINISHED_SHARE, "share", text, advice
    )


def refused_share(run: Run) -> Rule:
    """Share of the window's arrivals that an overloaded server turned away (429, 503) or let time out."""
    if not run.judged.any():
        return not_checked("refused_share", Verdict.SATURATED, REFUSED_SHARE, "share", "nothing was due")
    worst = worst_share(run, overloaded(run), REFUSED_SHARE)
    text, figure = f"{worst} refused (429, 503) or timed out", worst.share
    passed = figure <= REFUSED_SHARE
    return Rule("refused_share", Verdict.SATURATED, passed, figure, REFUSED_SHARE, "share", text, _LOWER_RATE)


@dataclass(frozen=True)
class Share:
    """How many of how many; `workload`: of which part of a mix, empty for all."""

    count: int
    of: int
    workload: str = ""

    @property
    def share(self) -> float:
        return self.count / self.of

    def __str__(self) -> str:
        return f"{self.count} of {self.of}" + (f" ({self.workload})" if self.workload else "")


def worst_share(run: Run, chosen: Mask, bound: float) -> Share:
    """The share of the window's arrivals (one or more) that were chosen: of all, or of the workload that it
    hits most. In a mix a small workload can starve and be less than `bound` of all.

    A workload counts where its share is above the bound by more than chance (binomial, PART_P).
    """
    whole = Share(int((run.judged & chosen).sum()), int(run.judged.sum()))
    codes, names = run.records.codes("workload")
    here = run.judged & (codes >= 0)
    due, hit = (np.bincount(codes[mask], minlength=len(names)) for mask in (here, here & chosen))
    parts = [Share(int(count), int(of), name) for count, of, name in zip(hit, due, names, strict=True) if of]
    if whole.share > bound or len(parts) < 2:
        return whole
    beyond = [part for part in parts if part.share > bound and _by_chance(part, bound) <= PART_P]
    return max([whole, *beyond], key=lambda part: part.share)


def _by_chance(part: Share, bound: float) -> float:
    """How likely so many or more are where each is hit with the probability `bound`."""
    return 1 - binomial_cdf(part.count - 1, part.of, bound)


def overloaded(run: Run) -> Mask:
    """Which records failed in a way that says the server had too much to do; shape (records,)."""
    failed = run.records.status_is(FAILED)
    codes, texts = run.records.codes("error")
    timed = [
        code for code, text in enumerate(texts) if "timed out" in text.lower() or "timeout" in text.lower()
    ]
    status = run.records.numbers("http_status")
    return failed & (np.isin(status, _OVERLOAD_STATUS) | np.isin(codes, timed))


def saturated(run: Run) -> bool:
    """Whether any rule of this module fails."""
    return any(not rule(run).passed for rule in RULES)


def growing(run: Run) -> bool:
    """Whether a queue grew, as far as the run's source can tell: a rule of the backlog fails."""
    return any(not rule(run).passed for rule in QUEUE if rule.__name__ not in run.limits.rules)


QUEUE = (backlog, backlog_at_end)
RULES = (*QUEUE, unfinished_share, refused_share)
