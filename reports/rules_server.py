"""SATURATED: did the server keep up with the offered rate?"""

import math
from dataclasses import dataclass

import numpy as np

from loadgen.record import FAILED, UNFINISHED
from reports import metrics, trend
from reports.runs import Floats, Mask, Run
from reports.stages import Stage, stages
from reports.survival import binomial_cdf
from reports.validity import Rule, Verdict, not_checked

TREND_P = 0.01  # of Mann-Kendall on the blocks; see `backlog` for the false alarms that this gives
GROWTH = 0.01  # of the offered rate; a slower growth moves no latency within a window
BEYOND_CHANCE = 3.0  # standard deviations of the difference of two counts of independent requests
BLOCKS = (8, 20)  # 8 can reach p = 0.01 with room; more than 20 only make the blocks more alike
LEAST = 10 * BLOCKS[0]  # arrivals
BLOCK_LENGTH = 2.0  # in request durations: the number in flight forgets itself over one
UNFINISHED_SHARE = 0.01  # above it the p99 is only known to be "> x"
REFUSED_SHARE = 0.01  # likewise
PART_P = 0.01  # of a workload's share being above the bound by chance
_OVERLOAD_STATUS = (429, 503)

_LOWER_RATE = "lower the rate (RPS=), or sweep rates with --allow saturated to find the capacity"


@dataclass(frozen=True)
class Backlog:
    """Requests in flight over the window, in blocks."""

    means: Floats
    p: float  # one-sided, Mann-Kendall
    growth: float  # requests per second, Theil-Sen
    block: float  # seconds
    chance: float  # requests per second: a growth that requests which nothing holds up show by themselves
    offered: float  # requests per second
    place: str = ""  # the step that it is of, where the load has several

    @property
    def share(self) -> float:
        """Of the offered rate, what the growth is."""
        return self.growth / self.offered

    @property
    def bound(self) -> float:
        return max(GROWTH, self.chance / self.offered)

    def grows(self, level: float) -> bool:
        """Whether it grows, at this level of the test."""
        return self.p <= level and self.share > self.bound


def measure_backlog(run: Run, span: tuple[float, float] | None = None, place: str = "") -> Backlog | None:
    """Test whether the number of requests in flight rises over the window, or over another span of seconds.

    None: too few arrivals.

    Answers of very different lengths, which no queue holds up, drift over a window by themselves: their
    number at any moment is Poisson, so over the window it may grow by some sqrt(2 x their mean number).

    Block means of the exact number in flight; a block lasts 2 request durations (first to last token: what
    a queue cannot lengthen) where the window allows 8 of them. Neighbouring blocks still hang together, so
    the nominal 1 % of the test is exceeded: for stable queues (1, 8 and 160 servers, loads of 60 to 90 %,
    windows of 60 and 300 s) simulation gave false alarms in 0 to 3.5 % of 400 runs; the stated level is 5 %.
    """
    start, end = span or run.window
    due = run.records.numbers("due")
    here = run.judged & (due >= start) & (due < end)
    if int(here.sum()) < LEAST:
        return None
    length = BLOCK_LENGTH * _decode(run, here)
    seconds = end - start
    count = int(np.clip(seconds / length if length > 0 else BLOCKS[1], *BLOCKS))
    means, block = metrics.in_flight(run, np.linspace(start, end, count + 1)), seconds / count
    chance = BEYOND_CHANCE * math.sqrt(2 * max(float(np.median(means)), 0.0)) / seconds
    growth, offered = trend.theil_sen(means) / block, int(here.sum()) / seconds
    return Backlog(means, trend.mann_kendall(means), growth, block, chance, offered, place)


def _decode(run: Run, chosen: Mask) -> float:
    """Median seconds from first to last token of the chosen records; without any, the window."""
    seconds = (run.records.numbers("last_token") - run.records.numbers("first_token"))[chosen]
    seconds = seconds[~np.isnan(seconds)]
    return float(np.median(seconds)) if len(seconds) else run.window_length


def _steps(run: Run, planned: list[Stage]) -> list[Backlog]:
    """Each step of a constant rate by itself, from when the step before it can no longer be seen in it:
    where the rate rises by plan, more are in flight without any queue."""
    settling = BLOCK_LENGTH * _decode(run, run.judged)
    found = []
    for number, stage in enumerate(planned):
        wait = min(settling, (stage.end - stage.start) / 2) if number else 0.0
        if stage.steady and stage.first:
            found.append(measure_backlog(run, (stage.start + wait, stage.end), stage.label))
    return [each for each in found if each is not None]


def backlog(run: Run) -> Rule:
    """Growth of the number in flight / the offered rate, if it is significant and beyond chance."""
    planned = stages(run)
    whole = None if planned else measure_backlog(run)
    tried = _steps(run, planned) if planned else [whole] if whole else []
    if not tried:
        least = "no step of a constant rate has" if planned else "fewer than"
        why = f"{least} {LEAST} arrivals"
        return not_checked("backlog", Verdict.SATURATED, GROWTH, "share", why)
    level = TREND_P / len(tried)
    found = max(tried, key=lambda each: (each.grows(level), each.share / each.bound))
    of = f", the step of {len(tried)} in which most came to it" if len(tried) > 1 else ""
    text = f"at {found.place}{of}: " if found.place else ""
    text += f"requests in flight went from {found.means[0]:.1f} to {found.means[-1]:.1f}: "
    text += f"{found.growth * 60:+.1f} a minute, {100 * found.share:+.1f} % of the offered rate; "
    text += f"p = {found.p:.2g} (Mann-Kendall, {len(found.means)} blocks of {found.block:.1f} s)"
    passed = not found.grows(level)
    return Rule("backlog", Verdict.SATURATED, passed, found.share, found.bound, "share", text, _LOWER_RATE)


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


RULES = (backlog, unfinished_share, refused_share)
