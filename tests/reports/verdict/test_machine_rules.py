"""Who took the cores: when a run is DISTURBED, and what no longer is said of it then."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from bench.synthetic import edit_manifest, make_run
from reports.metrics import machine
from reports.runs.runs import load_run
from reports.verdict.rule import Rule, Verdict
from reports.verdict.slo import standing, state_of
from reports.verdict.validity import check, verdict


def rules(folder: Path) -> dict[str, Rule]:
    return {rule.rule: rule for rule in check(load_run(folder))}


@pytest.mark.parametrize(
    ("others", "disturbed"),
    [
        ((), False),
        (((20.0, 30.0, 0.3),), True),
        (((0.0, 100.0, 0.12),), True),
        (((20.0, 60.0, 0.08),), False),  # no tenth of the cores
        (((20.0, 21.0, 0.25),), False),  # a lone second
        (((20.0, 21.0, 0.45),), True),
        (((0.0, 4.0, 0.6),), False),  # in the warm-up
    ],
)
def test_others_that_take_cores_disturb_a_run(
    others: tuple[tuple[float, float, float], ...], disturbed: bool, tmp_path: Path
) -> None:
    make_run(tmp_path, rate=8, others=others)
    found = rules(tmp_path)
    assert found["others_on_machine"].checked and found["others_on_machine"].passed is not disturbed
    assert (verdict(list(found.values())) is Verdict.DISTURBED) is disturbed


def test_what_it_says(tmp_path: Path) -> None:
    make_run(tmp_path, others=((20.0, 30.0, 0.3),))
    rule = rules(tmp_path)["others_on_machine"]
    assert rule.text == "others took 30 % of the cores from 20 to 30 s, burner 30 %"
    assert rule.figure == pytest.approx(10 / 60)
    [found] = machine.disturbances(load_run(tmp_path))
    assert (found.start, found.end, found.culprit) == (20.0, 30.0, "burner")


def test_who_fell_behind_is_not_said_of_a_disturbed_run(tmp_path: Path) -> None:
    make_run(tmp_path, slots=6, dispatch_delay=0.02)
    alone = rules(tmp_path)
    assert alone["backlog"].verdict is Verdict.SATURATED and not alone["backlog"].passed
    assert alone["dispatch_delay_p99"].verdict is Verdict.CLIENT_LIMITED
    assert state_of(standing(load_run(tmp_path), list(alone.values())), 0.99)[0] == "missed"
    make_run(tmp_path, slots=6, dispatch_delay=0.02, others=((10.0, 60.0, 0.3),))
    found = rules(tmp_path)
    assert verdict(list(found.values())) is Verdict.DISTURBED and Verdict.DISTURBED.exit_code == 8
    failed = [rule for rule in found.values() if not rule.passed and rule.verdict]
    assert {rule.verdict for rule in failed} == {Verdict.DISTURBED} and len(failed) > 2
    state, why = state_of(standing(load_run(tmp_path), list(found.values())), 0.99)
    assert state == "missed" and "; meanwhile others took 30 % of the cores from 10 to 60 s" in why


def test_our_own_faults_stay_invalid(tmp_path: Path) -> None:
    make_run(tmp_path, lanes=2, lost_lane=1, others=((10.0, 60.0, 0.3),))
    assert verdict(list(rules(tmp_path).values())) is Verdict.INVALID


def test_without_samples_nothing_is_said(tmp_path: Path) -> None:
    make_run(tmp_path)
    (tmp_path / "machine.parquet").unlink()
    edit_manifest(tmp_path)
    found = rules(tmp_path)
    assert not found["others_on_machine"].checked and not found["server_process_full"].checked


@pytest.mark.parametrize(
    ("process", "accelerated", "behind", "named"),
    [
        ("EngineCore", 1.0, False, True),
        ("EngineCore", 0.0, False, False),  # it is what computes
        ("EngineCore", 0.0, True, True),
        ("API server", 0.0, False, True),
    ],
)
def test_a_core_that_computes_the_model_bounds_nothing(
    process: str,
    accelerated: float,
    behind: bool,
    named: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_run(tmp_path, slots=6 if behind else None)
    table = pq.read_table(tmp_path / "machine.parquet")
    rows = [row | {"labels": row["labels"].replace("EngineCore", process)} for row in table.to_pylist()]
    known = [row for row in rows if row["name"] == "host:server_known"]
    rows += [row | {"name": "host:server_accelerated", "value": accelerated} for row in known]
    pq.write_table(table.from_pylist(rows, table.schema), tmp_path / "machine.parquet")
    monkeypatch.setattr(machine, "FULL", 0.4)
    assert rules(tmp_path)["server_process_full"].passed is not named


def test_a_full_thread_of_the_server_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_run(tmp_path)
    assert rules(tmp_path)["server_process_full"].passed
    run = load_run(tmp_path)
    monkeypatch.setattr(machine, "FULL", 0.4)
    rule = next(rule for rule in check(run) if rule.rule == "server_process_full")
    assert not rule.passed and rule.verdict is Verdict.VALID
    assert (
        rule.text.startswith("EngineCore used 0.50 cores, its busiest thread 0.45")
        and "CUDA graphs" in rule.advice
    )
