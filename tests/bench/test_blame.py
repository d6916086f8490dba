"""When a run beside a planted cause is right; and that the causes are such as can be said."""

from dataclasses import replace
from pathlib import Path

import pytest

from bench.blame import BLAMING, Outcome, must, wrong
from bench.causes import ANY, CAUSES, Cause
from bench.stands import alone
from bench.synthetic import make_run
from reports.runs.runs import load_run
from reports.verdict.rule import Verdict
from reports.verdict.validity import check

CAUSE = Cause("told", "gateway", alone(), ["VALID"], ["stream_lumps"], says="cure")


@pytest.fixture(scope="module")
def right(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    folder = tmp_path_factory.mktemp("run")
    make_run(folder, duration=5)
    return Outcome(load_run(folder), "VALID", {"stream_lumps": "lumps"}, "the Cure is such", stalled=False)


@pytest.mark.parametrize(
    ("changed", "amiss"),
    [
        ({}, ""),
        ({"verdict": "SATURATED"}, "SATURATED"),
        ({"failed": {}}, "not said: stream_lumps"),
        ({"failed": {"stream_lumps": "", "network_loss": ""}}, "blamed: network_loss"),
        ({"said": "nothing"}, "lacks 'cure'"),
        ({"stalled": True}, "a stall"),
    ],
)
def test_a_run_is_right_that_says_just_what_it_must(
    right: Outcome, changed: dict[str, object], amiss: str
) -> None:
    assert wrong(CAUSE, replace(right, **changed)) == amiss  # type: ignore[arg-type]


def test_beside_others_whatever_else_fails_is_theirs(right: Outcome) -> None:
    cause = replace(CAUSE, verdicts=["DISTURBED"], may=ANY)
    failed = {"stream_lumps": "", "network_loss": "", "failed_share": ""}
    assert not wrong(cause, replace(right, verdict="DISTURBED", failed=failed, stalled=True))


def test_the_causes_name_rules_and_verdicts_that_there_are(tmp_path: Path) -> None:
    make_run(tmp_path, duration=5)
    rules = {each.rule for each in check(load_run(tmp_path))}
    verdicts = {each.label for each in Verdict}
    assert set(BLAMING) <= rules
    for cause in CAUSES.values():
        assert {*cause.fails, *cause.may} <= {*rules, *ANY} and set(cause.verdicts) <= verdicts, cause.told
    assert len({cause.told for cause in CAUSES.values()}) == len(CAUSES)
    assert must(CAUSE) == "VALID + `stream_lumps`, “cure”"
