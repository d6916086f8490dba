"""A gate that fails and one that passes, its files, and a run against the history of its kind."""

import json
import shutil
from argparse import Namespace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from bench.synthetic import Shape, make_run
from common.usage import UsageError
from reports.document.schema import Comparison
from reports.gate import files
from reports.gate.gate import EXIT_CODE, Case, Gate, of_comparison
from reports.gate.history import JUDGED, Series, gate_of
from reports.gate.options import check
from reports.statistics.change_point import last_change
from tests.generated import GOLDEN, RUNS
from tokenswarm.__main__ import run as main

BEFORE, AFTER = RUNS


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for run in RUNS:
        shutil.copytree(GOLDEN / run, tmp_path / run)
    monkeypatch.setenv("TOKENSWARM_RESULTS", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(("baseline", "code"), [("baseline", 0), ("optimized", EXIT_CODE)])
def test_a_variant_that_is_worse_fails_the_gate_and_one_that_is_not_passes(
    baseline: str, code: int, results: Path
) -> None:
    make_run(results / AFTER, Shape(duration=20, tpot=0.004), variant="optimized")
    make_run(results / BEFORE, Shape(duration=20, tpot=0.01, noise_seed=2))
    junit, text = results / "gate.xml", results / "gate.md"
    words = ["report", *RUNS, "--baseline", baseline, "--fail-on", "worse", "--junit", str(junit)]
    assert main([*words, "--summary", str(text), "--name", "gate"]) == code
    suite = ElementTree.parse(junit).getroot()[0]
    assert (suite.find("./testcase/failure") is not None) == (code != 0)
    assert int(suite.attrib["failures"]) + int(suite.attrib["errors"]) == len(
        suite.findall("./testcase/failure") + suite.findall("./testcase/error")
    )
    lines = text.read_text().splitlines()
    assert lines[0].startswith("**Gate failed: " if code else "**Gate passed: ") and len(lines) <= 10


def stored() -> Comparison:
    return Comparison(**json.loads((GOLDEN / "comparison.json").read_text()), written_at=None)


def test_what_cannot_be_told_or_was_not_served_fails_it() -> None:
    found = stored()
    [decision] = found.decisions
    unknown = decision.model_copy(update={"kind": "cannot tell", "reason": "a lane was lost"})
    gate = of_comparison(found.model_copy(update={"decisions": [unknown]}), ["worse"], "")
    assert [(case.state, case.text) for case in gate.cases] == [("error", "a lane was lost")]
    assert of_comparison(found.model_copy(update={"decisions": []}), ["worse"], "").exit_code == EXIT_CODE


def test_the_slo_is_a_reason_of_its_own() -> None:
    found = stored()
    for meets, state in ((True, "passed"), (False, "failed"), (None, "error")):
        points = [each.model_copy(update={"meets_slo": meets}) for each in found.pareto]
        gate = of_comparison(found.model_copy(update={"pareto": points}), ["slo"], "")
        assert [case.state for case in gate.cases] == [state]


def test_what_a_server_says_stays_text_in_both_files() -> None:
    hostile = "\x1b[31m<script>]]>&\x00"
    gate = Gate(hostile, [Case(hostile, hostile, "failed", hostile)], hostile)
    assert len(ElementTree.fromstring(files.junit(gate))) == 1
    assert "<script>" not in files.summary(gate) and "\x1b" not in files.summary(gate)


def test_a_file_that_cannot_be_written_is_named_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--junit .*: is no file in a folder that is there"):
        check(Namespace(junit=tmp_path / "none" / "gate.xml", summary=None))


# Against the history -------------------------------------------------------------------------------


def history(*figures: float) -> Series:
    """Runs whose every figure is the same, good or bad alike in the direction that is worse when larger."""
    lower = {row.name: [x if row.better == "lower" else 1 / x for x in figures] for row in JUDGED}
    return Series([f"run-{number}" for number in range(len(figures))], lower)


def states(found: Series) -> set[str]:
    return {case.state for case in gate_of(found, "VALID", 0.03, "").cases}


def test_a_change_of_level_is_found_and_named_with_the_run_that_brought_it() -> None:
    noise = 1 + 0.01 * np.random.default_rng(1).standard_normal(20)
    assert states(history(*noise)) == {"passed"}
    assert states(history(*noise, 1.2)) == {"failed"}, "one run far outside of what all others vary"
    assert states(history(*noise, 1.2, 1.0)) == {"passed"}, "one slow run in between is no level"
    assert states(history(*noise, 0.8)) == {"passed"}, "a change for the better"
    worse = gate_of(history(*noise, 1.2, 1.21, 1.2), "VALID", 0.03, "")
    assert {case.state for case in worse.cases} == {"failed"} and "since run-20 (3 runs" in worse.cases[
        0
    ].text
    assert states(history(*noise, *(0.8 * noise), 0.95)) == {"failed"}, (
        "worse than the level that it had by then"
    )
    assert states(history(*(1 + 0.0001 * noise), 1.02)) == {"passed"}, "below the minimum effect"


def test_too_few_runs_pass_and_a_run_that_says_nothing_fails() -> None:
    assert states(history(1, 1, 1, 1, 9)) == {"skipped"}
    assert gate_of(history(*[1.0] * 9), "INVALID", 0.03, "").exit_code == EXIT_CODE


def test_chance_alone_shows_a_change_as_often_as_it_may() -> None:
    drawn = np.random.default_rng(2).standard_normal((600, 12))
    found = np.mean([last_change(row, 0.05) is not None for row in drawn])
    assert 0.03 < found < 0.08


def test_the_verb_finds_the_runs_of_its_kind(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["judge", str(results / BEFORE), "--quiet"])
    assert main(["check", BEFORE, "--against", "history"]) == 0
    assert "there are 0 earlier runs of its kind" in capsys.readouterr().out
