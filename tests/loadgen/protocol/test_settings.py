"""A run as it was asked for: each option is checked and a wrong one is named."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import certifi
import pytest

from campaign.load import load_of
from common.redact import HEADERS_VARIABLE, redact
from common.usage import UsageError
from loadgen.protocol.load_options import LOAD_OPTIONS
from loadgen.protocol.settings import keep_headers, request_headers, scenario_of, settings_of
from loadgen.workload.scenario import Scenario
from tokenswarm.__main__ import parse

EMPTY = {"scenario": None, "allow": ""} | {each.name: None if each.takes else False for each in LOAD_OPTIONS}


def test_empty_options_are_the_scenarios_own() -> None:
    found = settings_of(EMPTY | {"rps": " "}, "http://127.0.0.1:1")
    assert found.scenario == Scenario.load("chat-medium") and found.seed == 1 and found.model is None


def test_a_run_has_a_name_labels_and_a_note() -> None:
    found = settings_of(
        EMPTY | {"label": "night run, rack=3,", "note": " the new\ndriver "}, "http://127.0.0.1:1"
    )
    assert found.labels == {"name": "night run", "rack": "3"} and found.note == "the new driver"
    none = settings_of(EMPTY, "http://127.0.0.1:1")
    assert none.labels == {} and none.note is None
    for wrong in ("=3", "rack=", "x" * 300, f"{'k' * 61}=1"):
        with pytest.raises(UsageError, match="--label .*must be KEY=VALUE or a name"):
            settings_of(EMPTY | {"label": wrong}, "http://127.0.0.1:1")
    with pytest.raises(UsageError, match="--note: has 1001 characters"):
        settings_of(EMPTY | {"note": "n" * 1001}, "http://127.0.0.1:1")


def test_a_run_is_stopped_early_only_where_that_is_asked_for() -> None:
    asked = {word: EMPTY | {"stop_when_saturated": word} for word in ("", "no", "yes", "perhaps")}
    found = [settings_of(asked[w], "http://127.0.0.1:1").stop_when_saturated for w in ("", "no", "yes")]
    assert found == [False, False, True]
    with pytest.raises(UsageError, match="--stop-when-saturated: must be yes or no, is 'perhaps'"):
        scenario_of(asked["perhaps"])


def test_labels_given_one_by_one_are_kept_together() -> None:
    given = parse(["run", "baseline", "--label", "rack=3", "--label", "night run"])
    assert load_of(given).options["label"] == "rack=3, night run"


def test_options_change_the_scenario() -> None:
    found = scenario_of({"scenario": "chat-low", "rps": "7.5", "duration": "9", "arrivals": "constant"})
    assert (found.rate, found.duration, found.arrivals.process) == (7.5, 9.0, "constant")


def test_lengths_and_slo_change_the_scenario_and_its_hash() -> None:
    own = Scenario.load("chat-low")
    given = {
        "input_tokens": "550, 200, 100-16000",
        "output_tokens": "64",
        "slo_ttft": "500",
        "slo_share": "0.9",
    }
    found = scenario_of({"scenario": "chat-low", **given})
    assert found.prompt_tokens == Scenario.load("rag-small").prompt_tokens
    assert found.to_dict()["output_tokens"] == {"distribution": "constant", "mean": 64.0}
    assert found.to_dict()["slo"] == {"ttft": 0.5, "tpot": 0.05, "share": 0.9}
    assert found.hash() != own.hash()


def test_lengths_and_slo_that_are_the_scenarios_own_change_nothing() -> None:
    own = Scenario.load("chat-low")
    assert own.prompt_tokens is not None and own.prompt_tokens.text == "50,30,10-300"
    given = {
        "input_tokens": own.prompt_tokens.text,
        "slo_ttft": "1000",
        "slo_tpot": "50",
        "slo_share": "0.99",
    }
    assert scenario_of({"scenario": "chat-low", **given}).hash() == own.hash()


def test_a_scenario_without_an_slo_gets_the_bounds_that_are_given_alone(tmp_path: Path) -> None:
    path = tmp_path / "free.yaml"
    path.write_text("rate: 1\nduration: 5\nprompt_tokens: 9\noutput_tokens: 9\nslo: null\n")
    found = scenario_of({"scenario": str(path), "slo_tpot": "20"}).slo
    assert found is not None and (found.ttft, found.tpot, found.share) == (None, 0.02, 0.99)
    with pytest.raises(UsageError, match="free has no SLO to share: give --slo-ttft or --slo-tpot"):
        scenario_of({"scenario": str(path), "slo_share": "0.9"})


def test_a_dataset_takes_output_lengths_alone(tmp_path: Path) -> None:
    (tmp_path / "one.jsonl").write_text('"hello"\n')
    path = tmp_path / "own.yaml"
    path.write_text("rate: 1\nduration: 5\ndataset: {format: jsonl, path: one.jsonl}\n")
    found = scenario_of({"scenario": str(path), "output_tokens": "20"})
    assert found.output_tokens is not None and found.output_tokens.text == "20"
    with pytest.raises(UsageError, match="own takes its prompts from a dataset: no --input-tokens"):
        scenario_of({"scenario": str(path), "input_tokens": "20"})


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"scenario": "chat-medum"}, "did you mean 'chat-medium'"),
        ({"rps": "-3"}, "--rps: must be more than 0, is -3"),
        ({"rps": "fast"}, "--rps: must be a number, is 'fast'"),
        ({"rps": "1e9"}, "scenario chat-medium comes to 65,000,000,000 requests, and 5,000,000 are the most"),
        ({"duration": "9e6"}, "comes to 180,000,100 requests"),
        ({"scenario": "closed-loop-chat", "concurrency": "9000000"}, "comes to 9,000,000 requests"),
        ({"duration": "inf"}, "--duration: must be a finite number"),
        ({"drain": "-1"}, "--drain: must be 0 or more"),
        ({"seed": "1.5"}, "--seed: must be a whole number"),
        ({"arrivals": "poison"}, "unknown arrival process 'poison'"),
        ({"concurrency": "4"}, "has no concurrency"),
        ({"slo_ttft": "0.8"}, "--slo-ttft: is in ms, must be 1 or more, is 0.8"),
        ({"slo_tpot": "fast"}, "--slo-tpot: must be a number, is 'fast'"),
        ({"slo_share": "99"}, r"--slo-share: must be more than 0 and at most 1 \(0.99 is 99 %\), is 99"),
        ({"input_tokens": "many"}, "--input-tokens 'many': must be MEAN, or MEAN,SD, or MEAN,SD,MIN-MAX"),
        ({"input_tokens": "0"}, "--input-tokens '0': the mean must be 1 token or more"),
        ({"output_tokens": "50,30,60-80"}, "--output-tokens '50,30,60-80': the mean 50 is not between 60"),
        (
            {"output_tokens": "50,300,40-60"},
            "--output-tokens '50,300,40-60': no lognormal distribution between",
        ),
        (
            {"scenario": "mixed", "input_tokens": "9"},
            r"mixed has workloads \(chat, rag, code\), each with lengths",
        ),
    ],
)
def test_a_wrong_option_is_named(given: dict[str, str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        settings_of(EMPTY | given, "http://127.0.0.1:1")


def test_a_wrong_seed_is_named_before_a_server_is_started() -> None:
    with pytest.raises(UsageError, match="--seed: must be a whole number, is 'abc'"):
        scenario_of({"scenario": "chat-low", "seed": "abc"})


def test_the_request_is_told_by_options() -> None:
    given = {"endpoint": "/v1/x", "extra_body": '{"min_p": 0.1}', "top_p": "0.9", "no_ignore_eos": "yes"}
    request = scenario_of({"scenario": "chat-low", **given}).request
    assert request is not None and request.extra_body == {"min_p": 0.1} and not request.ignore_eos
    assert (request.endpoint, request.top_p, request.temperature) == ("/v1/x", 0.9, None)
    assert scenario_of({"scenario": "chat-low", "no_ignore_eos": False}).request is None


@pytest.mark.parametrize("text", ["{", "[1]", '{"a": NaN}', "[" * 100_000])
def test_an_extra_body_that_is_no_object_is_named(text: str) -> None:
    with pytest.raises(UsageError, match="--extra-body: must be a JSON object"):
        scenario_of({"scenario": "chat-low", "extra_body": text})


def test_headers_go_with_the_key_and_their_values_are_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-the-key")
    monkeypatch.setenv(HEADERS_VARIABLE, "")
    keep_headers(["api-key: the-other-key", "X-Team: blue"])
    assert request_headers() == {
        "Authorization": "Bearer sk-the-key",
        "api-key": "the-other-key",
        "X-Team": "blue",
    }
    assert request_headers(with_key=False) == {}
    assert "the-other-key" not in redact("refused: the-other-key")
    keep_headers(["authorization: Basic abc"])
    assert request_headers() == {"authorization": "Basic abc"}, "the key gives way"


@pytest.mark.parametrize(
    "line", ["X-Team", ": v", "a b: v", "Host: other", "X-Team:", "X: \u2014", "X: a\rY: b"]
)
def test_a_header_that_cannot_be_sent_is_named(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HEADERS_VARIABLE, "")
    with pytest.raises(UsageError, match="--header"):
        keep_headers([line])


@pytest.mark.parametrize(
    "host", ["http://h:1/v1/", "http://h:1/v1?api-version=3", "http://h:1?api-version=3"]
)
def test_a_hosts_path_and_query_are_kept(host: str) -> None:
    found = settings_of(EMPTY, host).host
    assert found == host.replace("/v1", "").rstrip("/")


@pytest.mark.parametrize(
    ("name", "why"), [("none.pem", "No such file"), ("README.md", "holds no certificate")]
)
def test_a_file_that_vouches_for_nobody_is_named(name: str, why: str) -> None:
    with pytest.raises(UsageError, match=f"--ca-file {name}: {why}"):
        settings_of(EMPTY | {"ca_file": name}, "https://127.0.0.1:1")


CHANGES: dict[str, tuple[Any, str]] = {  # option: a value, and what of the run it changes
    "label": ("rack=3", "labels"),
    "note": ("a note", "note"),
    **dict.fromkeys(("rps", "duration", "warmup", "drain", "timeout", "max_concurrency"), ("7", "scenario")),
    **dict.fromkeys(("input_tokens", "output_tokens", "slo_ttft", "slo_tpot"), ("70", "scenario")),
    "slo_share": ("0.5", "scenario"),
    "arrivals": ("constant", "scenario"),
    "concurrency": ("7", "scenario"),
    "seed": ("7", "seed"),
    "api": ("completions", "scenario"),
    "endpoint": ("/v1/x", "scenario"),
    "extra_body": ('{"min_p": 0.1}', "scenario"),
    "temperature": ("0.5", "scenario"),
    "top_p": ("0.5", "scenario"),
    "max_tokens_field": ("n", "scenario"),
    "no_ignore_eos": (True, "scenario"),
    "metrics_host": ("https://h:1", "metrics_hosts"),
    "direct": ("https://h:1", "direct"),
    "model": ("m", "model"),
    "tokenizer": ("folder", "tokenizer"),
    "ca_file": (certifi.where(), "verify"),
    "insecure": (True, "verify"),
    "keep_going": (True, "keep_going"),
    "stop_when_saturated": ("yes", "stop_when_saturated"),
    "keep_text": (True, "keep_text"),
}
NOT_OF_THE_RUN = {"metrics_port", "polite", "dry_run"}  # of the process that makes it


def test_each_option_changes_one_thing_of_the_run() -> None:
    """tests/loadgen/test_effects.py has what a scenario's keys change."""
    assert CHANGES.keys() | NOT_OF_THE_RUN == {each.name for each in LOAD_OPTIONS}
    for name, (value, what) in CHANGES.items():
        usual = EMPTY | {"scenario": "closed-loop-chat" if name == "concurrency" else "chat-medium"}
        before = settings_of(usual, "https://127.0.0.1:1")
        found = settings_of(usual | {name: value}, "https://127.0.0.1:1")
        differing = {
            each.name for each in fields(found) if getattr(found, each.name) != getattr(before, each.name)
        }
        assert differing == {what}, name


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"insecure": True}, "--insecure: is for https:// hosts, and there is none"),
        ({"ca_file": "a.pem"}, "--ca-file: is for https:// hosts"),
        ({"ca_file": "a.pem", "insecure": True}, "--ca-file and --insecure do not go together"),
    ],
)
def test_what_would_check_no_certificate_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        settings_of(EMPTY | given, "http://127.0.0.1:1")


def test_https_of_an_engines_own_host_counts_too() -> None:
    given = {"insecure": True, "metrics_host": "https://127.0.0.1:2"}
    assert settings_of(EMPTY | given, "http://127.0.0.1:1").verify is False


def test_without_a_host_nothing_is_loaded() -> None:
    with pytest.raises(UsageError, match="give --host"):
        settings_of(EMPTY, None)


@pytest.mark.parametrize(("key", "header"), [("sk-1\n", "Bearer sk-1"), ("  ", None), ("", None)])
def test_a_key_is_taken_without_the_space_around_it(
    key: str, header: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)
    assert request_headers().get("Authorization") == header


def test_a_key_that_cannot_be_sent_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1\u2014secret")
    with pytest.raises(UsageError, match="OPENAI_API_KEY: holds a character") as caught:
        request_headers()
    assert "secret" not in str(caught.value)
