"""What may be said about one metric of two variants: the change, its interval, and the mark."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from loadgen.records.record import COMPLETED, FAILED, UNFINISHED
from reports.comparison import resampling
from reports.document.metric import Change, Mark
from reports.metrics import catalogue, request_metrics
from reports.metrics.catalogue import COUNTS, ROWS, Row
from reports.metrics.request_metrics import Figure
from reports.runs.runs import Run
from reports.statistics import intervals
from reports.statistics.intervals import Blocks, Interval
from reports.text import formatting

Floats = NDArray[np.float64]

# Seconds: a smaller change of a time is none that a user feels, whatever its percentage.
FLOORS = {"ttft": 0.001, "latency": 0.001, "tpot": 0.0001, "itl": 0.0001}
CONDITIONAL = ("tpot", "itl")  # of those that got a first token
FEW = 0.001  # of the arrivals due: a count that changes by fewer does not matter, whatever its percentage
STEEPEST = 20.0  # offered / (offered - served), where a queue grew by less than one in twenty
_COMPLETED_RATE = next(row for row in ROWS if row.name == "completed_rate")


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
) -> Estimate:
    """The change with its interval: from blocks of time if given (one run of each), else from the runs.

    `growing`: the variants in whose runs a queue grew.
    """
    before = [catalogue.figure(run, row) for run in baseline]
    after = [catalogue.figure(run, row) for run in other]
    (base, base_bound), (new, new_bound) = value_of(before), value_of(after)
    start, end = (base_bound if base is None else base), (new_bound if new is None else new)
    if start is None or end is None or (base is None and new is None):
        return Estimate(None)
    absolute = row.name in COUNTS or row.of_slo or start <= 0
    if blocks is not None:
        interval = _from_blocks(row, baseline[0], other[0], blocks, absolute, growing)
    else:
        interval = _from_runs(before, after, absolute, in_pairs)
    due = float(np.mean([figure.count for figure in (*before, *after)]))
    if interval is not None and row.name in COUNTS and due:
        least = intervals.counting_error(_values(before), _values(after), due)
        interval = interval.reaching(end - start, least)
    found = Estimate(None, difference=end - start, apart=interval is not None and interval.excludes(0.0))
    if start <= 0:
        return found
    relative = intervals.change(start, end)
    low, high = _relative(interval, start if absolute else None)
    if new is None and low is not None:  # the interval says no more than the bound itself
        low = min(low, relative)
    if base is None and high is not None:
        high = max(high, relative)
    return replace(found, change=relative, low=low, high=high, at_least=new is None, at_most=base is None)


def _relative(interval: Interval | None, start: float | None) -> tuple[float | None, float | None]:
    """The bounds as shares of the baseline's figure, `start`, where they are differences; None where open."""
    if interval is None:
        return None, None
    bounds = interval.low, interval.high
    if start is not None:
        bounds = max(bounds[0] / start, -1.0), max(bounds[1] / start, -1.0)
    return _finite(bounds[0]), _finite(bounds[1])


def _from_blocks(
    row: Row,
    baseline: Run,
    other: Run,
    blocks: tuple[Blocks, Blocks],
    absolute: bool,
    growing: Collection[str],
) -> Interval | None:
    """The interval of the change (absolute: of the difference) from resamples of time."""
    before = _draws(baseline, row, blocks[0], baseline.manifest.variant in growing)
    after = _draws(other, row, blocks[1], other.manifest.variant in growing)
    together = max(blocks[0].together, blocks[1].together) if row.waits else 1.0
    as_one = [
        # Where a queue grew, whoever waits longest came last, in every such run.
        1.0 if growing else resampling.clustering(run, row, drawn)
        for run, drawn in zip((baseline, other), blocks, strict=True)
    ]
    looks = min(blocks[0].count, blocks[1].count) / max(together, *as_one)
    if absolute:
        return intervals.expanded_interval(after - before, looks, math.sqrt(together))
    endless = np.isinf(before), np.isinf(after)
    if endless[0].any() or endless[1].any():  # beyond the data: at least as long as the longest seen
        before = np.where(endless[0], resampling.longest(baseline, row), before)
        after = np.where(endless[1], resampling.longest(other, row), after)
        before[endless[0] & endless[1]] = np.nan
    with np.errstate(divide="ignore", invalid="ignore"):
        interval = intervals.expanded_interval(np.log(after / before), looks, math.sqrt(together))
    if interval is None:
        return None
    often = (1 - intervals.CONFIDENCE) / 2
    low = -math.inf if endless[0].mean() > often else math.expm1(interval.low)
    return Interval(low, math.inf if endless[1].mean() > often else math.expm1(interval.high))


def _draws(run: Run, row: Row, blocks: Blocks, queue_grew: bool) -> Floats:
    """The figure in each resample, with what chance in the served rate does to it where a queue grew: to the
    wait, to how many came before the wait was too long for the SLO, and to how many are left."""
    if not queue_grew:
        return resampling.draws(run, row, blocks)
    if row.name in (COMPLETED, UNFINISHED):
        return _left(run, row, blocks)
    drawn = resampling.draws(run, row, blocks)
    if row.waits and not row.of_slo:
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
    offered, mean = _queued_rate(run), float(served.mean())
    if not offered or not mean:
        return np.ones(len(served))
    steepness = min(offered / max(offered - mean, 0.0) if offered > mean else math.inf, STEEPEST)
    ratio = np.roll(served, len(served) // 2) / mean
    return np.exp(-steepness * np.log(np.maximum(ratio, 0.5)))


def _queued_rate(run: Run) -> float:
    """Arrivals of the window that may have stood in the queue, per second: those that did not fail."""
    return int((run.judged & ~run.records.status_is(FAILED)).sum()) / run.window_length


def _from_runs(
    before: Sequence[Figure], after: Sequence[Figure], absolute: bool, in_pairs: bool
) -> Interval | None:
    """The interval from repeats: of the logarithm's difference, or (absolute) of the plain one."""
    sides = [_values(before), _values(after)]
    if not absolute:
        if any((side <= 0).any() for side in sides):
            return None
        sides = [np.log(side) for side in sides]
    found = (
        intervals.interval_of_pairs(sides[1] - sides[0])
        if in_pairs
        else intervals.interval_of_means(sides[0], sides[1])
    )
    if found is None or absolute:
        return found
    return Interval(math.expm1(found.low), math.expm1(found.high))


def _values(figures: Sequence[Figure]) -> Floats:
    """The value of each run, or the least that it is above."""
    return np.array([each.value if each.value is not None else each.lower_bound for each in figures])


def claim(row: Row, found: Estimate, repeats: Sequence[Sequence[Figure]], setting: Setting) -> Change:
    """The mark with its reason. `repeats`: the figures of the baseline's and of the variant's runs."""
    mark, reason = _of_all(row, setting, *_mark(row, found, repeats, setting))
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
    )


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
    """Why repeats of one variant do not agree with one another, or None. Counts: of the arrivals due."""
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
