"""Audits of other tools' result files: claims against records, and files that cannot be audited."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from common.usage import UsageError
from reports.commands.audit import as_runs, read_files
from reports.document.schema import Comparison
from reports.findings.audit_words import limit_lines
from reports.metrics import gaps, request_metrics
from tests.support.auditing import HELD, OPEN, audited, outcome, read_one
from tests.support.make_foreign import make_story
from tokenswarm.__main__ import run as main


def changed(tmp_path: Path, source: Path, change: Callable[[Any], object]) -> Path:
    """A copy of a file whose content was changed in place."""
    found = json.loads(source.read_text())
    change(found)
    path = tmp_path / "changed.json"
    path.write_text(json.dumps(found))
    return path


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_story(tmp_path_factory.mktemp("story"))


def test_an_interpolated_percentile_is_no_false_claim(tmp_path: Path) -> None:
    """vLLM interpolates; of few requests the p99's neighbours lie far apart. Beyond them it is false."""

    def claim(p99_ms: float | None) -> Callable[[Any], object]:
        def change(found: Any) -> None:
            last = int(np.argmax(found["ttfts"]))
            later = 2 * found["ttfts"][last]
            found["ttfts"][last] += later
            found["latencies"][last] += later
            found["p99_ttft_ms"] = p99_ms or 1000 * float(np.percentile(found["ttfts"], 99))

        return change

    _, found, runs = audited(changed(tmp_path, OPEN, claim(None)))
    check = next(each for each in found.checks if each.metric == "ttft_p99")
    assert check.supported and abs(check.claimed / check.supported - 1) > 0.03, "not the same figure"
    assert check.outcome == "supported" and "interpolated between" in check.reason
    assert check.supported_display.endswith(" (of 40)"), "supported, and of how few"
    _, found, runs = audited(changed(tmp_path, OPEN, claim(1e6)))
    assert outcome(found, "ttft_p99") == "not supported"


def test_the_story_s_claim_is_not_supported_and_the_first_paragraph_says_why(
    story: tuple[Path, Path],
) -> None:
    _, found, runs = audited(*story)
    text = found.paragraph
    assert "output token throughput +19.7 % (176.4 to 211.2 tok/s)" in text
    assert "Latency (service) p50 −30.4 %" in text and "767 requests as successful" in text
    assert "Its records do not support that" in text and "Output token throughput is −39.1 %" in text
    assert "no change of it can be named" in text
    assert "Of the 767 requests sent, 66 and 56 finished, 601 and 703 had no first token" in text
    assert "counts whoever got no error as successful, finished or not" in text
    assert "count the tokens of finished requests only" in text
    pool, batch = found.limits
    assert "stood at 100" in pool and "a pool of 100 clients" in pool
    assert "stood at 8" in batch and "--max-num-seqs" in batch
    for metric in ("output_token_throughput", "latency_p50"):
        assert outcome(found, metric, change=True) == "not supported"
    assert outcome(found, "completed_rate", change=True) == "cannot tell"  # 0 %, in a wide interval
    assert [request_metrics.accounting(run)["unfinished"] for run in runs] == [701, 711]
    assert [request_metrics.accounting(run)["due"] for run in runs] == [767, 767]


def test_the_report_begins_with_that_paragraph(
    story: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKENSWARM_RESULTS", str(tmp_path))
    assert main(["audit", *map(str, story), "--name", "story"]) == 0
    folder = tmp_path / "reports" / "story"
    assert (tmp_path / "latest").resolve() == folder.resolve()
    readme = (folder / "README.md").read_text()
    lines = [line for line in readme.splitlines() if line and not line.startswith("#")]
    assert lines[0].startswith("optimized is held against baseline, the first file named. The tool")
    assert "The tool claimed output token throughput +19.7 %" in lines[0]
    assert "not in the file" in readme and "the file names no SLO" in readme
    assert "a prompt" not in readme and "an answer" not in (folder / "comparison.json").read_text()
    assert "The tool claimed" in (folder / "report.html").read_text()
    Comparison.model_validate_json((folder / "comparison.json").read_text())


def test_the_same_files_give_the_same_report(story: tuple[Path, Path]) -> None:
    assert audited(*story)[0].model_dump_json() == audited(*story)[0].model_dump_json()


def test_a_file_s_name_is_written_as_it_is(story: tuple[Path, Path]) -> None:
    comparison, _, _ = audited(*story)
    warnings = [each.text for each in comparison.insights if each.kind == "warning"]
    assert any(text.startswith("baseline.json is SATURATED: ") for text in warnings)


def test_without_due_times_no_lag_at_the_client_is_said(story: tuple[Path, Path]) -> None:
    comparison, _, _ = audited(*story)
    assert [run.server.dispatch_delay_mean for run in comparison.runs] == [None, None]
    comparison, _, _ = audited(OPEN)
    assert comparison.runs[0].server.dispatch_delay_mean is not None  # by vLLM's queue_times


def test_one_file_alone(story: tuple[Path, Path]) -> None:
    comparison, found, runs = audited(story[0])
    assert len(runs) == 1 and comparison.runs[0].verdict == "SATURATED"
    assert outcome(found, "completed") == "not supported"
    assert outcome(found, "output_token_throughput") == "not supported"
    failed = {rule.rule for rule in comparison.runs[0].rules if not rule.passed}
    assert "unfinished_share" in failed
    unchecked = {rule.rule for rule in comparison.runs[0].rules if not rule.checked}
    assert {"dispatch_delay_p99", "late_share", "lanes_lost", "clocks"} <= unchecked


def test_a_file_without_partial_counts_cannot_tell_the_throughput(
    story: tuple[Path, Path], tmp_path: Path
) -> None:
    def forget(found: Any) -> None:
        for record in found["records"]:
            if record["timestamp_last_token"] is None:
                record["output_tokens"] = 0

    comparison, found, _ = audited(changed(tmp_path, story[0], forget))
    assert outcome(found, "output_token_throughput") == "cannot tell"
    row = next(each for each in comparison.metrics if each.name == "output_token_throughput")
    assert row.readings[0].display == "not in the file"
    assert any("100 requests were streaming" in each.why for each in found.untold)


def test_a_harness_file_without_counts_has_no_tokens_to_tell(
    story: tuple[Path, Path], tmp_path: Path
) -> None:
    def forget(found: Any) -> None:
        for record in found["records"]:
            record["output_tokens"] = None

    comparison, found, _ = audited(changed(tmp_path, story[0], forget))
    rows = {each.name: each.readings[0].display for each in comparison.metrics}
    assert rows["output_token_throughput"] == rows["tpot_p50"] == "not in the file"
    assert rows["latency_p50"] != "not in the file"
    assert any("66 requests got all their tokens" in each.why for each in found.untold)


@pytest.mark.parametrize("error", ["", False, None])
def test_no_error_is_written_in_several_ways(story: tuple[Path, Path], tmp_path: Path, error: object) -> None:
    def write(found: Any) -> None:
        for record in found["records"]:
            record["error"] = error

    _, _, (run,) = audited(changed(tmp_path, story[0], write))
    assert request_metrics.accounting(run)["failed"] == 0 and request_metrics.errors(run) == {}


def test_an_honest_harness_file_is_supported(story: tuple[Path, Path], tmp_path: Path) -> None:
    def honest(found: Any) -> None:
        found["records"] = [each for each in found["records"] if each["timestamp_last_token"]]
        found["metrics"] = {"total_requests": 66, "successful_requests": 66} | {
            name: value for name, value in found["metrics"].items() if name.startswith(("latency", "tpot"))
        }

    _, found, _ = audited(changed(tmp_path, story[0], honest))
    assert {each.outcome for each in found.checks} == {"supported"}
    assert "Its records support that" in found.paragraph
    assert "There is no difference beyond the minimum effect size" in found.paragraph


def test_a_vllm_file_gives_the_figures_that_vllm_reckoned() -> None:
    said = json.loads(OPEN.read_text())
    _, found, (run,) = audited(OPEN)
    for name, field in (
        ("ttft", "median_ttft_ms"),
        ("latency", "median_e2el_ms"),
        ("tpot", "median_tpot_ms"),
    ):
        value = request_metrics.percentile(run, name, 0.5).value
        assert value is not None and value * 1000 == pytest.approx(said[field], rel=0.01)
        assert outcome(found, f"{name}_p50") == "supported"
    assert gaps.token_flow(run).received.sum() == pytest.approx(said["total_output_tokens"])
    assert request_metrics.accounting(run) == {
        "due": 40,
        "completed": 40,
        "empty": 0,
        "failed": 0,
        "unfinished": 0,
        "lost": 0,
    }
    chunks = sum(len(each) for each in said["itls"])  # the first follows the chunk that names the role
    assert len(request_metrics.survival(run, "itl").known) == chunks - 40


def test_a_vllm_file_with_a_limit_of_the_client_shows_what_the_limit_hid() -> None:
    said = json.loads(HELD.read_text())
    comparison, found, (run,) = audited(HELD)
    sent = request_metrics.percentile(run, "latency", 0.5).value
    due = request_metrics.percentile(run, "scheduled_latency", 0.5).value
    assert sent and due and due > sent + 0.2
    waits = np.array(said["queue_times"])
    assert run.records.numbers("sent") - run.records.numbers("due") == pytest.approx(waits, abs=1e-9)
    assert "its own limit lets a request go" in found.paragraph
    assert any("held requests back at 4 in flight" in note for note in found.notes)
    failed = {rule.rule: rule.verdict for rule in comparison.runs[0].rules if not rule.passed}
    assert failed["dispatch_delay_p99"] == "CLIENT-LIMITED"


def test_two_vllm_files_of_different_loads_support_no_change() -> None:
    _, found, _ = audited(OPEN, HELD)
    first, *_ = found.paragraph.split(". ")
    assert first.endswith("is held against vllm-bench-open, the first file named")
    assert "The loads differ (" in found.paragraph and "; the loads differ" in found.title
    assert "no effect of the server" in found.paragraph
    changes = [each for each in found.checks if each.field.startswith("change of ")]
    assert changes and all("no effect of the server" in each.reason for each in changes)


def test_failed_requests_of_vllm_count_as_endless(tmp_path: Path) -> None:
    def fail(found: Any) -> None:
        trace = 'Traceback (most recent call last):\n  File "x.py", line 1\nClientPayloadError: cut off\n'
        found["errors"][3], found["ttfts"][3], found["itls"][3] = "Service Unavailable", 0.0, []
        found["errors"][5], found["itls"][5] = trace, found["itls"][5][:2]
        found["errors"][7], found["ttfts"][7], found["itls"][7] = "", 0.0, []  # an empty HTTP reason
        for index in (3, 5, 7):
            found["output_lens"][index], found["latencies"][index] = 0, 0.0

    _, found, (run,) = audited(changed(tmp_path, OPEN, fail))
    assert request_metrics.accounting(run)["failed"] == 3
    assert request_metrics.errors(run) == {
        "ClientPayloadError: cut off": 1,
        "Service Unavailable": 1,
        "no text": 1,
    }
    assert request_metrics.percentile(run, "latency", 0.99).value is None
    assert outcome(found, "completed") == "not supported"
    assert any("3 requests failed" in note for note in found.notes)


def test_without_a_rate_there_is_no_offered_rate(tmp_path: Path) -> None:
    comparison, found, (run,) = audited(
        changed(tmp_path, HELD, lambda found: found.update(request_rate="inf"))
    )
    assert run.window[1] == pytest.approx(run.manifest.drained_at)
    assert any("Offered rate" in each.what for each in found.untold)
    rules = {rule.rule: rule for rule in comparison.runs[0].rules}
    assert not rules["backlog"].checked and not rules["dispatch_delay_p99"].checked


def test_no_key_of_an_error_is_stored(story: tuple[Path, Path], tmp_path: Path) -> None:
    def fail(found: Any) -> None:
        found["records"][0]["error"] = "401\nAuthorization: Bearer sk-abcdefghijklmnopqrstuv"

    comparison, _, _ = audited(changed(tmp_path, story[0], fail))
    assert "abcdefghijkl" not in comparison.model_dump_json()


def _set(index: int, **values: Any) -> Callable[[Any], object]:
    return lambda found: found["records"][index].update(values)


NOW = 1_700_000_000.0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_set(0, timestamp_first_token=NOW + 9, timestamp_last_token=NOW + 8), "record 0 .*after its last"),
        (_set(2, timestamp_first_token=NOW - 5), "record 2 .*before it was sent"),
        (_set(2, timestamp_sent=None), "record 2 .*timestamp_sent is missing"),
        (_set(4, timestamp_sent=NOW * 1000), "record 4 .*not epoch seconds"),
        (_set(4, timestamp_sent=12.5), "record 4 .*not epoch seconds"),
        (_set(700, timestamp_sent=NOW + 9e6), "record 700 .*days off"),
        (_set(1, timestamp_sent="soon"), "record 1 .*timestamp_sent is 'soon', not a number"),
        (_set(1, output_tokens=-3), "record 1 .*output_tokens is -3"),
        (_set(1, output_tokens=1e30), "record 1 .*output_tokens is 1e.30"),
        (_set(766, timestamp_last_token=NOW + 50), "record 766 .*last token and no first"),
        (lambda found: found["records"].__setitem__(6, [1]), "record 6 .*is a list"),
        (lambda found: found["records"].clear(), "records is empty"),
        (lambda found: found["metrics"].update(throughput_rps="x"), "metrics.throughput_rps is 'x'"),
        (lambda found: found.pop("records"), "of no kind that can be audited"),
    ],
)
def test_nonsense_in_a_harness_file_is_one_clear_line(
    story: tuple[Path, Path], tmp_path: Path, change: Callable[[Any], object], said: str
) -> None:
    path = changed(tmp_path, story[0], change)
    with pytest.raises(UsageError, match=said) as caught:
        read_one(path)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda found: found["ttfts"].__setitem__(3, -0.1), "record 3 .*negative duration"),
        (lambda found: found["itls"][4].__setitem__(1, -0.1), "record 4 .*negative duration"),
        (lambda found: found["latencies"].__setitem__(5, 0.01), "record 5 .*after its last"),
        (lambda found: found["start_times"].__setitem__(6, NOW), "record 6 .*several clocks"),
        (lambda found: found["output_lens"].__setitem__(7, -1), "record 7 .*negative number"),
        (lambda found: found["output_lens"].__setitem__(7, 1e30), "record 7 .*not a number of tokens"),
        (lambda found: found["ttfts"].__setitem__(8, None), r"ttfts\[8\] is missing"),
        (lambda found: found["itls"].__setitem__(9, 0.1), "record 9 .*itls is no list"),
        (lambda found: found["errors"].pop(), "not of one length"),
        (lambda found: found.pop("itls"), "--save-detailed"),
    ],
)
def test_nonsense_in_a_vllm_file_is_one_clear_line(
    tmp_path: Path, change: Callable[[Any], object], said: str
) -> None:
    path = changed(tmp_path, HELD, change)
    with pytest.raises(UsageError, match=said) as caught:
        read_one(path)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (HELD.read_text()[:5000], "cut off"),
        ("", "of no kind"),
        ("[1, 2]", "of no kind"),
        ("[" * 100_000, "no JSON|cut off"),
        ('{"a": 1}', "begins with .* of no kind that can be audited: .*GuideLLM"),
        ("Type,Name,Request Count,Failure Count\nPOST,/v1/chat,10,0\n", "no whole row Aggregated"),
        ("12:00,5\n", "begins with '12:00,5' and is of no kind"),
        ('{"records": [{"timestamp_sent": NaN}], "metrics": {}}', "record 0 .*nan"),
    ],
)
def test_other_files_are_one_clear_line(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "file.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=said):
        read_one(path)


def test_which_files_can_stand_together(story: tuple[Path, Path], tmp_path: Path) -> None:
    for paths, said in (
        ((story[0], story[0]), "named twice"),
        ((*story, OPEN), "give one, or two"),
        ((tmp_path / "no.json",), "cannot be read"),
    ):
        with pytest.raises(UsageError, match=said):
            read_files(paths)


def test_files_of_one_name_stay_apart(story: tuple[Path, Path], tmp_path: Path) -> None:
    paths = tmp_path / "a" / "result.json", tmp_path / "b" / "result.json"
    for path, source in zip(paths, story, strict=True):
        path.parent.mkdir()
        path.write_text(source.read_text())
    assert [run.name for run in as_runs(read_files(paths)[0])] == ["a/result.json", "b/result.json"]


def test_without_a_plateau_no_limit_is_suspected() -> None:
    found = read_files([OPEN])[0]
    assert limit_lines(found, as_runs(found)) == []


def test_a_command_without_its_files_is_one_line() -> None:
    with pytest.raises(UsageError, match=r"required: FILE \(tokenswarm audit --help"):
        main(["audit"])
