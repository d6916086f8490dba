"""SATURATED: did the server keep up with the offered rate?"""

from collections.abc import Callable

from loadgen.records.record import UNFINISHED
from reports.metrics import request_metrics
from reports.metrics.stages import stages
from reports.runs.runs import Run
from reports.verdict.backlog import END_GROWTH, GROWTH, LEAST, TREND_P, measure, measure_end, measure_steps
from reports.verdict.rule import Rule, Verdict, not_checked, rule
from reports.verdict.shares import overloaded, worst_share

UNFINISHED_SHARE = 0.01  # above it the p99 is only known to be "> x"
REFUSED_SHARE = 0.01  # likewise

_LOWER_RATE = "lower the rate (RPS=). `make capacity` finds the highest that meets the SLO"
_NO_QUEUE = "in a closed loop a slower server is asked less, so that no queue can grow"


@rule
def backlog(run: Run) -> Rule:
    """Growth of the number in flight beyond the expected number / the offered rate, if significant.
    Bound: 1 %, and what chance and a batch give.
    """
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
    text += f"the rest: {found.growth * 60:+.1f} a minute, {100 * found.share:+.1f} % of the offered rate "
    text += f"(Mann-Kendall over {len(found.means)} blocks of {found.block:.1f} s: p = {found.p:.2g})"
    passed = not found.grows(level)
    return Rule("backlog", Verdict.SATURATED, passed, found.share, found.bound, "share", text, _LOWER_RATE)


@rule
def backlog_at_end(run: Run) -> Rule:
    """The same in the window's last tenth or fifth / the arrivals due there; of ramps and traces, too.
    Bound: 15 %, and what chance and a batch give.
    """
    if run.closed_loop:
        return not_checked("backlog_at_end", Verdict.SATURATED, END_GROWTH, "share", _NO_QUEUE)
    found = measure_end(run)
    if found is None:
        why = f"fewer than {LEAST} arrivals, or none had completed before the window's last tenth"
        return not_checked("backlog_at_end", Verdict.SATURATED, END_GROWTH, "share", why)
    text = f"in the last {found.seconds:.1f} s " + _in_flight(*found.means, *found.explained)
    text += f"the rest: {found.growth:+.1f} against the most before, {100 * found.share:+.1f} % of the "
    text += f"{found.due} arrivals due there"
    advice = "see the figures over time for what slowed the server, or from which rate on it fell behind. "
    advice += f"Then run longer, or {_LOWER_RATE}"
    passed = found.share <= found.bound
    return Rule("backlog_at_end", Verdict.SATURATED, passed, found.share, found.bound, "share", text, advice)


def _in_flight(first: float, last: float, first_explained: float, last_explained: float) -> str:
    text = f"requests in flight went from {first:.1f} to {last:.1f}, and "
    return text + f"{first_explained:.1f} to {last_explained:.1f} were expected in flight; "


@rule
def stopped_early(run: Run) -> Rule:
    """How much of its window the run went on for: one whose server falls behind beyond doubt is stopped.
    Bound: all of it (docs/measure.md).
    """
    window, why = run.manifest.window, run.manifest.stopped_early
    figure = run.window_length / (window.end - window.start) if why else 1.0
    text = f"stopped after {run.window_length:.1f} s: {why}" if why else "not stopped early"
    return Rule("stopped_early", Verdict.SATURATED, why is None, figure, 1.0, "share", text, _LOWER_RATE)


@rule
def unfinished_share(run: Run) -> Rule:
    """Share of the window's arrivals that were unfinished when the drain ended."""
    counts = request_metrics.accounting(run)
    if not counts["due"]:
        return not_checked(
            "unfinished_share", Verdict.SATURATED, UNFINISHED_SHARE, "share", "nothing was due"
        )
    worst = worst_share(run, run.records.status_is(UNFINISHED), UNFINISHED_SHARE)
    text = f"{worst} unfinished after a drain of "
    text += f"{run.manifest.drained_at - run.manifest.schedule_end:.1f} s"
    advice = f"{_LOWER_RATE}. If the drain was shorter than a request lasts, raise --drain"
    passed = worst.share <= UNFINISHED_SHARE
    return Rule(
        "unfinished_share", Verdict.SATURATED, passed, worst.share, UNFINISHED_SHARE, "share", text, advice
    )


@rule
def refused_share(run: Run) -> Rule:
    """Share of the window's arrivals that an overloaded server turned away (429, 503) or let time out.

    So does a gateway that is full and closes connections before it answers.
    """
    if not run.judged.any():
        return not_checked("refused_share", Verdict.SATURATED, REFUSED_SHARE, "share", "nothing was due")
    worst = worst_share(run, overloaded(run), REFUSED_SHARE)
    text, figure = f"{worst} refused (429, 503, closed by a full gateway) or timed out", worst.share
    passed = figure <= REFUSED_SHARE
    return Rule("refused_share", Verdict.SATURATED, passed, figure, REFUSED_SHARE, "share", text, _LOWER_RATE)


def saturated(run: Run) -> bool:
    """Whether any rule of this module fails."""
    return any(_fails(each, run) for each in SERVER)


def growing(run: Run) -> bool:
    """Whether a queue grew: a rule of the backlog fails."""
    return any(_fails(each, run) for each in QUEUE)


def _fails(each: Callable[[Run], Rule], run: Run) -> bool:
    """As far as the run's source can tell."""
    return each.__name__ not in run.limits.rules and not each(run).passed


QUEUE = (backlog, backlog_at_end, stopped_early)
SERVER = (*QUEUE, unfinished_share, refused_share)
