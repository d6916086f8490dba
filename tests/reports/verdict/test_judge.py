"""The command as a person and a Makefile meet it: files, text, exit codes."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.synthetic import edit_manifest, make_run
from common.places import ROOT
from reports.metrics.instrument import client_error
from reports.verdict.judge import reconciliation
from tests.support.waiting import PATIENCE


def judge(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tokenswarm", "judge", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE)


CASES: dict[str, tuple[dict[str, Any], dict[str, Any], int]] = {
    "VALID": ({}, {}, 0),
    "SATURATED": ({"slots": 7}, {}, 3),
    "CLIENT-LIMITED": ({"slots": 7, "dispatch_delay": 0.01}, {}, 4),
    "INVALID": ({"slots": 7, "dispatch_delay": 0.01}, {"due": 3}, 5),
}


@pytest.mark.parametrize("word", CASES)
def test_verdict_file_text_and_exit_code(tmp_path: Path, word: str) -> None:
    shape, manifest, code = CASES[word]
    truth = make_run(tmp_path, **shape)
    edit_manifest(tmp_path, **manifest)
    done = judge(tmp_path)
    assert done.returncode == code and done.stderr == ""
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["verdict"] == word and summary["run"] == tmp_path.name
    counts = truth.counts()
    assert summary["accounting"] == {"due": int(truth.judged.sum()), "empty": 0, **counts}
    assert reconciliation(summary["accounting"]) in done.stdout
    assert done.stdout.split()[0] == word and "\x1b" not in done.stdout
    for rule in summary["rules"]:
        assert set(rule) >= {"rule", "verdict", "passed", "figure", "bound", "unit", "text", "advice"}
        assert (rule["rule"] + ": " in done.stdout) == (not rule["passed"])
    assert not list(tmp_path.glob(".summary*"))


def test_a_long_path_stays_whole_in_a_pipe(tmp_path: Path) -> None:
    folder = tmp_path / ("results-" * 12) / "20260101T000000Z-baseline"
    make_run(folder, duration=5.0)
    assert f"{folder}/summary.json" in judge(folder).stdout.splitlines()


def test_the_summary_has_every_metric_of_the_design(tmp_path: Path) -> None:
    make_run(tmp_path, rate=40.0, slots=12, drain=0.0)
    judge(tmp_path, "--quiet")
    found = json.loads((tmp_path / "summary.json").read_text())["metrics"]
    design = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    listed = re.findall(
        r"`(\w+_[\w|*]+|\w+)`", design[design.index("Metric names:") :].partition(" Times")[0]
    )
    stems = {name.split("_p50")[0].removesuffix("_*") for name in listed if name.endswith(("p99", "*"))}
    names = {
        f"{stem}_{share}" for stem in stems - {"dispatch_delay_p99"} for share in ("p50", "p90", "p95", "p99")
    }
    assert {"ttft_p50", "itl_p99", "scheduled_latency_p95"} <= names
    assert names | {"offered_rate", "completed_rate", "slo_attainment", "dispatch_delay_p99"} <= set(found)
    tail = found["latency_p99"]
    assert tail["value"] is None and tail["censored"] and tail["lower_bound"] > 0 and tail["count"] > 1000


@pytest.mark.parametrize(
    ("allow", "codes"),
    [("saturated", (0, 4)), ("client-limited", (3, 0)), ("Saturated, client-limited", (0, 0))],
)
def test_allow(tmp_path: Path, allow: str, codes: tuple[int, int]) -> None:
    make_run(tmp_path / "s", slots=7)
    make_run(tmp_path / "c", dispatch_delay=0.01)
    assert (
        judge(tmp_path / "s", "--allow", allow).returncode,
        judge(tmp_path / "c", "--allow", allow).returncode,
    ) == codes


def test_users_mistakes_get_one_line(tmp_path: Path) -> None:
    make_run(tmp_path / "r", duration=2)
    for arguments, words in [
        ((tmp_path / "none",), "no such run folder"),
        ((tmp_path / "r", "--allow", "invalid"), "--allow invalid: unknown"),
    ]:
        done = judge(*arguments)
        assert done.returncode == 2 and words in done.stderr
        assert done.stderr.count("\n") == 1 and "Traceback" not in done.stderr


def test_judging_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    make_run(tmp_path, failed_share=0.02, hung_share=0.02)
    judge(tmp_path)
    first = (tmp_path / "summary.json").read_bytes()
    judge(tmp_path)
    assert (tmp_path / "summary.json").read_bytes() == first


def test_a_small_run_needs_no_slow_imports(tmp_path: Path) -> None:
    make_run(tmp_path, duration=5)
    code = (
        "import sys, tokenswarm.__main__ as m; m.run(['judge', sys.argv[1], '--quiet']); "
        "heavy = ('scipy.stats', 'locust', 'gevent'); "
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.strip() == "[]", done.stderr


def test_the_clients_own_error_is_said_or_that_it_is_not_known() -> None:
    measured = {
        "ttft_error_p50": 0.00012,
        "ttft_error_p99": 0.00037,
        "tpot_error_p99": 0.0000013,
        "dispatch_delay_p99": 0.00105,
        "measured_at": "2026-11-24T21:45:00Z",
        "rate": 20.0,
        "chunks_per_s": 3000.4,
    }
    assert client_error(measured) == (
        "TTFT +0.12 ms (p50) and 0.37 ms (p99), TPOT 0.0013 ms (p99), dispatch delay 1.05 ms (p99); "
        "measured 2026-11-24T21:45:00Z at 20 requests/s, 3,000 chunks/s"
    )
    assert "make calibrate" in client_error(None)
