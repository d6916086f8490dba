"""What a resample of a run's time says about each row of the results table."""

import math

import numpy as np
from numpy.typing import NDArray

from loadgen.records.rates import RATES
from reports.metrics import durations, gaps, request_metrics, time_series
from reports.metrics.catalogue import COUNTS, HEADLINE, ROWS, Row, figure
from reports.metrics.rates import amounts, due, per
from reports.runs.runs import Run, kept
from reports.statistics import intervals
from reports.statistics.intervals import Blocks, Sample

Floats = NDArray[np.float64]

STEPS = (240, 4000)  # least and most of the series from which the block length is chosen; else seconds
LENGTHENED = (
    2.0  # Politis and White's length has the least error; a longer one has less bias, as intervals need
)


def draws(run: Run, row: Row, blocks: Blocks) -> Floats:
    """The figure in each resample of the run's time; infinite beyond the data, NaN where undefined."""
    if row.metric is not None and row.share is not None:
        return intervals.quantile_draws(blocks, sample(run, row.metric), row.share)
    at, amount = _amounts(run, row)
    sums = intervals.sum_draws(blocks, at, amount)
    base = per(run, row.name) if row.name in RATES else None
    if base is not None:
        every = intervals.sum_draws(blocks, base.at, base.each)
        return np.divide(sums, every, out=np.full_like(sums, np.nan), where=every > 0)
    return sums if row.name in COUNTS else sums / run.window_length


def clustering(run: Run, row: Row, blocks: Blocks) -> float:
    """How many blocks are as one for a percentile: a p99 may be one burst's; 1 for what is no percentile."""
    value = figure(run, row).value
    if row.metric is None or value is None:
        return 1.0
    found = sample(run, row.metric)
    return intervals.clustering(blocks, found.at[found.value > value])


def longest(run: Run, row: Row) -> float:
    """The longest duration that the run has seen: what lies beyond the data is at least that."""
    if row.metric is None:
        return math.inf
    values = sample(run, row.metric).value
    return float(values[np.isfinite(values)].max(initial=0.0))


@kept
def sample(run: Run, metric: str) -> Sample:
    """The durations of a metric with the due time of the request that each belongs to."""
    return _gaps(run) if metric in gaps.GAPS else _durations(run, metric)


def block_length(baseline: Run, other: Run | None = None) -> float:
    """Seconds within which requests are not independent; `other`: of the paired difference.

    The longest that `statistics.block_length` finds, times LENGTHENED, over the headline percentiles of
    the server's own figures (whether each request lies above the percentile, summed over short steps of
    time) and over the number in flight: near its capacity a server's queue takes longer to come and go than
    a percentile shows. No less than the median latency, since requests in flight together share the batch.
    """
    runs = [baseline] if other is None else [baseline, other]
    sides = [[_excess(each, *headline) for headline in _headline()] + [_in_flight(each)] for each in runs]
    found = []
    for series in zip(*sides, strict=True):
        steps = series[0] if other is None else series[1] - series[0]
        found.append(intervals.block_length(steps) * baseline.window_length / len(steps) * LENGTHENED)
    medians = [request_metrics.percentile(each, "latency", 0.5) for each in runs]
    in_flight = [each.value or each.lower_bound or 0.0 for each in medians]
    return max(*found, *in_flight)


def _headline() -> list[tuple[str, float]]:
    """(metric, share) of the headline percentiles."""
    return [(row.metric, row.share) for row in ROWS if row.name in HEADLINE and row.metric and row.share]


def _in_flight(run: Run) -> Floats:
    """The mean number in flight in each of STEPS[0] steps of the window."""
    return time_series.in_flight(run, np.linspace(*run.window, STEPS[0] + 1))


def _excess(run: Run, metric: str, share: float) -> Floats:
    """How many more requests than expected lie above the percentile, in each step of the window."""
    found = sample(run, metric)
    value = request_metrics.percentile(run, metric, share).value
    above = found.value > (math.inf if value is None else value)
    steps = min(max(int(run.window_length), STEPS[0]), STEPS[1])
    step = np.clip((found.at / run.window_length * steps).astype(np.int64), 0, steps - 1)
    excess = above - (above.mean() if len(above) else 0.0)
    return np.bincount(step, weights=excess, minlength=steps).astype(np.float64)


def _due(run: Run) -> Floats:
    """Seconds into the window."""
    return run.records.numbers("due") - run.window[0]


def _durations(run: Run, metric: str) -> Sample:
    found = durations.of(run, metric)
    return Sample(_due(run)[found.rows], found.seconds, ~found.known)


def _amounts(run: Run, row: Row) -> tuple[Floats, Floats]:
    """(when, how much) of an additive metric; seconds into the window."""
    if row.name in RATES:
        found = amounts(run, row.name)
        return found.at, found.each
    return due(run), run.records.status_is(row.name)[run.judged].astype(np.float64)


def _gaps(run: Run) -> Sample:
    """Gaps between chunks as `gaps.itl` pools them, each at its request's due time; of some records."""
    due, some = _due(run), gaps.token_flow(run).some
    last = run.records.numbers("last_token")
    waiting, broken = (some.chosen & mask for mask in gaps.open_gaps(run, last))
    unknown = int(waiting.sum()), int(broken.sum())
    at = [due[some.rows], due[waiting], due[broken]]
    value: list[Floats] = [
        some.seconds.astype(np.float64),
        (run.closed_at - last)[waiting],
        np.full(unknown[1], np.inf),
    ]
    censored = np.repeat([False, True, False], [len(some.rows), *unknown])
    return Sample(np.concatenate(at), np.concatenate(value), censored)
