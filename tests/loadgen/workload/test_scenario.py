"""Scenario files: what is checked, how a mistake is named, what is changed from outside, the hash."""

import math
import re
from pathlib import Path
from typing import Any

import pytest

from common.usage import UsageError
from loadgen.workload.arrivals import PROCESSES
from loadgen.workload.scenario import FOLDER, Scenario, list_scenarios

NAMES = sorted(path.stem for path in FOLDER.glob("*.yaml"))
CHAT = "prompt_tokens: {distribution: lognormal, mean: 50, sd: 30, min: 10, max: 300}\noutput_tokens: 9\n"
PLAIN = f"rate: 2\nduration: 10\n{CHAT}"
RAG = {
    "rag-small": (550, 200),
    "rag-medium": (2050, 800),
    "rag-large": (6050, 2000),
    "rag-xlarge": (12050, 3000),
}


def write(folder: Path, text: str, name: str = "mine.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def lengths(value: Any) -> tuple[float | None, ...]:
    return value.mean, value.sd, value.min, value.max


@pytest.mark.parametrize("name", NAMES)
def test_every_scenario_is_read_commented_and_survives_json(name: str) -> None:
    scenario = Scenario.load(name)
    assert scenario.name == name
    assert len(list_scenarios()[name]) > 20
    comments = re.findall(r"^# ?(.*)", (FOLDER / f"{name}.yaml").read_text(), re.MULTILINE)
    assert any("Lengths:" in line for line in comments)
    again = Scenario.from_dict(scenario.to_dict())
    assert again == scenario
    assert again.hash() == scenario.hash()
    assert re.fullmatch("[0-9a-f]{12}", scenario.hash())


@pytest.mark.parametrize(("name", "rate"), [("chat-low", 5), ("chat-medium", 20), ("chat-high", 50)])
def test_chat_scenarios_are_as_stated(name: str, rate: float) -> None:
    scenario = Scenario.load(name)
    assert (scenario.rate, scenario.duration, scenario.arrivals.process) == (rate, 60, "poisson")
    assert lengths(scenario.prompt_tokens) == (50, 30, 10, 300)
    assert lengths(scenario.output_tokens) == (150, 80, 20, 800)
    assert scenario.slo is not None
    assert (scenario.slo.ttft, scenario.slo.tpot, scenario.slo.share) == (1.0, 0.05, 0.99)


@pytest.mark.parametrize("name", RAG)
def test_rag_scenarios_are_as_stated(name: str) -> None:
    scenario = Scenario.load(name)
    assert (scenario.rate, scenario.duration) == (10, 120)
    assert lengths(scenario.prompt_tokens) == (*RAG[name], 100, 16000)
    assert lengths(scenario.output_tokens) == (200, 100, 50, 1000)


def test_the_others_are_as_stated() -> None:
    for name, rate in (("code-low", 3), ("code-medium", 15), ("code-high", 40)):
        code = Scenario.load(name)
        assert (code.rate, code.duration, code.arrivals.process) == (rate, 90, "hawkes")
        assert lengths(code.prompt_tokens) == (1500, 800, 200, 8000)
    mix = Scenario.load("mixed").mix
    assert {name: part.share for name, part in mix.items()} == {"chat": 0.6, "rag": 0.3, "code": 0.1}
    burst = Scenario.load("burst")
    assert burst.rate is not None
    assert burst.rate * (1 - burst.arrivals.branching) == pytest.approx(5)  # type: ignore[attr-defined]
    assert Scenario.load("steps").mean_rate == pytest.approx((5 + 10 + 20 + 40) / 4)
    assert Scenario.load("shared-prefix").shared_prefix.tokens == 1024  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (PLAIN + "drian: 3\n", "mine.yaml:5: unknown key 'drian'; did you mean 'drain'?"),
        (PLAIN.replace("rate: 2", "rate: -2"), "mine.yaml:1: rate: .*greater than 0"),
        (PLAIN.replace("rate: 2", "rate: fast"), "mine.yaml:1: rate: .*number.*'fast'"),
        (PLAIN.replace("sd: 30", "sdev: 30"), r"mine.yaml:3: unknown key 'prompt_tokens.*sdev'"),
        (PLAIN.replace("rate: 2\n", ""), "poisson arrivals need a rate"),
        (
            PLAIN + "arrivals: {process: posson}\n",
            "mine.yaml:5: arrivals.process: unknown 'posson'; there are: ",
        ),
        (
            PLAIN + "arrivals: {proces: poisson}\n",
            "mine.yaml:5: arrivals: needs the key 'process'; it has proces",
        ),
        (PLAIN + "arrivals: {process: hawkes, branching: 1.2}\n", "mine.yaml:5: arrivals.hawkes.branching: "),
        (PLAIN + "arrivals: {process: closed-loop}\n", "a closed loop has no rate"),
        (PLAIN + "arrivals: {process: trace}\n", "need a dataset"),
        (PLAIN + "arrivals: {process: stages, stages: []}\n", "mine.yaml:5: arrivals.stages.stages: "),
        ("rate: 2\nduration: 10\n", "needs prompt_tokens and output_tokens"),
        (PLAIN + "dataset: {format: sharegpt, path: x.json}\n", "brings its own prompts"),
        (
            "rate: 2\nduration: 10\ndataset: {format: csv, path: x}\n",
            "mine.yaml:3: dataset.format: unknown format",
        ),
        (
            "rate: 2\nduration: 10\ndataset: {format: azure, path: none.csv}\n",
            "none.csv: cannot be read: No such",
        ),
        (
            "rate: 2\nduration: 10\nworkloads:\n  a: {share: 0.5, prompt_tokens: 5, output_tokens: 5}\n",
            "mine.yaml: .*shares add up to 0.5",
        ),
        (
            PLAIN + "conversation: {turns: 3, think: 1, system_tokens: 64}\nshared_prefix: {tokens: 1024}\n",
            "mine.yaml: .*: shared_prefix and conversation.system_tokens do not go together",
        ),
        (
            "rate: 2\nduration: 10\nconversation: {turns: 3, think: 1, system_tokens: 64}\nworkloads:\n"
            "  a: {prompt_tokens: 5, output_tokens: 5, shared_prefix: {tokens: 9}}\n",
            "mine.yaml: .*: workloads.a.shared_prefix and conversation.system_tokens do not go together",
        ),
        ("- 1\n", "must hold keys and values"),
        ("rate: [\n", "not valid YAML"),
    ],
)
def test_a_mistake_is_named_with_file_and_key(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(UsageError, match=message) as caught:
        Scenario.load(path)
    assert str(path.parent) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_name_brings_the_names_there_are() -> None:
    with pytest.raises(UsageError, match="did you mean 'chat-medium'.*chat-low.*steps"):
        Scenario.load("chat-medum")
    with pytest.raises(UsageError, match="nowhere.yaml: cannot be read"):
        Scenario.load("nowhere.yaml")


def test_overrides_change_what_they_name_and_nothing_else() -> None:
    chat = Scenario.load("chat-medium")
    assert chat.with_overrides() == chat
    changed = chat.with_overrides(rate=3, duration=7, drain=0, warmup=0, timeout=9, arrivals="constant")
    expected = {
        "rate": 3,
        "duration": 7,
        "drain": 0,
        "warmup": 0,
        "timeout": 9,
        "arrivals": {"process": "constant"},
    }
    assert changed.to_dict() == chat.to_dict() | expected
    assert changed.hash() != chat.hash()
    code = Scenario.load("code-low")
    assert code.with_overrides(arrivals="hawkes").arrivals == code.arrivals


def test_to_and_from_a_closed_loop() -> None:
    closed = Scenario.load("chat-medium").with_overrides(arrivals="closed-loop", concurrency=3)
    assert closed.rate is None
    assert closed.arrivals.concurrency == 3  # type: ignore[attr-defined]
    assert closed.with_overrides(arrivals="poisson", rate=4).rate == 4
    with pytest.raises(UsageError, match="need a rate"):
        closed.with_overrides(arrivals="poisson")
    with pytest.raises(UsageError, match="no rate"):
        closed.with_overrides(rate=4)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"rate": -1}, "rate: .*greater than 0 .given -1"),
        ({"rate": math.nan}, "rate: "),
        ({"rate": math.inf}, "rate: .*finite"),
        ({"duration": 0}, "duration: "),
        ({"drain": -5}, "drain: "),
        ({"warmup": -1}, "warmup: "),
        ({"timeout": 0}, "timeout: "),
        ({"arrivals": "lumpy"}, f"unknown arrival process 'lumpy'; there are: {', '.join(PROCESSES)}"),
        ({"arrivals": "trace"}, "need a dataset"),
        ({"arrivals": "stages"}, "stages"),
        ({"concurrency": 4}, "no concurrency"),
    ],
)
def test_an_override_that_cannot_be_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Scenario.load("chat-medium").with_overrides(**given)


def test_the_hash_follows_the_dataset_and_not_its_folder(tmp_path: Path) -> None:
    text = "rate: 2\nduration: 10\noutput_tokens: 5\ndataset: {format: jsonl, path: data.jsonl}\n"
    hashes = []
    for folder, prompt in (("a", "one"), ("b", "one"), ("c", "two")):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder, f'"{prompt}"\n', "data.jsonl")
        hashes.append(Scenario.load(write(tmp_path / folder, text)).hash())
    assert hashes[0] == hashes[1] != hashes[2]
