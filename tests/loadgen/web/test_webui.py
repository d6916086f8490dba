"""The web UI's parts that need no browser: rows, CSV, files of results/, reports of a session."""

import csv
import io
import json
from collections import Counter
from pathlib import Path

import pytest
from flask import Flask

from common.usage import UsageError
from loadgen.live.histogram import Digest
from loadgen.live.live import COLUMNS, Live
from loadgen.options import _Suggested
from loadgen.records import metrics
from loadgen.records.metrics import METRICS
from loadgen.web.webpage import figures
from loadgen.web.webpage.files import address, file_response, folder_response, inside
from loadgen.web.webpage.session import Session
from tests.support.pulses import BLANK


def live_run(workloads: tuple[str, ...] = ("chat", "code")) -> Live:
    """3 s of a run on two lanes; each workload has TTFTs of 0.1, 0.2, … s."""
    live = Live(3.0, (0.0, 3.0), 2)
    for second in range(4):
        for lane in (0, 1):
            digests = {}
            for place, workload in enumerate(workloads):
                digest = Digest()
                digest.add((place + 1) * 0.1)
                digests[workload] = {"ttft": digest.take()}
            counts = Counter(sent=10 * second, completed=8 * second, failed=second, tokens=80 * second)
            live.pulse(
                BLANK
                | {
                    "lane": lane,
                    "t": float(second),
                    "due": 10 * second * len(workloads),
                    "in_flight": 3,
                    "counts": dict.fromkeys(workloads, counts),
                    "digests": digests,
                }
            )
        live.tick(second + 0.4, {"running": 5.0, "waiting": 1.0})
    return live


def test_rows_show_all_workers_together_and_each_workload() -> None:
    rows = figures.tab_rows(live_run(), "running", ("VALID", "nothing against it so far"), None)
    by_name = {(row["workload"], row["figure"]): row for row in rows}
    assert (
        by_name["all", "Offered rate"]["now"].startswith("40.00 /s")
        and by_name["all", "Offered rate"]["count"] == 120
    )
    assert by_name["all", "Completed rate"]["now"].startswith("32.00 /s")
    assert by_name["all", "Output token throughput"]["now"].startswith("320 /s")
    assert by_name["all", "In flight"]["now"] == "6 (server: running 5, waiting 1)"
    assert by_name["all", "Failed"]["count"] == 12
    assert by_name["all", "Verdict so far"]["now"] == "VALID: nothing against it so far"
    for workload, ttft in (("chat", 100), ("code", 200)):
        row = by_name[workload, "TTFT (service)"]
        assert float(row["p50"]) == pytest.approx(ttft, rel=0.01) and row["count"] == 8
    assert by_name["all", "TTFT (service)"]["count"] == 16 and by_name["all", "ITL"]["p50"] == ""
    assert {row["figure"] for row in rows} >= {METRICS[name].label for name in metrics.live()}
    assert all(set(row) == {column["key"] for column in figures.tab_structure()} for row in rows)


def test_once_a_run_is_over_the_tab_shows_the_judged_rates() -> None:
    judged = {"offered_rate": 39.5, "completed_rate": None, "output_token_throughput": 1234.5}
    rows = figures.tab_rows(live_run(), "idle", ("VALID", "judged from the records"), judged)
    by_name = {(row["workload"], row["figure"]): row["now"] for row in rows}
    assert by_name["all", "Offered rate"] == "39.50 /s in the window"
    assert by_name["all", "Completed rate"] == ""
    assert by_name["all", "Output token throughput"] == "1,234 /s in the window"
    assert by_name["all", "Verdict"] == "VALID: judged from the records"
    assert by_name["chat", "Sent"] == "" and not any("last 10 s" in text for text in by_name.values())


@pytest.mark.parametrize("state", ["cleanup", "stopping"])
def test_locusts_page_goes_on_asking_until_the_end(state: str) -> None:
    assert figures.shown_state(state) == "running"
    assert figures.shown_state("stopped") == "stopped"


def test_without_a_run_the_tab_says_so() -> None:
    rows = figures.tab_rows(None, "idle", ("", "no run yet"), None)
    assert [(row["figure"], row["now"]) for row in rows] == [("State", "idle")]


def test_seconds_are_given_from_the_one_asked_for() -> None:
    live = live_run()
    assert len(figures.points(live, 0)) == 4 and len(figures.points(live, 3)) == 1
    assert figures.points(live, 10**9) == [] and len(figures.points(live, -5)) == 4
    last = dict(zip(COLUMNS, figures.points(live, 3)[0], strict=True))
    assert last["in_flight"] == 6 and last["ttft_p99"] == pytest.approx(0.2, rel=0.01)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, ""), (0.000512, "0.512"), (0.01234, "12.34"), (0.2347, "234.7"), (1.2345, "1,234")],
)
def test_milliseconds_keep_four_digits(seconds: float | None, text: str) -> None:
    assert figures.milliseconds(seconds) == text


def test_csv_holds_no_formula() -> None:
    live = live_run(("=HYPERLINK(1)",))
    rows = list(csv.DictReader(io.StringIO(figures.percentiles_csv(live))))
    assert {row["workload"] for row in rows} == {"all"} and len(rows) == len(metrics.live())
    both = list(csv.DictReader(io.StringIO(figures.percentiles_csv(live_run(("=A1", "chat"))))))
    assert {row["workload"] for row in both} == {"all", "'=A1", "chat"}
    seconds = list(csv.DictReader(io.StringIO(figures.seconds_csv(live))))
    assert [float(row["t"]) for row in seconds] == pytest.approx([0.4, 1.4, 2.4, 3.4])


def test_a_scenario_given_by_its_path_is_in_the_list() -> None:
    names = _Suggested(["chat-low"])
    assert "chat-low" in names and "my.yaml" in names
    assert list(names) == ["chat-low", "my.yaml"]


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "results"
    (folder / "run" / ".batches").mkdir(parents=True)
    (folder / "run" / "manifest.json").write_text('{"variant": "<b>"}')
    (folder / "run" / ".manifest.json").write_text("{}")
    (folder / "run" / "a <b>.html").write_text("<script>1</script>")
    (folder / "run" / "report.html").write_text("ours")
    (folder / "run" / "requests.parquet").write_bytes(b"PAR1")
    (tmp_path / "secret.txt").write_text("secret")
    (folder / "out").symlink_to(tmp_path)
    (folder / "latest").symlink_to("run")
    monkeypatch.setenv("TOKENSWARM_RESULTS", str(folder))
    return folder


@pytest.mark.parametrize(
    "path",
    [
        "../secret.txt",
        "run/../../secret.txt",
        "/etc/passwd",
        "out/secret.txt",
        "out",
        "run/.manifest.json",
        "run/.batches",
        "run/\0",
        "nothing",
    ],
)
def test_nothing_outside_results_is_shown(results: Path, path: str) -> None:
    assert inside(path) is None


def test_what_is_in_results_is_shown(results: Path) -> None:
    assert inside("run/manifest.json") == results / "run" / "manifest.json"
    assert inside("latest/report.html") == results / "run" / "report.html"
    assert address(results / "run") == "run" and address(results.parent) is None
    with Flask(__name__).test_request_context():
        listing = folder_response(results / "run").get_data(as_text=True)
        foreign, own = (file_response(results / "run" / name) for name in ("a <b>.html", "report.html"))
        records, manifest = (
            file_response(results / "run" / name) for name in ("requests.parquet", "manifest.json")
        )
    assert "a &lt;b&gt;.html" in listing and "<b>" not in listing and ".manifest" not in listing
    assert foreign.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert "default-src" not in own.headers["Content-Security-Policy"]
    assert records.headers["Content-Disposition"].startswith("attachment")
    assert manifest.headers["Content-Type"].startswith("text/plain")


def test_a_session_tells_its_runs(results: Path) -> None:
    folder = results / "run"
    (folder / "summary.json").write_text(
        json.dumps(
            {
                "verdict": "SATURATED",
                "rules": [
                    {
                        "rule": "dispatch_delay_p99",
                        "passed": False,
                        "verdict": "CLIENT-LIMITED",
                        "text": "late",
                    },
                    {"rule": "enough_requests", "passed": False, "verdict": "SATURATED", "text": "few"},
                    {
                        "rule": "backlog",
                        "passed": False,
                        "verdict": "SATURATED",
                        "text": "behind",
                        "advice": "slow",
                    },
                ],
                "metrics": {"ttft_p50": {"value": 0.1}},
            }
        )
    )
    finished = [(folder, "VALID")]  # as the exit code under --allow saturated says
    session = Session(finished)
    assert session.verdict(folder) == ("SATURATED", "behind") and session.verdict(results) is None
    (told,) = session.runs()
    assert told["advice"] == "slow", "of the rule that is shown"
    assert told["records"] == "run/requests.parquet" and told["metrics"]["ttft_p50"] == 0.1
    assert told["metrics"]["tpot_p50"] is None and told["variant"] == "<b>"
    outside = results.parent / "elsewhere"
    outside.mkdir()
    finished.append((outside, "INVALID"))
    assert [run["run"] for run in session.runs()] == ["elsewhere", "run"]
    assert session.runs()[0]["records"] is None and session.verdict(outside) == ("INVALID", "not judged")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((), "choose one run"),
        (("a", "a"), "choose one run"),
        (("a", "b", "c"), "choose one run"),
        (("../run",), "no such run"),
        (("run", "other"), "no such run"),
        (("run",), "no report was made: "),
    ],
)
def test_a_report_is_made_on_runs_of_the_session_only(
    results: Path, names: tuple[str, ...], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        Session([(results / "run", "VALID")]).report(names)
