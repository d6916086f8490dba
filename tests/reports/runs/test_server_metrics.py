"""Counters, gauges and histograms of the server between two moments."""

import math

import pyarrow as pa
import pytest

from loadgen.records.record import METRICS_SCHEMA
from reports.runs.server_metrics import ServerMetrics

Row = tuple[float, str, str, float]


def metrics(*rows: Row) -> ServerMetrics:
    columns = zip(*rows, strict=True)
    return ServerMetrics(pa.table([pa.array(column) for column in columns], schema=METRICS_SCHEMA))


def series(name: str, values: dict[float, float], labels: str = "{}") -> list[Row]:
    return [(t, name, labels, value) for t, value in values.items()]


def test_a_counter_gains_between_scrapes() -> None:
    found = metrics(*series("c", {-1.0: 5, 0.0: 10, 1.0: 30, 2.0: 70}))
    assert found.increase("c", 0, 2) == 60
    assert found.increase("c", 0.5, 1.5) == 60  # the scrapes around the span
    assert found.increase("c", -9, math.inf) == 65
    assert found.increase("absent", 0, 2) is None
    assert found.covers(-1, 2) and not found.covers(-2, 2) and not found.covers(0, 2.1)


def test_a_restart_counts_from_zero() -> None:
    assert metrics(*series("c", {0.0: 100, 1.0: 120, 2.0: 5, 3.0: 8})).increase("c", 0, 3) == 28


def test_a_label_set_that_appears_later_counts_from_zero() -> None:
    rows = series("c", {0.0: 1, 1.0: 1, 2.0: 1}, '{"r": "a"}') + series("c", {1.0: 4, 2.0: 6}, '{"r": "b"}')
    found = metrics(*rows)
    assert found.increase("c", 0, 2) == 6
    assert found.increase("c", 0, 2, r="a") == 0


def test_gauges_are_summed_over_labels() -> None:
    found = metrics(
        *series("g", {0.0: 1, 1.0: 2}, '{"e": "0"}'), *series("g", {0.0: 10, 1.0: 20}, '{"e": "1"}')
    )
    gauge = found.gauge("g")
    assert gauge is not None and gauge[0].tolist() == [0, 1] and gauge[1].tolist() == [11, 22]
    assert found.gauge("h") is None


def test_a_histogram_is_a_difference() -> None:
    rows = series("h_sum", {0.0: 50, 1.0: 56}) + series("h_count", {0.0: 10, 1.0: 14})
    for bound, before, after in (("0.1", 1, 2), ("+Inf", 10, 14), ("2.0", 10, 13)):
        rows += series("h_bucket", {0.0: before, 1.0: after}, f'{{"le": "{bound}"}}')
    found = metrics(*rows).histogram("h", 0, 1)
    assert found is not None and found.mean == 1.5 and found.count == 4
    assert found.bounds.tolist() == [0.1, 2.0, math.inf] and found.cumulative.tolist() == [1, 3, 4]
    assert found.quantile(0.25) == pytest.approx(0.1)
    assert found.quantile(0.5) == pytest.approx(0.1 + 1.9 / 2)
    assert found.quantile(0.99) == 2.0  # beyond the last finite bound
    assert metrics(*rows).histogram("absent", 0, 1) is None


def test_nothing_scraped() -> None:
    found = ServerMetrics()
    assert found.names == [] and not found.covers(0, 1) and found.increase("c", 0, 1) is None
