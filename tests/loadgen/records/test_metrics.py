"""Every metric of a request stands wherever metrics stand, by its one entry alone."""

import math
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from bench.synthetic import make_run
from common.places import ROOT
from loadgen.live.instruments import OF_METRICS
from loadgen.live.live import Live
from loadgen.records.metrics import METRICS, Metric, Moments, live, value
from loadgen.web.webpage import figures
from reports.metrics import request_metrics
from reports.metrics.catalogue import ROWS
from reports.runs.runs import Run, load_run

EVERY = pytest.mark.parametrize("metric", METRICS.values(), ids=lambda metric: metric.name)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder: Path = tmp_path_factory.mktemp("run")
    make_run(folder, duration=5)
    table = pq.read_table(folder / "requests.parquet")  # as if every answer began with reasoning
    place = table.schema.get_field_index("first_answer")
    later = pc.add(table["first_token"], 0.01)
    pq.write_table(table.set_column(place, table.schema.field(place), later), folder / "requests.parquet")
    return load_run(folder)


@EVERY
def test_summary_json_has_its_percentiles(metric: Metric, run: Run) -> None:
    found = request_metrics.figures(run)[f"{metric.name}_p50"]
    assert found.value is not None and found.count
    assert found.definition == f"p50 of: {metric.definition}"


@EVERY
def test_the_report_and_the_comparison_have_its_rows(metric: Metric) -> None:
    rows = [row for row in ROWS if row.metric == metric.name]
    assert [row.label for row in rows] == [f"{metric.label} {suffix}" for suffix in metric.rows]


@EVERY
def test_it_is_told_while_a_run_goes(metric: Metric) -> None:
    """On the live page, and by its own name in Prometheus and OpenTelemetry."""
    told = [row["label"] for table in figures.tables(Live(1.0, (0.0, 1.0), 1)) for row in table["metrics"]]
    assert (metric.label in told) == (metric.name in OF_METRICS) == bool(metric.since)
    names = [OF_METRICS[name].prometheus for name in live()]
    assert len(set(names)) == len(names) and all(name.endswith("_seconds") for name in names)


@EVERY
def test_docs_define_it(metric: Metric) -> None:
    row = f"| `{metric.name}` | {metric.label} | {metric.text} |"
    assert row in (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8"), (
        ".venv/bin/python -m tests.generated"
    )


@EVERY
def test_one_request_and_many_have_the_same_figure(metric: Metric, run: Run) -> None:
    """What the live page counts request by request is what the report reckons from all records."""
    if metric.seconds is None:
        pytest.skip("gaps are read from the chunks")
    numbers = run.records.numbers
    names = ("due", "sent", "first_token", "last_token", "output_tokens", "first_answer")
    columns = (numbers(name).tolist() for name in names)
    rows = (Moments(*row[:5], first_answer=row[5]) for row in zip(*columns, strict=True))  # type: ignore[misc]
    each = [value(row, metric) for row in rows]
    whole = request_metrics.survival(run, metric.name)
    known = sorted(seconds for seconds, judged in zip(each, run.judged, strict=True) if judged and seconds)
    assert np.asarray(whole.known).tolist() == pytest.approx(known, rel=1e-6) and len(known) > 50


def test_a_moment_that_is_not_there_gives_none() -> None:
    assert all(value(Moments(), metric) is None for metric in METRICS.values() if metric.seconds)
    one_piece = Moments(due=0, sent=0, first_token=1.0, finished=1.0, tokens=5)
    assert value(one_piece, METRICS["tpot"]) is None
    assert value(Moments(due=0, sent=0, first_token=1.0, finished=2.0, tokens=5), METRICS["tpot"]) == 0.25
    assert math.isclose(value(one_piece, METRICS["latency"]) or 0.0, 1.0)
