"""The server's own figures over time: /metrics, scraped once a second, and readings of its GPUs.

Times are seconds from the run's start. A name or label set that was never exported gives None, so
that a rule can say "not checked" instead of comparing with nothing.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from common.usage import UsageError
from loadgen.records.record import METRICS_SCHEMA
from reports.runs import columns

Floats = NDArray[np.float64]
Together = Literal["sum", "mean", "max"]
GPU = "gpu"  # a label of what was read of the cards, at moments of its own
STALE = 5.0  # s; scrapes come each second
_COUNTERS = ("_total", "_count")  # how their names end


@dataclass(frozen=True)
class Histogram:
    """What a Prometheus histogram gained in a span: cumulative counts up to each bound (last: +Inf)."""

    bounds: Floats
    cumulative: Floats
    sum: float
    count: float

    @property
    def mean(self) -> float | None:
        """sum / count: exact, whatever the buckets. None when nothing was counted."""
        return self.sum / self.count if self.count > 0 else None

    def quantile(self, share: float) -> float | None:
        """As Prometheus' histogram_quantile: linear inside the bucket; coarse where buckets are.

        In the bucket +Inf it gives the highest finite bound, which is a lower bound of the truth.
        """
        if not len(self.cumulative) or self.cumulative[-1] <= 0:
            return None
        rank = share * self.cumulative[-1]
        at = int(np.searchsorted(self.cumulative, rank, "left"))
        if math.isinf(self.bounds[at]):
            return float(self.bounds[at - 1]) if at else None
        low = float(self.bounds[at - 1]) if at else 0.0
        below = float(self.cumulative[at - 1]) if at else 0.0
        inside = float(self.cumulative[at]) - below
        return low + (float(self.bounds[at]) - low) * ((rank - below) / inside if inside else 0.0)


class ServerMetrics:
    """server_metrics.parquet: rows of (t, name, labels, value)."""

    def __init__(self, table: pa.Table | None = None) -> None:
        table = pa.Table.from_batches([], METRICS_SCHEMA) if table is None else table
        self._t = columns.floats(table["t"])
        self._value = columns.floats(table["value"])
        self._name, self._names = columns.codes(table["name"])
        self._label, labels = columns.codes(table["labels"])
        self._labels: list[dict[str, str]] = [json.loads(text) for text in labels]
        beside = np.array([GPU in each for each in self._labels], bool)
        self._scrapes = self._t[~beside[self._label]]  # the moments of the server's own rows
        self._began: dict[tuple[str | None, ...], float] = {}  # the first scrape of each that answers
        first = np.full(len(self._labels), np.inf)
        np.minimum.at(first, self._label, self._t)
        for each, t in zip(self._labels, first.tolist(), strict=True):
            self._began[_origin(each)] = min(t, self._began.get(_origin(each), np.inf))

    @property
    def names(self) -> list[str]:
        """Everything the server exported, e.g. vllm:num_requests_running."""
        return sorted(self._names)

    @property
    def times(self) -> Floats:
        """The moments of the scrapes, ascending."""
        return np.unique(self._scrapes)

    def covers(self, start: float, end: float) -> bool:
        """Whether there is a scrape at or before `start` and one at or after `end`."""
        at = self._scrapes
        return bool(len(at)) and bool(at.min() <= start and at.max() >= end)

    def increase(self, name: str, start: float, end: float, **labels: str) -> float | None:
        """What a counter gained from the last scrape up to `start` to the first one from `end`.

        Summed over all label sets that hold `labels`. A fall means that the server restarted: it counts
        from zero then, as Prometheus' increase() does. None if the counter is absent.
        """
        gains = [self._gain(found, t, value, start, end) for found, t, value in self._series(name, labels)]
        return float(sum(gains)) if gains else None

    def falls(self) -> dict[str, int]:
        """How often each counter fell, of those that did; none does while its process lives."""
        found: dict[str, int] = {}
        for name in self._names:
            if name.endswith(_COUNTERS):
                fell = sum(int((np.diff(value) < 0).sum()) for _, _, value in self._series(name, {}))
                found |= {name: fell} if fell else {}
        return found

    def gauge(self, name: str, how: Together = "sum", **labels: str) -> tuple[Floats, Floats] | None:
        """(times, values) of a gauge, of its label sets (engines, addresses) together. None if absent.

        how: "sum" of what there is of it (requests), "mean" or "max" of a share. Engines may be scraped at
        times of their own: each value holds until its next one, for STALE seconds.
        """
        found = self._series(name, labels)
        if not found:
            return None
        if len(found) == 1:
            return found[0][1:]
        times = np.unique(np.concatenate([t for _, t, _ in found]))
        held = np.stack([_held(times, t, value) for _, t, value in found])
        known = ~np.isnan(held).all(axis=0)
        return times[known], _together(held[:, known], how)

    def label_sets(self, name: str) -> list[dict[str, str]]:
        """The label sets under which a metric was exported, in a fixed order."""
        found = [labels for labels, _, _ in self._series(name, {})]
        return sorted(found, key=lambda labels: sorted(labels.items()))

    def histogram(self, name: str, start: float, end: float, **labels: str) -> Histogram | None:
        """What the histogram `name` (without _bucket) gained in the span; see `increase`."""
        total = self.increase(f"{name}_sum", start, end, **labels)
        count = self.increase(f"{name}_count", start, end, **labels)
        if total is None or count is None:
            return None
        gains: dict[float, float] = {}
        for found, t, value in self._series(f"{name}_bucket", labels):
            bound = float(found["le"].replace("+Inf", "inf"))
            gains[bound] = gains.get(bound, 0.0) + self._gain(found, t, value, start, end)
        bounds = np.array(sorted(gains))
        return Histogram(bounds, np.array([gains[bound] for bound in bounds.tolist()]), total, count)

    def means(self, name: str, start: float, end: float) -> list[tuple[dict[str, str], float]]:
        """The mean of what each label set of a histogram gained in the span, where it gained any."""
        total, count = (
            {
                str(found): (found, self._gain(found, t, value, start, end))
                for found, t, value in self._series(each, {})
            }
            for each in (f"{name}_sum", f"{name}_count")
        )
        return [
            (labels, total[key][1] / gain) for key, (labels, gain) in count.items() if gain and key in total
        ]

    def _series(self, name: str, wanted: dict[str, str]) -> list[tuple[dict[str, str], Floats, Floats]]:
        if name not in self._names:
            return []
        rows = np.flatnonzero(self._name == self._names.index(name))
        found = []
        for code in np.unique(self._label[rows]).tolist():
            labels = self._labels[code]
            if all(labels.get(key) == value for key, value in wanted.items()):
                here = rows[self._label[rows] == code]
                here = here[np.argsort(self._t[here], kind="stable")]
                found.append((labels, self._t[here], self._value[here]))
        return found

    def _gain(self, labels: dict[str, str], t: Floats, value: Floats, start: float, end: float) -> float:
        first = max(int(np.searchsorted(t, start, "right")) - 1, 0)
        last = min(int(np.searchsorted(t, end, "left")), len(t) - 1)
        span = value[first : last + 1]
        if t[first] > start and t[first] > self._began[_origin(labels)]:
            span = np.concatenate([[0.0], span])  # first used, so first exported, inside the span
        steps = np.diff(span)
        return float(np.where(steps < 0, span[1:], steps).sum())


def _origin(labels: dict[str, str]) -> tuple[str | None, ...]:
    """Who answered: one of several addresses, of several replicas behind one, or a card."""
    return labels.get("address"), labels.get("replica"), labels.get(GPU)


def _together(held: Floats, how: Together) -> Floats:
    """Of each column; NaN is nothing."""
    if how == "max":
        return np.asarray(np.nanmax(held, axis=0))
    total = np.nansum(held, axis=0)
    return np.asarray(total if how == "sum" else total / (~np.isnan(held)).sum(axis=0))


def _held(times: Floats, t: Floats, value: Floats) -> Floats:
    """The last value up to each time, NaN where there is none or it is stale."""
    at = np.searchsorted(t, times, "right") - 1
    fresh = (at >= 0) & (times - t[np.maximum(at, 0)] <= STALE)
    return np.where(fresh, value[np.maximum(at, 0)], np.nan)


def read_server_metrics(path: Path) -> ServerMetrics:
    """Read the file; an absent one gives a ServerMetrics with nothing in it. Raises UsageError if cut."""
    if not path.is_file():
        return ServerMetrics()
    try:
        table = pq.ParquetFile(path).read()
        if missing := [name for name in METRICS_SCHEMA.names if name not in table.schema.names]:
            raise UsageError(f"{path}: not a run's server metrics: column {missing[0]!r} is missing")
        return ServerMetrics(table.select(METRICS_SCHEMA.names))
    except (OSError, ValueError, pa.ArrowException) as error:
        text = " ".join(str(error).split())[:200]
        raise UsageError(f"{path}: not a Parquet file, or cut off: {text}") from None
