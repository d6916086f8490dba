"""What may be said about one metric of two variants: the change, its interval, and the mark."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from loadgen.records.record import COMPLETED, UNFINISHED
from reports.comparison import resampling, starts
from reports.comparison.starts import Spread
from reports.document.metric import Change, Mark
from reports.metrics import catalogue, request_metrics
from reports.metrics.catalogue import COUNTS, ROWS, Row
from reports.metrics.request_metrics import Figure
from reports.runs.runs import Run
from reports.statistics import intervals
from reports.statistics.distributions import student_quantile
from reports.statistics.drift import Drift, drift
from reports.statistics.intervals import Blocks, Interval
from reports.statistics.sample_size import runs_needed
from reports.text import formatting

Floats = NDArray[np.float64]

# Seconds: a smaller change of a time is none that a user feels, whatever its percentage.
# Any false claim in 5 % of the comparisons: a twentieth, shared (Bonferroni) among what can differ by chance
# on its own, the server's pace, the wait and the rate served. Each has several figures that go together.
FALSE_CLAIMS, APART = 0.05, 3
FLOORS = {"ttft": 0.001, "latency": 0.001, "tpot": 0.0001, "itl": 0.0001}
CONDITIONAL = ("tpot", "itl")  # of those that got a first token
FEW = 0.001  # of the arrivals due: a count that changes by fewer does not matter, whatever its percentage
START_SECONDS = 15.0  # of load: what a start is worth, where starts are what differs
_COMPLETED_RATE = next(row for row in ROWS if row.name == "completed_rate")


def level(looks: float = 1) -> float:
    """The confidence of each interval, where a comparison is looked at so often before it is believed."""
    return 1 - FALSE_CLAIMS / (APART * looks)


@dataclass(frozen=True)
class Scatter:
    """How much a figure of one more run of each would differ by chance.

    `moved`: the change seen, and `one_percent`: of the baseline's figure; both, and the square root of
    `variance`, as logarithms or in the figure's unit. `seconds`: of load, in each of those runs.
    """

    moved: float
    one_percent: float
    variance: float
    runs: int  # of each, that there are
    seconds: float
    of_starts: bool  # one start each, of which the spread is known from elsewhere

    def more(self, minimum_effect: float, confidence: float) -> "More":
        """How many runs of each would show a change as large as seen, or the least that matters."""
        effect = max(abs(self.moved), 100 * minimum_effect * self.one_percent)
        return More(self, runs_needed(self.variance, effect, confidence))


@dataclass(frozen=True)
class More:
    """So many runs of each would decide; None: more than anyone makes."""

    scatter: Scatter
    runs: int | None

    @property
    def text(self) -> str:
        """'not decidable from one start each: about 24 of 15 s each would show a change so large'"""
        noun = "start" if self.scatter.of_starts else "run"
        have = f"one {noun} each" if self.scatter.runs == 1 else f"{self.scatter.runs} {noun}s each"
        if self.runs is None:
            return f"not decidable from {have}, nor from any number that one can make"
        many = f"{self.runs} of {self.scatter.seconds:.0f} s each"
        return f"not decidable from {have}: about {many} would show a change so large"


@dataclass(frozen=True)
class Estimate:
    """The change of one metric, as far as the data give it.

    `at_least`: the variant's figure lies beyond its data, so the change is above `change`; `at_most`
    likewise for the baseline. `difference` is other - baseline in the metric's unit, with an interval of
    its own where the baseline is 0 and a relative change has no meaning.
    """

    change: float | None
    low: float | None = None
    high: float | None = None
    at_least: bool = False
    at_most: bool = False
    difference: float | None = None
    apart: bool = False  # the interval of the change, or of the difference, excludes 0
    scatter: Scatter | None = None


@dataclass(frozen=True)
class Setting:
    """What the marks of one pair of variants depend on, beside the figures."""

    baseline: str
    other: str
    minimum_effect: float
    incomparable: str | None  # why figures of the two cannot be compared
    saturated: tuple[str, ...]  # which of the two ran saturated
    growing: tuple[str, ...] = ()  # and in which of them a queue grew
    serves_less: str | None = None  # which of the two is shown to serve less than the other
    unserved: str | None = None  # who never got a first token, in words, where those are many
    floors: Mapping[str, float] = field(default_factory=lambda: dict(FLOORS))  # seconds, by metric
    confidence: float = level()
    side_by_side: bool = False  # repeats of the two went at once

    def floor(self, row: Row) -> float:
        """The least difference of that row that a user may feel, in seconds."""
        return self.floors.get((row.metric or "").removeprefix("scheduled_"), 0.0)


def value_of(figures: Sequence[Figure]) -> tuple[float | None, float | None]:
    """(mean of the repeats, None) or (None, the least that it is above). Above 0 says nothing: None."""
    values = [figure.value for figure in figures]
    if all(value is not None for value in values):
        return float(np.mean([value for value in values if value is not None])), None
    bounds = [figure.value if figure.value is not None else figure.lower_bound for figure in figures]
    known = [bound for bound in bounds if bound is not None]
    least = float(np.mean(known)) if len(known) == len(bounds) else None
    return None, least or None


def estimate(
    row: Row,
    baseline: Sequence[Run],
    other: Sequence[Run],
    blocks: tuple[Blocks, Blocks] | None,
    in_pairs: bool = False,
    growing: Collection[str] = (),
    spread: Spread | None = None,
    drifts: bool = False,
    confidence: float = level(),
) -> Estimate:
    """The change with its interval: from blocks of time if given (one run of each), else from the runs.

    `growing`: the variants in whose runs a queue grew. `spread`: what one start of each leaves open; None
    where the runs show it. `drifts`: take a drift over the order of the runs out of the change.
    """
    before = [catalogue.figure(run, row) for run in baseline]
    after = [catalogue.figure(run, row) for run in other]
    (base, base_bound), (new, new_bound) = value_of(before), value_of(after)
    start, end = (base_bound if base is None else base), (new_bound if new is None else new)
    if start is None or end is None or (base is None and new is None):
        return Estimate(None)
    absolute = row.name in COUNTS or row.of_slo or start <= 0 or end <= 0
    middle = end - start if absolute else math.log(end / start)
    if blocks is not None:
        interval = _from_blocks(row, baseline[0], other[0], blocks, absolute, growing, confidence)
    elif drifts and not absolute and (steady := without_drift(row, baseline, other)) is not None:
        middle, interval = steady.difference, steady.interval(confidence)
    else:
        interval = _from_runs(before, after, absolute, in_pairs, confidence)
    scatter = None
    if interval is not None:
        below, above = 0.0, 0.0
        if spread is not None:
            below, above = _margins(row, baseline[0], other[0], growing, spread.reach, absolute)
        one_percent = 0.01 * (start if absolute else 1.0)
        scatter = _scatter(interval, (below + above) / 2, baseline, other, spread, confidence)
        scatter = replace(scatter, moved=middle, one_percent=one_percent)
        interval = interval.with_margin(middle, below, above)
    due = float(np.mean([figure.count for figure in (*before, *after)]))
    if interval is not None and row.name in COUNTS and due:
        least = intervals.counting_error(_values(before), _values(after), due, confidence)
        interval = interval.reaching(middle, least)
    apart = interval is not None and interval.excludes(0.0)
    found = Estimate(None, difference=end - start, apart=apart, scatter=scatter)
    if start <= 0:
        return found
    relative = middle / start if absolute else math.expm1(middle)
    low, high = _relative(interval, start if absolute else None)
    if new is None and low is not None:  # the interval says no more than the bound itself
        low = min(low, relative)
    if base is None and high is not None:
        high = max(high, relative)
    return replace(found, change=relative, low=low, high=high, at_least=new is None, at_most=base is None)


def _margins(
    row: Row, baseline: Run, other: Run, growing: Collection[str], pace: float, absolute: bool
) -> tuple[float, float]:
    """How far the change may lie below and above what one start of each shows, by the starts alone."""
    first, second = (
        starts.reach(run, row, pace, run.manifest.variant in growing, absolute) for run in (baseline, other)
    )
    return math.hypot(first.up, second.down), math.hypot(first.down, second.up)


def _scatter(
    interval: Interval,
    margin: float,
    baseline: Sequence[Run],
    other: Sequence[Run],
    spread: Spread | None,
    confidence: float,
) -> Scatter:
    """Of one more run of each. `interval`: without what starts add; `margin`: that, as the interval has it.

    Where starts differ, short runs of many tell more than a long one of each; within a run chance falls
    with its length.
    """
    counts, window = (len(baseline), len(other)), baseline[0].window_length
    share = 1 / counts[0] + 1 / counts[1]
    within = ((interval.high - interval.low) / 2 / _quantile(counts, confidence)) ** 2 / share
    seconds, between = window, 0.0
    if spread is not None:
        seconds = min(window, START_SECONDS)
        between = (margin / spread.reach * spread.sd) ** 2 / share
    variance = within * window / seconds + between
    return Scatter(0.0, 0.0, variance, min(counts), seconds, spread is not None)


def _quantile(counts: tuple[int, int], confidence: float) -> float:
    """About as many standard errors as an interval of so many runs reaches."""
    return student_quantile(sum(counts) - 2 if sum(counts) > 2 else math.inf, (1 + confidence) / 2)


def _relative(interval: Interval | None, start: float | None) -> tuple[float | None, float | None]:
    """The bounds as shares of the baseline's figure, from logarithms of the change or, with `start`, from
    differences; None where open."""
    if interval is None:
        return None, None
    bounds = _finite(interval.low), _finite(interval.high)
    if start is not None:
        low, high = (None if bound is None else max(bound / start, -1.0) for bound in bounds)
    else:
        low, high = (None if bound is None else math.expm1(bound) for bound in bounds)
    return low, high


def _from_blocks(
    row: Row,
    baseline: Run,
    other: Run,
    blocks: tuple[Blocks, Blocks],
    absolute: bool,
    growing: Collection[str],
    confidence: float,
) -> Interval | None:
    """The interval of the change's logarithm (absolute: of the difference) from resamples of time."""
    before = _draws(baseline, row, blocks[0], baseline.manifest.variant in growing)
    after = _draws(other, row, blocks[1], other.manifest.variant in growing)
    together = max(max(each.wander, each.together if row.waits else 1.0) for each in blocks)
    as_one = [
        # Where a queue grew, whoever waits longest came last, in every such run.
        1.0 if growing else resampling.clustering(run, row, drawn)
        for run, drawn in zip((baseline, other), blocks, strict=True)
    ]
    looks = min(blocks[0].count, blocks[1].count) / max(together, *as_one)
    if absolute:
        return intervals.expanded_interval(after - before, looks, math.sqrt(together), confidence)
    endless = np.isinf(before), np.isinf(after)
    if endless[0].any() or endless[1].any():  # beyond the data: at least as long as the longest seen
        before = np.where(endless[0], resampling.longest(baseline, row), before)
        after = np.where(endless[1], resampling.longest(other, row), after)
        before[endless[0] & endless[1]] = np.nan
    with np.errstate(divide="ignore", invalid="ignore"):
        interval = intervals.expanded_interval(np.log(after / before), looks, math.sqrt(together), confidence)
    if interval is None:
        return None
    often = (1 - confidence) / 2
    low = -math.inf if endless[0].mean() > often else interval.low
    return Interval(low, math.inf if endless[1].mean() > often else interval.high)


def _draws(run: Run, row: Row, blocks: Blocks, queue_grew: bool) -> Floats:
    """The figure in each resample, with what chance in the served rate does to it where a queue grew: to the
    wait, to how many came before the wait was too long for the SLO, and to how many are left."""
    if not queue_grew:
        return resampling.draws(run, row, blocks)
    if row.name in (COMPLETED, UNFINISHED):
        return _left(run, row, blocks)
    drawn = resampling.draws(run, row, blocks)
    if row.waits and not (row.of_slo and row.better == "higher"):
        return drawn * _queue_drift(run, blocks)
    if row.of_slo:  # those that met the SLO: no more than all that came
        every = 1.0 if row.unit == "share" else int(run.judged.sum()) / run.window_length
        return np.minimum(drawn / _queue_drift(run, blocks), every)
    return drawn


def _left(run: Run, row: Row, blocks: Blocks) -> Floats:
    """Completed or unfinished in each resample. Who is left when a queue has grown is always who came last,
    whatever block of time is drawn; how many they are is for the served rate to say."""
    counts, served = request_metrics.accounting(run), resampling.draws(run, _COMPLETED_RATE, blocks)
    faster = served / served.mean() - 1 if served.any() else np.zeros(len(served))
    more = np.clip(counts[COMPLETED] * faster, -counts[COMPLETED], counts[UNFINISHED])
    return counts[row.name] + (more if row.name == COMPLETED else -more)


def _queue_drift(run: Run, blocks: Blocks) -> Floats:
    """By what factor chance in the served rate moves the wait in a queue that grows, in each resample.

    The queue grows by offered - served, so one per cent of the served rate is offered / (offered - served)
    per cent of the wait; blocks of requests that all stood in the same queue cannot show that by themselves.
    The rate comes from other resamples than the waits (hence the roll), since no block's rate made its wait.
    """
    served = resampling.draws(run, _COMPLETED_RATE, blocks)
    mean = float(served.mean())
    if not starts.queued_rate(run) or not mean:
        return np.ones(len(served))
    ratio = np.roll(served, len(served) // 2) / mean
    return np.exp(-starts.steepness(run, mean) * np.log(np.maximum(ratio, 0.5)))


def _from_runs(
    before: Sequence[Figure], after: Sequence[Figure], absolute: bool, in_pairs: bool, confidence: float
) -> Interval | None:
    """The interval from repeats: of the logarithm's difference, or (absolute) of the plain one."""
    sides = [_values(before), _values(after)]
    if not absolute:
        if any((side <= 0).any() for side in sides):
            return None
        sides = [np.log(side) for side in sides]
    if in_pairs:
        return intervals.interval_of_pairs(sides[1] - sides[0], confidence)
    return intervals.interval_of_means(sides[0], sides[1], confidence)


def without_drift(row: Row, baseline: Sequence[Run], other: Sequence[Run]) -> Drift | None:
    """The logarithm of the change without a drift over the order in which the runs were made."""
    ordered = sorted((run.manifest.started_at or "", run.name) for run in (*baseline, *other))
    at = {name: place for place, (_, name) in enumerate(ordered)}
    values, second = np.empty(len(at)), np.zeros(len(at), bool)
    for run in (*baseline, *other):
        figure = catalogue.figure(run, row)
        value = figure.lower_bound if figure.value is None else figure.value
        if not value or value < 0:
            return None
        values[at[run.name]] = math.log(value)
    second[[at[run.name] for run in other]] = True
    return drift(values, second)


def _values(figures: Sequence[Figure]) -> Floats:
    """The value of each run, or the least that it is above."""
    return np.array([each.value if each.value is not None else each.lower_bound for each in figures])


def claim(row: Row, found: Estimate, repeats: Sequence[Sequence[Figure]], setting: Setting) -> Change:
    """The mark with its reason. `repeats`: the figures of the baseline's and of the variant's runs."""
    mark, reason = _of_all(row, setting, *_mark(row, found, repeats, setting))
    more = _undecided(mark, found, setting) if row.better != "none" else None
    reason = f"{reason}; {more.text}" if more else reason
    warning = None
    if row.latency and setting.saturated and mark != "not comparable":
        who = formatting.listed(list(setting.saturated))
        warning = f"{who} ran SATURATED, so latencies depend on how long the test ran"
    bounded = found.at_least or found.at_most
    sign = "> " if found.at_least else "< " if found.at_most else ""
    return Change(
        variant=setting.other,
        mark=mark,
        change=None if bounded else found.change,
        low=found.low,
        high=found.high,
        above=found.change if found.at_least else None,
        below=found.change if found.at_most else None,
        display=sign + formatting.percent(found.change)
        if found.change is not None
        else _from_zero(row, found),
        display_interval=formatting.span(found.low, found.high),
        reason=reason,
        warning=warning,
        more_runs=more.runs if more else None,
        more_runs_s=more.scatter.seconds if more else None,
    )


def _undecided(mark: Mark, found: Estimate, setting: Setting) -> More | None:
    """What would decide, where nothing is claimed and a change that matters may be there."""
    ends = (found.low, found.high)
    small = all(end is not None and abs(end) <= setting.minimum_effect for end in ends)
    if mark not in ("no difference shown", "unstable") or found.scatter is None or found.apart or small:
        return None
    more = found.scatter.more(setting.minimum_effect, setting.confidence)
    return None if more.runs is not None and more.runs <= found.scatter.runs else more


def _of_all(row: Row, setting: Setting, mark: Mark, reason: str) -> tuple[Mark, str]:
    """The mark; none where it would only be that of the requests that a variant did serve."""
    if row.metric is None or mark == "not comparable":
        return mark, reason
    if row.metric in CONDITIONAL and setting.unserved:
        return "not comparable", f"only of the requests that got a first token: {setting.unserved}"
    if mark not in ("better", "worse"):
        return mark, reason
    if setting.serves_less == (setting.other if mark == "better" else setting.baseline):
        return "not comparable", f"{setting.serves_less} serves less, so this holds only for whom it served"
    return mark, reason


def _mark(
    row: Row, found: Estimate, repeats: Sequence[Sequence[Figure]], setting: Setting
) -> tuple[Mark, str]:
    if setting.incomparable:
        return "not comparable", setting.incomparable
    if found.change is None and found.difference is None:
        return "not comparable", _unknown(repeats)
    if found.difference == 0 and not (found.at_least or found.at_most):
        return "no difference shown", "the figures are equal"
    large, size = _large(row, found, repeats[0][0].count, setting)
    if row.better == "none":
        if large:
            return "not comparable", f"the load itself differs by more than {size}"
        return "no difference shown", f"within {size}"
    if _on_the_wrong_side(found, setting.minimum_effect):
        return "not comparable", "beyond what the data of one side can give"
    if large and found.apart:
        up = (found.difference or 0.0) > 0
        return ("better" if up == (row.better == "higher") else "worse"), f"beyond the interval and {size}"
    if loose := _unstable(row, repeats, setting):
        return "unstable", loose
    if found.change is not None and found.low is None and found.high is None:
        return "not comparable", "one run of each, and too little data for an interval"
    return "no difference shown", _why_none(found, size)


def _large(row: Row, found: Estimate, due: int, setting: Setting) -> tuple[bool, str]:
    """Whether the change exceeds the minimum effect size, and that size in words; `due`: arrivals."""
    minimum_effect, floor = setting.minimum_effect, setting.floor(row)
    few = min(FEW, minimum_effect)
    if floor and found.difference is not None and abs(found.difference) <= floor:
        return False, f"{1000 * floor:g} ms"
    if found.change is not None and abs(found.change) <= minimum_effect:
        return False, f"the minimum effect size of {100 * minimum_effect:g} %"
    if row.name in COUNTS and abs(found.difference or 0.0) <= few * due:
        return False, f"{100 * few:g} % of the arrivals"
    return True, f"the minimum effect size of {100 * minimum_effect:g} %"


def _on_the_wrong_side(found: Estimate, minimum_effect: float) -> bool:
    """Whether the bound that is known of one side says nothing of the change's direction."""
    if found.change is None:
        return False
    return (found.at_least and found.change <= minimum_effect) or (
        found.at_most and found.change >= -minimum_effect
    )


def _why_none(found: Estimate, size: str) -> str:
    if found.apart:
        return f"smaller than {size}"
    open_ended = found.change is not None and (found.low is None or found.high is None)
    return "too few requests finished for an interval" if open_ended else "the interval holds 0"


def _unstable(row: Row, repeats: Sequence[Sequence[Figure]], setting: Setting) -> str | None:
    """Why repeats of one variant do not agree with one another, or None. Counts: of the arrivals due.

    What moves repeats that went side by side meets both, and the interval is that of their differences.
    """
    if setting.side_by_side:
        return None
    for name, figures in zip((setting.baseline, setting.other), repeats, strict=True):
        values = [figure.value for figure in figures if figure.value is not None]
        if len(values) < 2:
            continue
        counted = row.name in COUNTS and figures[0].count > 0
        apart = (
            (max(values) - min(values)) / figures[0].count if counted else intervals.spread(np.array(values))
        )
        if apart > setting.minimum_effect:
            shown = "from 0" if math.isinf(apart) else f"by {100 * apart:.1f} %"
            size = f"the minimum effect size of {100 * setting.minimum_effect:g} %"
            return f"repeats of {name} differ {shown}, more than {size}"
    return None


def _unknown(repeats: Sequence[Sequence[Figure]]) -> str:
    measured = [
        all(each.value is not None or each.lower_bound is not None for each in side) for side in repeats
    ]
    if all(measured):
        values = [value_of(side)[0] for side in repeats]
        whose = "both" if all(value is None for value in values) else "one of the two"
        return f"beyond the data of {whose}: too few requests finished"
    return "not measured" if not any(measured) else "not measured in one of the two"


def _from_zero(row: Row, found: Estimate) -> str:
    if found.difference is None:
        return "n/a"
    if found.difference == 0:
        return "0.0 %"
    return f"from 0 to {formatting.number(found.difference, row.display_unit)} {row.display_unit}".rstrip()


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else value
