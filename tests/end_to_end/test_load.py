"""The whole load path against the metronome: Locust's processes, records, manifest, verdict."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench.errors import compare, rows_by_number
from bench.process import metronome
from bench.truth import Truth
from common.places import ROOT
from tests.support.fakeserver import FakeServer
from tests.support.loadrun import SHORT, LoadRun, Outcome, left_running, load
from tests.support.ports import refusing
from tests.support.waiting import PATIENCE


@pytest.mark.parametrize("workers", [None, 1])
def test_a_server_that_does_not_answer_is_one_line_and_nothing_else(
    workers: int | None, tmp_path: Path
) -> None:
    with refusing() as url, LoadRun(tmp_path, url, workers=workers) as running:
        assert running.end().code == 2 and not left_running(running.process.pid)
    said = f"tokenswarm: {url}: does not answer (connection refused); is the server up?"
    assert running.err.splitlines() == [said] and not running.folder.exists()


WORKERS = (None, 3)


@dataclass(frozen=True)
class Made:
    """A load, and what the metronome knows of it."""

    found: Outcome
    truth: Truth


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[int | None, Made]:
    """The same load by several numbers of workers."""
    loads = {}
    for workers in WORKERS:
        with metronome("--ttft", "0.05", "--tpot", "0.01", "--as-vllm") as server:
            found = load(tmp_path_factory.mktemp("load"), server.url, workers=workers)
            loads[workers] = Made(found, server.stop())
    return loads


@pytest.mark.parametrize("workers", WORKERS)
def test_every_arrival_is_recorded_as_it_was(workers: int | None, made: dict[int | None, Made]) -> None:
    found, truth = made[workers].found, made[workers].truth
    records, manifest = found.records, found.manifest
    assert found.counts() == {"completed": len(records)} and len(records) > 60
    assert manifest["due"] == len(records) == len(truth.read)
    assert sorted(records["arrival"]) == list(range(len(records)))
    assert (records["output_tokens"] == 10).all() and (records["tokens_from"] == "usage").all()
    assert (records["prompt_tokens"] == 16).all()
    assert abs(np.median(compare(records, truth).tpot)) < 0.005
    rows = [rows_by_number(truth)[arrival] for arrival in records["arrival"]]
    zeros = truth.sent[truth.offsets[rows]] - records["first_token"]  # the run's start, by each answer
    assert np.median(zeros.max() - zeros) < 0.005, "stamped as it left, however long the client took to look"
    assert zeros.max() < (truth.read[rows] - records["sent"]).min() + 0.001, "sent before it was read"
    assert [lane["arrivals"] for lane in manifest["lanes"]] == [
        int((records["lane"] == number).sum()) for number in range(workers or 1)
    ]
    assert all(lane["batches_sent"] == lane["batches_received"] for lane in manifest["lanes"])
    assert "due " in found.out and found.summary["verdict"] in found.out
    failed = {
        rule["rule"] for rule in found.summary["rules"] if not rule["passed"] and rule["verdict"] == "INVALID"
    }
    assert failed <= {"enough_requests"}, found.out
    assert not list(found.folder.glob(".*")), "nothing of the making is left"


def test_the_load_is_the_same_for_any_number_of_workers(made: dict[int | None, Made]) -> None:
    columns = ["arrival", "due", "workload", "prompt_asked", "output_asked"]
    asked = [
        each.found.records.sort_values("arrival")[columns].reset_index(drop=True) for each in made.values()
    ]
    words = [sorted(each.truth.words) for each in made.values()]
    for other in asked[1:]:
        pd.testing.assert_frame_equal(asked[0], other)
    assert words[0] == words[1]
    assert len({each.found.manifest["schedule_digest"] for each in made.values()}) == 1
    assert len(set(words[0])) == len(words[0]), "prompts are unique from their first words on"


def test_a_gateways_path_query_headers_and_fields_reach_it_and_no_value_is_kept(tmp_path: Path) -> None:
    """A gateway that lists no models, wants its own header, and has another name for max_tokens."""
    with FakeServer() as fake:
        found = load(
            tmp_path,
            f"{fake.url()}/base?api-version=3",
            *("--model", "fake", "--endpoint", "/chat", "--header", "api-key: the-secret-value"),
            *(
                "--extra-body",
                '{"min_p": 0.1}',
                "--max-tokens-field",
                "max_completion_tokens",
                "--duration",
                "1",
            ),
            workers=1,
        )
    chats = [each for each in fake.requests if each.path == "/base/chat?api-version=3"]
    assert len(chats) == len(found.records) > 10
    assert all(each.headers["api-key"] == "the-secret-value" for each in chats)
    assert all(each.body["min_p"] == 0.1 and each.body["max_completion_tokens"] == 10 for each in chats)
    assert not any("max_tokens" in each.body for each in chats)
    assert found.manifest["request_headers"] == ["api-key"]
    kept = b"".join(path.read_bytes() for path in found.folder.rglob("*") if path.is_file())
    assert b"the-secret-value" not in kept + found.out.encode() + found.err.encode()


def test_a_server_that_refuses_from_the_first_is_not_loaded_to_the_end(tmp_path: Path) -> None:
    """Before the run, one line; once it runs all the same, after 50 answers that are alike."""
    with metronome("--fail", "1") as server:
        model = ("--model", "another")
        refused = load(tmp_path / "refused", server.url, "--endpoint", "/v1/wrong", workers=1)
        found = load(tmp_path / "all", server.url, "--rps", "50", "--duration", "60", workers=1)
        unknown = load(tmp_path / "unknown", server.url, *model, workers=1)
    assert refused.code == 2 and "/v1/wrong: HTTP 404" in refused.err and "--endpoint PATH" in refused.err
    assert len(refused.err.splitlines()) == 1 and not refused.folder.exists()
    assert unknown.code == 2 and "lists no model 'another'; it serves metronome" in unknown.err
    assert found.manifest["ended"] == "interrupted" and found.manifest["due"] < 1000
    assert found.manifest["ended_why"].startswith("the first 50 answers all failed: HTTP 500: refused")
    assert found.manifest["due"] == len(found.records)


def test_a_dry_run_shows_one_request_and_asks_nobody(tmp_path: Path) -> None:
    words = [
        "-f",
        "locustfiles/chat.py",
        "--headless",
        "--host",
        "http://127.0.0.1:9",
        "--dry-run",
    ]
    words += ["--header", "api-key: the-secret-value", "--extra-body", '{"min_p": 0.1}']
    shown = subprocess.run(
        [sys.executable, "-m", "loadgen", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    ).stdout
    head, _, body = shown.partition("\n\n")
    assert head.startswith("POST /v1/chat/completions HTTP/1.1\n") and "api-key: ***" in head
    assert json.loads(body)["min_p"] == 0.1 and "the-secret-value" not in shown


def test_a_closed_loop_and_a_conversation_follow_their_answers(tmp_path: Path) -> None:
    closed = SHORT.replace("rate: 20", "").replace(
        "{process: poisson}", "{process: closed-loop, concurrency: 4, think: 0.1}"
    )
    talk = SHORT.replace("rate: 20", "rate: 3") + "conversation: {turns: 3, think: 0.2, system_tokens: 8}\n"
    with metronome("--ttft", "0.05", "--tpot", "0.005") as server:
        loop = load(tmp_path / "closed", server.url, scenario=closed, workers=2).records
        chat = load(tmp_path / "talk", server.url, scenario=talk, workers=None).records
    assert loop["status"].eq("completed").all() and loop["conversation"].nunique() == 4
    for _, client in loop.sort_values("due").groupby("conversation"):
        gaps = client["due"].to_numpy()[1:] - client["end"].to_numpy()[:-1]
        assert gaps == pytest.approx(0.1, abs=1e-6), "the next request is due a think time after the answer"
    assert chat["turn"].max() == 2 and chat["status"].eq("completed").all()
    firsts, seconds = (chat[chat["turn"] == turn].set_index("conversation") for turn in (0, 1))
    grown = (seconds["prompt_tokens"] - firsts["prompt_tokens"]).dropna()
    assert len(grown) > 3 and (grown > 10).all(), "history goes along"
