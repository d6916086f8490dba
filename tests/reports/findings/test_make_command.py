"""The settings of make that give a run's conditions again."""

from pathlib import Path
from typing import Any

import pytest

from bench.synthetic import Shape, edit_manifest, make_run
from loadgen.workload import scenario
from reports.document.decision import Recommendation
from reports.findings import make_command as module
from reports.findings.make_command import Conditions, settings, under_same_conditions
from reports.runs.manifest import DEFAULTS_BEFORE
from reports.runs.runs import load_run


def settings_of(folder: Path, name: str, scenario: dict[str, Any], **manifest: Any) -> list[str]:
    make_run(folder, Shape(rate=5, duration=5))
    edit_manifest(folder, scenario_name=name, scenario=scenario, **manifest)
    return settings(load_run(folder))


@pytest.mark.parametrize("name", scenario.list_scenarios())
def test_a_scenario_as_it_is_written_needs_no_settings(tmp_path: Path, name: str) -> None:
    found = settings_of(tmp_path, name, scenario.Scenario.load(name).to_dict())
    assert found == ([] if name == module.USUAL_SCENARIO else [f"SCENARIO={name}"])


def test_what_was_set_otherwise_is_named(tmp_path: Path) -> None:
    """Whatever make passes on to the scenario, in the form in which it takes it."""
    asked = scenario.Scenario.load("chat-medium").with_overrides(
        rate=4.6,
        duration=120,
        warmup=0,
        drain=30,
        timeout=90,
        arrivals="gamma",
        prompt_tokens=scenario.Lengths.of_text("550,200,100-16000"),
        output_tokens=scenario.Lengths.of_text("64"),
        slo={"ttft": 0.5, "tpot": 0.02, "share": 0.95},
        request={"temperature": 0.5, "ignore_eos": False, "extra_body": {"min_p": 0.1}},
    )
    found = settings_of(tmp_path, "chat-medium", asked.to_dict(), seed=7)
    assert " ".join(found) == (
        "RPS=4.6 DURATION=120 WARMUP=0 DRAIN=30 TIMEOUT=90 SEED=7 ARRIVALS=gamma "
        "INPUT_TOKENS=550,200,100-16000 OUTPUT_TOKENS=64 "
        "EXTRA_BODY='{\"min_p\": 0.1}' TEMPERATURE=0.5 NO_IGNORE_EOS=1 "
        "SLO_TTFT=500 SLO_TPOT=20 SLO_SHARE=0.95"
    )
    closed = scenario.Scenario.load("closed-loop-chat").with_overrides(concurrency=4).to_dict()
    assert settings_of(tmp_path, "closed-loop-chat", closed) == ["SCENARIO=closed-loop-chat", "CONCURRENCY=4"]


def test_the_users_own_files_are_named_by_a_path(tmp_path: Path) -> None:
    found = settings_of(tmp_path, "mine", {"rate": 3}, target="my-gpu")
    assert found == ["TARGET=path/to/my-gpu.yaml", "SCENARIO=path/to/mine.yaml"]
    assert settings_of(tmp_path, "mine", {}, target=None, scenario_hash=None) == []


def test_what_a_scenario_took_by_itself_is_what_the_manifest_says(tmp_path: Path) -> None:
    defaults = scenario.Scenario.defaults()
    asked = scenario.Scenario.load("closed-loop-chat").to_dict() | {"timeout": 700.0}
    expected = ["SCENARIO=closed-loop-chat"]
    name = "closed-loop-chat"
    later = defaults | {"timeout": 700.0}
    assert settings_of(tmp_path, name, asked, scenario_defaults=later) == expected
    assert settings_of(tmp_path, name, asked) == [*expected, "TIMEOUT=700"], (
        "a manifest of the version before"
    )
    assert set(defaults) == set(DEFAULTS_BEFORE)


def test_make_is_told_a_variant_so_that_it_finds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKENSWARM_RESULTS", str(tmp_path))
    written = tmp_path / "variants" / "seqs-8.yaml"
    written.parent.mkdir()
    written.write_text("changes: a\nexpected: b\n")
    told = {
        "batch-8": "batch-8",
        "batch-8 (20261129T093600Z-batch-8)": "batch-8",
        "seqs-8": str(written),
        "mine": "path/to/mine.yaml",
    }
    assert {name: module.variant(name, launched=True) for name in told} == told
    assert module.variant("mine (20261129T093600Z-mine)", launched=False) == "mine"
    given = {
        'make sweep VARIANTS="batch-8 mine"': 'make sweep VARIANTS="batch-8 path/to/mine.yaml" RPS=5',
        "make capacity VARIANT='batch-8 (20261129T093600Z-batch-8)'": "make capacity VARIANT=batch-8 RPS=5",
        'make sweep VARIANTS="batch-8 batch-8 (20261129T093600Z-batch-8)"': "make run VARIANT=batch-8 RPS=5",
        'make compare VARIANTS="batch-8 batch-8 (20261129T093600Z-batch-8)"': None,
        "make report": "make report RPS=5",
    }
    asked = [Recommendation(text="a", reason="b", command=command) for command in given]
    found = under_same_conditions(asked, Conditions(["RPS=5"], names=told))
    assert [each.command for each in found] == list(given.values())
