"""Each figure against the generator's truth, or a plain computation over the records."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.synthetic import Truth, edit_manifest, make_run
from common.places import ROOT
from loadgen.records.metrics import METRICS
from loadgen.records.rates import RATES
from reports.metrics import durations, gaps, request_metrics, time_series
from reports.runs.runs import Run, load_run
from reports.verdict.validity import check

DOCS = ROOT / "docs" / "metrics.md"


def made(folder: Path, **changes: Any) -> tuple[Run, Truth]:
    truth = make_run(folder, **changes)
    return load_run(folder), truth


def percentile(values: np.ndarray, share: float) -> float:
    return float(np.quantile(values, share, method="inverted_cdf"))


def test_an_interruption_cuts_the_window_that_rates_are_over(tmp_path: Path) -> None:
    _, truth = made(tmp_path)
    edit_manifest(tmp_path, ended="interrupted", schedule_end=35.0)
    run = load_run(tmp_path)
    due = int(((truth.due >= 5) & (truth.due < 35)).sum())
    assert (run.window, run.window_length, int(run.judged.sum())) == ((5.0, 35.0), 30.0, due)
    assert request_metrics.figures(run)["offered_rate"].value == pytest.approx(due / 30)
    edit_manifest(tmp_path, schedule_end=4.0)  # in the warm-up: nothing of the window came due
    assert load_run(tmp_path).window == (5.0, 65.0)


def test_all_that_finishes_is_exact(tmp_path: Path) -> None:
    run, truth = made(tmp_path, jitter=0.2, output_sd=20.0, slots=12, lanes=3)
    judged = truth.judged
    found = request_metrics.figures(run)
    expected = {
        "ttft": truth.first_token - truth.sent,
        "scheduled_ttft": truth.first_token - truth.due,
        "latency": truth.last_token - truth.sent,
        "scheduled_latency": truth.last_token - truth.due,
        "tpot": (truth.last_token - truth.first_token) / (truth.tokens - 1),
        "dispatch_delay": truth.sent - truth.due,
    }
    for name, values in expected.items():
        for suffix, share in request_metrics.SHARES.items():
            figure = found[f"{name}_{suffix}"]
            assert figure.value == pytest.approx(percentile(values[judged], share), rel=1e-9, abs=1e-12)
            assert figure.count == figure.observed == judged.sum() and not figure.censored
    assert found["offered_rate"].value == judged.sum() / 60
    start, end = truth.window
    assert (
        found["completed_rate"].value == ((truth.last_token >= start) & (truth.last_token < end)).sum() / 60
    )


@pytest.mark.parametrize("drain", [0.0, 5.0, 60.0])
def test_the_unfinished_are_censored_not_dropped(tmp_path: Path, drain: float) -> None:
    run, truth = made(tmp_path, rate=40.0, slots=12, drain=drain)  # capacity 27/s
    true_latency = (truth.last_token - truth.sent)[truth.judged]
    survivors = true_latency[truth.status[truth.judged] == 0]
    for share in request_metrics.SHARES.values():
        found = request_metrics.percentile(run, "latency", share)
        assert found.count == truth.judged.sum() and found.observed == len(survivors)
        of_all, of_completed = percentile(true_latency, share), percentile(survivors, share)
        if found.value is None:
            assert found.lower_bound is not None and of_completed * 0.9 < found.lower_bound <= of_all
        else:
            assert of_completed <= found.value <= of_all + 1e-9
            assert found.observed >= share * found.count
    assert (request_metrics.percentile(run, "latency", 0.99).value is None) == (drain < 60)


def test_failed_and_lost_requests_never_end(tmp_path: Path) -> None:
    run, truth = made(tmp_path, failed_share=0.05, lanes=4, lost_lane=2)
    gone = np.isin(truth.status[truth.judged], (1, 3)).mean()
    assert 0.1 < gone < 0.3
    for name in ("ttft", "scheduled_ttft", "latency", "scheduled_latency"):
        assert request_metrics.percentile(run, name, 1 - gone - 0.01).value is not None
        beyond = request_metrics.percentile(run, name, 1 - gone + 0.01)
        assert beyond.value is None and beyond.count == truth.judged.sum()


def test_counts_reconcile_in_every_way_to_end(tmp_path: Path) -> None:
    run, truth = made(tmp_path, failed_share=0.02, broken_share=0.02, hung_share=0.02, lanes=4, lost_lane=1)
    for window_only in (True, False):
        counts = request_metrics.accounting(run, window_only)
        assert counts == {
            "due": sum(truth.counts(window_only).values()),
            **truth.counts(window_only),
            "empty": 0,
        }
        assert all(counts[status] for status in ("completed", "failed", "unfinished", "lost"))
    assert request_metrics.errors(run) == {"HTTP 500": request_metrics.accounting(run)["failed"]}


def _plain_gaps(run: Run) -> list[float]:
    """Gaps of judged records, in plain Python."""
    frame = run.records.frame(["due", "chunk_times"])
    inside = frame[(frame.due >= run.window[0]) & (frame.due < run.window[1])]
    return [
        later - earlier
        for times in inside.chunk_times
        for earlier, later in zip(times, times[1:], strict=False)
    ]


@pytest.mark.parametrize("tokens_per_chunk", [1, 3])
def test_gaps(tmp_path: Path, tokens_per_chunk: int) -> None:
    run, _ = made(tmp_path, tokens_per_chunk=tokens_per_chunk, jitter=0.3, output_sd=15.0, duration=20)
    plain = np.sort(_plain_gaps(run))
    found = request_metrics.survival(run, "itl")
    assert found.count == len(plain) and found.known == pytest.approx(plain, rel=1e-6, abs=1e-6)
    each = request_metrics.survival(run, "itl_per_token")
    assert (each is found) == (tokens_per_chunk == 1)
    if tokens_per_chunk == 3:
        frame = run.records.frame(["due", "chunk_tokens"])
        inside = frame[(frame.due >= run.window[0]) & (frame.due < run.window[1])]
        assert each.count == sum(int(tokens[1:].sum()) for tokens in inside.chunk_tokens)
        assert np.asarray(each.known).sum() == pytest.approx(plain.sum(), rel=1e-4)


def test_running_and_broken_gaps_count(tmp_path: Path) -> None:
    run, truth = made(tmp_path, rate=40, slots=12, drain=0.0, broken_share=0.05)
    found = request_metrics.survival(run, "itl")
    streaming = (truth.status == 2) & truth.judged & (truth.first_token <= truth.drained_at)
    assert 0 < len(found.censored) <= streaming.sum()
    assert found.never == (truth.judged & (truth.status == 1)).sum() > 0


def test_tokens_inside_the_window_only(tmp_path: Path) -> None:
    run, _ = made(tmp_path, rate=40.0, slots=12, drain=5.0, tokens_per_chunk=2, broken_share=0.05)
    frame = run.records.frame(["chunk_times", "chunk_tokens"])
    times, tokens = np.concatenate(frame.chunk_times), np.concatenate(frame.chunk_tokens)
    inside = (times >= run.window[0]) & (times < run.window[1])
    assert request_metrics.rate(run, "output_token_throughput").value == tokens[inside].sum() / 60
    flow = gaps.token_flow(run)
    assert flow.received.sum() == flow.per_second.sum() == tokens.sum()
    assert flow.per_second[10] == tokens[(times >= 10) & (times < 11)].sum()


def test_unknown_chunk_tokens_share_the_requests_total(tmp_path: Path) -> None:
    import pyarrow as pa

    from reports.runs.runs import Records

    run, _ = made(tmp_path, duration=2)
    table = pa.table(
        {
            "due": [5.0, 5.0, 5.0],
            "status": ["completed"] * 3,
            "output_tokens": [6, None, 2],
            "chunk_times": [[5.1, 5.2, 5.3], [5.1, 5.2], [6.0, 6.5]],
            "chunk_tokens": pa.array([None, None, None], pa.list_(pa.int32())),
        }
    )
    odd = Run(run.manifest, Records(table), run.server)
    flow = gaps.token_flow(odd)
    assert flow.received.tolist() == [6, 2, 2] and not flow.one_by_one
    assert np.asarray(request_metrics.survival(odd, "itl_per_token").known).tolist() == pytest.approx(
        [0.1, 0.5]
    )  # 3 chunks of 6 tokens: unknown


def test_goodput_is_of_all_arrivals(tmp_path: Path) -> None:
    run, truth = made(
        tmp_path, slots=12, rate=26.0, failed_share=0.1, jitter=0.3, slo={"ttft": 0.3, "tpot": 0.011}
    )
    pace = (truth.last_token - truth.first_token) / (truth.tokens - 1)
    good = (truth.status == 0) & (truth.first_token - truth.due <= 0.3) & (pace <= 0.011) & truth.judged
    assert 0 < good.sum() < truth.judged.sum()
    assert request_metrics.rate(run, "slo_attainment").value == good.sum() / truth.judged.sum()
    assert request_metrics.rate(run, "goodput_rate").value == pytest.approx(good.sum() / 60)
    edit_manifest(tmp_path, scenario={"slo": None})
    assert request_metrics.rate(load_run(tmp_path), "slo_attainment").value is None


def test_time_series(tmp_path: Path) -> None:
    run, truth = made(tmp_path, slots=8, rate=15.0, duration=20)
    series = time_series.per_second(run)
    assert series.offered.sum() == len(truth.due) and series.completed.sum() == (truth.status == 0).sum()
    moments = np.arange(10.0, 11.0, 0.001) + 0.0005
    plain = np.mean([((truth.due <= now) & (truth.last_token > now)).sum() for now in moments])
    assert series.in_flight[10] == pytest.approx(plain, abs=0.05)


def test_requests_of_one_token_have_no_tpot(tmp_path: Path) -> None:
    run, truth = made(tmp_path, output=1, duration=10)
    assert request_metrics.percentile(run, "tpot", 0.5).count == 0
    assert request_metrics.percentile(run, "tpot", 0.5).value is None
    assert request_metrics.percentile(run, "latency", 0.5).count == truth.judged.sum()


def test_unfinished_tpot_is_a_true_lower_bound(tmp_path: Path) -> None:
    run, truth = made(tmp_path, rate=40.0, slots=12, drain=0.0, jitter=0.2)
    found = durations.of(run, "tpot")
    open_ = ~found.known
    pace = ((truth.last_token - truth.first_token) / (truth.tokens - 1))[found.rows]
    assert open_.sum() > 10 and (found.seconds[open_] <= pace[open_] + 1e-12).all()
    assert (found.seconds[open_] > 0).any()


def test_every_metric_has_its_definition_in_the_docs(tmp_path: Path) -> None:
    run, _ = made(tmp_path, duration=5)
    text = DOCS.read_text(encoding="utf-8")
    documented = set(re.findall(r"^\| `(\w+)`", text, re.MULTILINE))
    names = set(RATES) | set(METRICS)
    assert names <= documented
    assert all(figure.definition.strip() for figure in request_metrics.figures(run).values())


def test_an_answer_in_one_piece_has_no_tpot(tmp_path: Path) -> None:
    """Its tokens were made one after the other all the same: 0 would be the fastest pace of all."""
    run, _ = made(tmp_path, rate=20, duration=30, tokens_per_chunk=40, output=40)
    found = [request_metrics.percentile(run, "tpot", share) for share in (0.5, 0.99)]
    assert [(each.value, each.count) for each in found] == [(None, 0), (None, 0)]
    rule = next(rule for rule in check(run) if rule.rule == "streamed")
    assert (rule.passed, rule.verdict.label, rule.figure) == (False, "VALID", 1.0)
    assert "there is no TPOT" in rule.text
    streaming, _ = made(tmp_path / "streaming", rate=20, duration=30, tokens_per_chunk=20, output=40)
    assert next(rule for rule in check(streaming) if rule.rule == "streamed").figure == 0
