"""What all of a kind have in common; docs/contributing.md names this file for whatever is added."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from common.places import ROOT
from loadgen.api import KINDS
from loadgen.api.kind import EXTENSIONS
from loadgen.user import OpenLoopUser
from loadgen.workload.arrivals import PROCESSES
from loadgen.workload.datasets import FORMATS, read_rows
from loadgen.workload.prompts import PromptMaker
from loadgen.workload.scenario import Scenario
from loadgen.workload.schedule import schedule
from loadgen.workload.vocabulary import estimate_vocabulary
from reports.pages.sections import SECTIONS
from reports.runs.importers import reader
from reports.runs.importers.registry import IMPORTERS, find
from reports.runs.importers.source import Source
from reports.runs.runs import Run, load_run
from reports.verdict.rule import RULES, concerns
from reports.verdict.validity import check
from tests import generated

DATA = ROOT / "tests" / "data"
SAMPLES = {"jsonl": DATA / "prompts.jsonl", "run": generated.GOLDEN / generated.RUNS[0] / "requests.parquet"}
FILES = sorted(path for path in (DATA / "importers").rglob("*") if path.is_file())
MADE = ("Harness", "LocustJson")  # their own tests make their files


@pytest.mark.parametrize("name", PROCESSES)
def test_an_arrival_process_draws_sorted_times_at_its_rate(name: str) -> None:
    """The warm-up's rate is that with which the window begins."""
    try:
        process = PROCESSES[name].model_validate({"process": name})
    except ValidationError:
        pytest.skip("has parameters that a scenario must give")
    try:
        times, again = (process.times(20.0, 500.0, np.random.default_rng(1)) for _ in range(2))
    except NotImplementedError:
        pytest.skip("its times are not drawn")
    assert np.array_equal(times, again) and (np.diff(times) >= 0).all()
    assert times[0] >= 0 and times[-1] < 500 and len(times) == pytest.approx(10_000, rel=0.1)
    warm = process.warm_up(20.0, 100.0, np.random.default_rng(1))
    assert len(warm) == pytest.approx((times < 100).sum(), rel=0.2), "give it a warm_up of its own"


@pytest.mark.parametrize("name", KINDS)
def test_a_kind_of_api_asks_of_its_path_what_json_can_hold(name: str) -> None:
    kind, scenario = KINDS[name](), Scenario.load("chat-low")
    arrival = schedule(scenario, 1).arrivals[0]
    body = kind.body(PromptMaker(estimate_vocabulary(), 1, scenario), arrival, [], scenario)
    whole = kind.frame(EXTENSIONS, "salt") | body
    assert json.loads(json.dumps(whole)) == whole and kind.path.startswith("/")
    assert ("stream" in whole) != kind.reading.whole
    assert kind.length_field is None or whole[kind.length_field] == arrival.output_tokens


@pytest.mark.parametrize("name", FORMATS)
def test_a_dataset_format_reads_the_sample_of_its_name(name: str) -> None:
    sample = SAMPLES.get(name) or next(DATA.glob(f"{name}.*"), None)
    assert sample, f"no tests/data/{name}.…"
    rows = list(read_rows(name, sample))
    assert rows and all(row.dialogue or row.prompt_tokens for row in rows)


@pytest.mark.parametrize("importer", IMPORTERS, ids=lambda each: type(each).__name__)
def test_an_audited_format_has_a_sample_that_it_alone_knows(importer: object) -> None:
    known = [path for path in FILES if find(Source(path)) is importer]
    assert known or type(importer).__name__ in MADE, "no such file in tests/data/importers"
    for path in known:
        assert [each for each in IMPORTERS if each.knows(Source(path))] == [importer], path
        assert reader.read(path)


@pytest.fixture(scope="module")
def golden() -> Run:
    return load_run(generated.GOLDEN / generated.RUNS[0])


@pytest.fixture(scope="module")
def judged(golden: Run) -> list[str]:
    return [each.rule for each in check(golden)]


@pytest.mark.parametrize("name", RULES)
def test_a_rule_is_judged_by_its_name_and_in_the_docs(name: str, golden: Run, judged: list[str]) -> None:
    assert RULES[name](golden).rule == name, "the outcome's name is the function's"
    assert judged.count(name) == concerns(name, golden)
    assert f"\n| `{name}` | " in (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8"), generated.__doc__


@pytest.mark.parametrize("title", SECTIONS)
def test_a_section_stands_in_the_report(title: str) -> None:
    """Of two runs: the audit is of other tools' files."""
    report = (generated.GOLDEN / "README.md").read_text(encoding="utf-8")
    assert (f"\n## {title}\n" in report) == (title != "Audit"), generated.__doc__


@pytest.mark.parametrize("path", sorted((ROOT / "scenarios").glob("*.yaml")), ids=lambda path: path.stem)
def test_a_scenario_gives_a_schedule(path: Path) -> None:
    assert schedule(Scenario.load(path.stem), 1).arrivals


@pytest.mark.parametrize("path", sorted((ROOT / "locustfiles").glob("*.py")), ids=lambda path: path.stem)
def test_a_locustfile_has_a_user_that_asks_something(path: Path) -> None:
    spec = importlib.util.spec_from_file_location(f"seen_{path.stem}", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    users = [
        each for each in vars(module).values() if isinstance(each, type) and issubclass(each, OpenLoopUser)
    ]
    assert any(user is not OpenLoopUser and not user.abstract for user in users)
