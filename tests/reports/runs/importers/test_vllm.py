"""Audits of vllm bench serve: what its load was, how long it took, and which two loads are the same."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from common.usage import UsageError
from reports.document.metric import Metric
from reports.document.schema import Comparison
from reports.metrics import request_metrics
from reports.runs.conditions import conditions
from tests.support.auditing import OPEN, audited, outcome, read_one
from tests.support.make_foreign import make_vllm


@pytest.fixture(autouse=True)
def _one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """What starts of a server differ by is no matter here (tests/reports/comparison/test_starts.py)."""
    monkeypatch.setattr("reports.comparison.starts.same_process", lambda *runs: True)


def changed(source: Path, path: Path, **values: Any) -> Path:
    """A copy of a file with other values; None leaves the key out."""
    found = json.loads(source.read_text()) | values
    path.write_text(json.dumps({name: value for name, value in found.items() if value is not None}))
    return path


def row(comparison: Comparison, name: str) -> Metric:
    return next(each for each in comparison.metrics if each.name == name)


@pytest.mark.parametrize("faster", [0.96, 0.85])
def test_without_a_rate_the_time_that_the_requests_took_is_each_file_s_own(
    tmp_path: Path, faster: float
) -> None:
    """Within 5 % of one another both had one window, and the change was 0; beyond, no change was given."""
    one, two = make_vllm(tmp_path / "1.json"), make_vllm(tmp_path / "2.json", tpot=faster * 0.02)
    comparison, found, runs = audited(one, two)
    said = [json.loads(path.read_text())["output_throughput"] for path in (one, two)]
    throughput = row(comparison, "output_token_throughput")
    assert [each.value for each in throughput.readings] == pytest.approx(said)
    assert throughput.changes[0].change == pytest.approx(said[1] / said[0] - 1)
    assert "The loads differ" not in found.paragraph
    assert [conditions(run)["duration (s)"] for run in runs] == [None, None]
    assert outcome(found, "latency_p50", change=True) == "supported"


def test_the_end_of_such_a_load_is_in_its_interval_once(tmp_path: Path) -> None:
    one, two = make_vllm(tmp_path / "1.json"), make_vllm(tmp_path / "2.json", tpot=0.017)
    comparison, found, _ = audited(one, two)
    change = row(comparison, "output_token_throughput").changes[0]
    assert change.mark == "better" and change.low and change.high and change.high - change.low < 0.2
    assert outcome(found, "output_token_throughput", change=True) == "supported"
    assert "in each resample once" in comparison.methods[0].text


@pytest.mark.parametrize("limit", [20, 100])
def test_two_files_of_one_server_do_not_differ(tmp_path: Path, limit: int) -> None:
    """The tokens before the last send come so evenly that chance is in the end alone."""
    one, two = (make_vllm(tmp_path / f"{seed}.json", 600, limit, seed=seed) for seed in (2, 3))
    change = row(audited(one, two)[0], "output_token_throughput").changes[0]
    assert change.change and change.low is not None and change.high is not None
    assert change.low < 0 < change.high and change.low < change.change < change.high


def test_of_requests_that_were_sent_at_once_there_is_no_interval(tmp_path: Path) -> None:
    one = make_vllm(tmp_path / "1.json", count=500, limit=None, slots=500)
    two = make_vllm(tmp_path / "2.json", count=500, limit=None, slots=500, tpot=0.016)
    comparison, found, _ = audited(one, two)
    assert comparison.methods[0].kind == "none"
    assert "in 1.json and 2.json all requests were sent at once" in comparison.methods[0].text
    change = row(comparison, "output_token_throughput").changes[0]
    assert change.change and change.change > 0.15 and change.low is None
    assert change.mark == "not comparable" and "only repeats" in change.reason
    assert outcome(found, "output_token_throughput", change=True) == "supported"
    assert found.limits == [], "all at work together are no limit's doing"


def test_a_change_that_is_no_more_than_chance_says_so(tmp_path: Path) -> None:
    one, two = make_vllm(tmp_path / "1.json", 600), make_vllm(tmp_path / "2.json", 600, tpot=0.0192)
    _, found, _ = audited(one, two)
    assert outcome(found, "completed_rate", change=True) == "not supported"
    assert "(chance gives as much: the interval holds 0)" in found.paragraph


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"max_concurrency": 64}, r"poisson \(max_concurrency 64\) instead of poisson"),
        ({"burstiness": 0.5}, r"gamma \(burstiness 0.5\) instead of poisson"),
        ({"burstiness": float("inf")}, "arrivals constant instead of poisson"),
        (
            {
                "request_rate": "inf",
                "ramp_up_strategy": "linear",
                "ramp_up_start_rps": 1,
                "ramp_up_end_rps": 9,
            },
            r"linear ramp \(start 1, end 9\) instead of poisson",
        ),
    ],
)
def test_another_way_of_arriving_is_another_load(tmp_path: Path, values: dict[str, Any], said: str) -> None:
    comparison, found, _ = audited(OPEN, changed(OPEN, tmp_path / "2.json", **values))
    assert "The loads differ" in found.paragraph
    change = row(comparison, "ttft_p50").changes[0]
    assert change.mark == "not comparable" and re.search(said, change.reason)


def test_another_number_of_clients_is_another_load(tmp_path: Path) -> None:
    """A server of 32 slots: 64 clients wait for it twice as long as 32, and it is no slower for that."""
    one = make_vllm(tmp_path / "1.json", limit=32, slots=32)
    comparison, found, _ = audited(one, make_vllm(tmp_path / "2.json", limit=64, slots=32))
    assert "closed-loop (concurrency 64) instead of closed-loop (concurrency 32)" in found.paragraph
    assert "no effect of the server" in found.paragraph
    changes = [each for each in found.checks if each.field == "change of median_ttft_ms"]
    assert "no effect of the server" in changes[0].reason
    assert row(comparison, "ttft_p50").changes[0].mark == "not comparable"


def test_another_number_of_requests_is_another_load(tmp_path: Path) -> None:
    _, found, _ = audited(make_vllm(tmp_path / "1.json"), make_vllm(tmp_path / "2.json", count=600))
    assert "requests 600 instead of 1200" in found.paragraph


@pytest.mark.parametrize(
    ("limit", "slots", "said"),
    [
        (32, 64, "32 from 0.0 s on: the client's own limit (max_concurrency) set the pace"),
        (20, 64, "20 from 0.0 s on: the client's own limit (max_concurrency) set the pace"),
        (
            64,
            30,
            "A limit of 30 of the server's batch (--max-num-seqs) set the pace: the client let up to 64",
        ),
        (None, 30, "So round a number points at a pool of 30 clients"),
    ],
)
def test_the_limit_that_a_file_names_is_known(
    tmp_path: Path, limit: int | None, slots: int, said: str
) -> None:
    _, found, _ = audited(make_vllm(tmp_path / "1.json", limit=limit, slots=slots))
    (line,) = found.limits
    assert said in line
    assert ("pool" in line) is (limit is None)


def test_without_queue_times_how_long_the_limit_held_is_not_said(tmp_path: Path) -> None:
    path = make_vllm(tmp_path / "1.json", limit=32, rate=40.0)
    comparison, found, _ = audited(changed(path, path, queue_times=None, latencies=None))
    (note,) = found.notes
    assert "for how long is not in the file" in note and "up to 0 s" not in note
    assert "It sent 32.48 requests/s, asked were 40" in note
    rules = {rule.rule: rule for rule in comparison.runs[0].rules}
    assert not rules["backlog"].checked and not rules["unsent_share"].checked
    assert any("Offered rate" in each.what for each in found.untold)


def test_a_limit_that_was_never_reached_held_nothing_back(tmp_path: Path) -> None:
    path = make_vllm(tmp_path / "1.json", limit=60, rate=20.0)
    comparison, found, (run,) = audited(changed(path, path, queue_times=None, latencies=None))
    assert any("held back hardly any: 0 of 1,200" in note for note in found.notes)
    assert request_metrics.rate(run, "offered_rate").value == pytest.approx(20.0, rel=0.1)
    assert {rule.rule: rule for rule in comparison.runs[0].rules}["backlog"].checked


def test_a_trace_that_times_itself_is_an_open_loop(tmp_path: Path) -> None:
    path = make_vllm(tmp_path / "1.json", limit=None, slots=1200, rate=20.0)
    comparison, found, (run,) = audited(changed(path, path, request_rate="inf"))
    assert any("those of a trace" in note for note in found.notes)
    assert conditions(run)["arrivals"] == "trace" and conditions(run)["duration (s)"]
    assert row(comparison, "offered_rate").readings[0].value == pytest.approx(20.0, rel=0.1)
    assert {rule.rule: rule for rule in comparison.runs[0].rules}["backlog"].checked


def test_fewer_requests_than_num_prompts_are_a_note(tmp_path: Path) -> None:
    comparison, found, _ = audited(changed(OPEN, tmp_path / "1.json", num_prompts=1000))
    assert any("40 requests were sent, and num_prompts asked for 1,000" in note for note in found.notes)
    assert {rule.rule: rule for rule in comparison.runs[0].rules}["accounting"].passed


def test_a_count_that_the_lists_contradict_does_not_reconcile(tmp_path: Path) -> None:
    comparison, _, _ = audited(changed(OPEN, tmp_path / "1.json", completed=41))
    assert not {rule.rule: rule for rule in comparison.runs[0].rules}["accounting"].passed


def test_failed_requests_are_not_said_to_have_waited_longest(tmp_path: Path) -> None:
    def fail(found: Any) -> None:
        found["errors"][3], found["ttfts"][3], found["itls"][3] = "refused", 0.0, []
        found["output_lens"][3] = found["latencies"][3] = 0

    found = json.loads(OPEN.read_text())
    fail(found)
    path = tmp_path / "1.json"
    path.write_text(json.dumps(found))
    paragraph = audited(path)[1].paragraph
    assert "leave out the 1 that failed" in paragraph and "waited longest" not in paragraph


def _without(*names: str) -> Callable[[Any], object]:
    return lambda found: [found.pop(name) for name in names]


DETAILS = ("input_lens", "output_lens", "start_times", "ttfts", "itls", "generated_texts", "errors")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_without("start_times", "ttfts", "itls", "output_lens", "output_throughput"), "of a pooling model"),
    ],
)
def test_what_is_not_in_a_file_and_what_can_be_done(
    tmp_path: Path, change: Callable[[Any], object], said: str
) -> None:
    found = json.loads(OPEN.read_text())
    change(found)
    path = tmp_path / "1.json"
    path.write_text(json.dumps(found))
    with pytest.raises(UsageError, match=said):
        read_one(path)
