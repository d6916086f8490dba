"""Every figure of summary.json: the rates, and the percentiles of each metric of a request.

Only arrivals due inside the window are judged. Nobody drops out of a percentile, and a percentile beyond the
share that finished is "> x". docs/metrics.md says the same at more length.
"""

from dataclasses import dataclass

import numpy as np

from loadgen.records.metrics import METRICS
from loadgen.records.rates import RATES
from loadgen.records.record import STATUSES
from reports.metrics import durations, gaps
from reports.metrics.rates import amounts, per
from reports.metrics.survival import Survival, needed
from reports.runs.runs import Run, kept

SHARES = {"p50": 0.50, "p90": 0.90, "p95": 0.95, "p99": 0.99}
EXTREME = ("p99.9", 0.999)  # given where there are enough for it: 4,603
CONFIDENCE = 0.99  # of the upper bounds beside the percentiles


@dataclass(frozen=True)
class Figure:
    """One figure as summary.json holds it. `value` is None where there is none."""

    value: float | None
    unit: str  # "s", "1/s", "tokens/s", "share"
    count: int  # arrivals, gaps or tokens behind it
    definition: str
    censored: bool = False
    lower_bound: float | None = None  # of a percentile that the data cannot give
    upper_bound: float | None = None  # with 99 % confidence, for independent requests
    observed: int | None = None  # how many of `count` were seen to their end


def rate(run: Run, name: str) -> Figure:
    """One of RATES."""
    entry, found, base = RATES[name], amounts(run, name), per(run, name)
    over = run.window_length if base is None else base.total
    value = found.total / over if over > 0 and not np.isnan(found.total) else None
    count = found.count if base is None else round(np.nan_to_num(base.total))
    return Figure(value, entry.unit, count, entry.definition)


@kept
def survival(run: Run, name: str) -> Survival:
    """The sorted durations of a metric."""
    return gaps.GAPS[name](run) if name in gaps.GAPS else durations.of(run, name).survival()


def percentile(run: Run, name: str, share: float) -> Figure:
    """One percentile of a metric, over all that the metric is defined for."""
    whole = survival(run, name)
    found = whole.percentile(share)
    independent = name not in gaps.GAPS and found.value is not None  # gaps of one stream hang together
    return Figure(
        found.value,
        "s",
        whole.count,
        f"p{100 * share:g} of: {METRICS[name].definition}",
        found.censored,
        found.lower_bound,
        whole.upper_bound(share, CONFIDENCE) if independent else None,
        len(whole.known),
    )


def thin(figure: Figure, share: float) -> int | None:
    """How many a percentile needs, where fewer have it; None where there are enough, or none at all."""
    least = needed(share, CONFIDENCE, 0)
    return least if 0 < figure.count < least else None


def figures(run: Run) -> dict[str, Figure]:
    """Every metric of summary.json: the rates, then <metric>_p50, _p90, _p95, _p99 and, of enough, _p99.9."""
    found = {name: figure for name in RATES if not _nothing_of_a_gpu(name, figure := rate(run, name))}
    for name in METRICS:
        for suffix, share in SHARES.items():
            found[f"{name}_{suffix}"] = percentile(run, name, share)
        suffix, share = EXTREME
        extreme = percentile(run, name, share)
        if not thin(extreme, share) and extreme.count:
            found[f"{name}_{suffix}"] = extreme
    return found


def _nothing_of_a_gpu(name: str, figure: Figure) -> bool:
    """Whether it is one that only a run with a GPU has, and this one has not."""
    return RATES[name].of_gpu and figure.value is None


def accounting(run: Run, window_only: bool = True) -> dict[str, int]:
    """Arrivals due, and how many of them ended in each way."""
    chosen = run.judged if window_only else np.ones(len(run.records), bool)
    counts = {status: int((run.records.status_is(status) & chosen).sum()) for status in STATUSES}
    return {"due": int(chosen.sum()), **counts}


def errors(run: Run) -> dict[str, int]:
    """The errors of the window's arrivals and how often each came, most frequent first."""
    codes, texts = run.records.codes("error")
    found = np.bincount(codes[run.judged & (codes >= 0)], minlength=len(texts))
    pairs = [(text, int(count)) for text, count in zip(texts, found, strict=True) if count]
    return dict(sorted(pairs, key=lambda pair: (-pair[1], pair[0])))
