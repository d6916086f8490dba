"""The load side's parts that need no network: settings, records on their way, clocks, live figures."""

import json
import math
import os
import random
import signal
import socket
import subprocess
import sys
import time
from argparse import Namespace
from array import array
from pathlib import Path
from typing import Any
from unittest.mock import patch

import gevent
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from locust.argument_parser import get_parser
from locust.env import Environment
from pydantic import Field

from campaign.load import PASSED_ON
from common.places import ROOT
from common.ports import free_port
from common.strictyaml import Strict, read_model
from common.usage import UsageError
from loadgen import options
from loadgen.client.client import Client
from loadgen.client.outcome import Reply
from loadgen.client.transport import Host
from loadgen.host import child_process, clock, machine, process_limits
from loadgen.live.digest import METRICS, Digest
from loadgen.live.live import ALL, Live
from loadgen.master import manifest, scrape
from loadgen.master.run import Run
from loadgen.master.server_info import Server
from loadgen.protocol.plan import Plan
from loadgen.protocol.settings import request_headers, scenario_of, settings_of
from loadgen.records import collect
from loadgen.records.collect import BATCHES, DRAFT, Collector, lost_records, recover
from loadgen.records.outbox import Outbox
from loadgen.records.record import COMPLETED, FAILED, LOST, METRICS_SCHEMA, SCHEMA, Record, to_table
from loadgen.worker.lane import Lane, RequestMaker
from loadgen.workload.scenario import Scenario
from loadgen.workload.schedule import Arrival, schedule
from loadgen.workload.vocabulary import Messages, estimate_vocabulary
from reports.runs.server_metrics import ServerMetrics
from server import variants
from tests.support.fakeserver import FakeServer

EMPTY = dict.fromkeys(("scenario", *PASSED_ON)) | {
    "tokenizer": None,
    "insecure": False,
    "ca_file": None,
    "keep_text": False,
    "allow": "",
}
durations = st.lists(st.floats(1e-4, 1e4), min_size=1, max_size=300)


def record(arrival: int, lane: int = 0, chunks: int = 2) -> Record:
    times = np.arange(chunks) * 0.01 + arrival
    return Record(arrival, lane, "chat", float(arrival), COMPLETED, end=arrival + 1.0, chunk_times=times)


def test_empty_options_are_the_scenarios_own() -> None:
    found = settings_of(EMPTY | {"rps": " "}, "http://127.0.0.1:1")
    assert found.scenario == Scenario.load("chat-medium") and found.seed == 1 and found.model is None


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
        ({"duration": "1e9"}, "comes to 20,000,000,100 requests"),
        ({"scenario": "closed-loop-chat", "concurrency": "9000000"}, "comes to 9,000,000 requests"),
        ({"duration": "inf"}, "--duration: must be a finite number"),
        ({"drain": "-1"}, "--drain: must be 0 or more"),
        ({"seed": "1.5"}, "--seed: must be a whole number"),
        ({"arrivals": "poison"}, "unknown process 'poison'"),
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


class Inner(Strict):
    mean: float = Field(default=1, gt=0)


class Outer(Strict):
    inner: Inner | None = None
    parts: dict[str, Inner] = {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("inner:\n  maen: 3\n", ":2: unknown key 'inner.maen'; did you mean 'mean'?"),
        ("inner: {x: 3}\n", ":1: unknown key 'inner.x'; known keys: mean"),
        ("parts:\n  a: {meen: 3}\n", ":2: unknown key 'parts.a.meen'; did you mean 'mean'?"),
        ("inner: {mean: -2}\n", ":1: inner.mean: must be greater than 0 (given -2)"),
        ("inner: {mean: x}\n", ":1: inner.mean: must be a number (given 'x')"),
        ("inner: {mean: 1, mean: 2}\n", ":1: key 'mean' is there twice, first in line 1"),
        ("inner:\n  mean: 1\n  mean: 2\n", ":3: key 'mean' is there twice, first in line 2"),
        ("inner: 3\n", ":1: inner: must hold keys and values (given 3)"),
        (
            "inner:\n\tmean: 3\n",
            ":2: not valid YAML: while scanning for the next token, "
            "found character '\\t' that cannot start any token",
        ),
    ],
)
def test_a_mistake_inside_a_part_is_named_with_a_way_out(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        read_model(path, Outer)
    assert str(caught.value) == f"{path}{said}"


def test_a_file_that_is_not_there_is_named_once(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        read_model(tmp_path / "none.yaml", Outer)
    assert str(caught.value) == f"{tmp_path / 'none.yaml'}: cannot be read: No such file or directory"


def test_what_a_campaign_passes_on_locust_takes() -> None:
    parser = get_parser()
    options.add_arguments(parser)
    words = [word for name in PASSED_ON for word in (f"--{name.replace('_', '-')}", "7")]
    found = vars(parser.parse_args(words))
    assert all(found[name] == "7" for name in PASSED_ON)


def adapted(*words: str) -> Namespace:
    """Locust's options for this command line."""
    parser = get_parser()
    with patch("loadgen.options._was_free", return_value=True):  # by others, too
        options.adapt(parser, words)
    found: Namespace = parser.parse_args(list(words))
    return found


def test_the_web_ui_is_for_this_machine_alone_unless_asked_for_more() -> None:
    """Whoever reaches it can start loads and read the results; Locust's own default is every address."""
    assert adapted().web_host == "127.0.0.1"
    assert adapted("--web-host", "0.0.0.0").web_host == "0.0.0.0"
    with patch.dict(os.environ, {"LOCUST_WEB_HOST": "0.0.0.0"}):  # as in our container
        assert adapted().web_host == "0.0.0.0"


def test_locusts_log_is_quiet_where_the_run_speaks_for_itself() -> None:
    for quiet in (("--headless",), ("--headless", "--processes=2")):
        assert adapted(*quiet).loglevel == "WARNING"
    for words in ((), ("--headless", "--master"), ("--worker",)):
        assert adapted(*words).loglevel == "INFO"
    assert adapted("--headless", "--loglevel", "DEBUG").loglevel == "DEBUG"


def test_master_and_workers_of_one_command_have_a_port_of_their_own() -> None:
    usual = adapted("--headless").master_port
    assert adapted("--processes", "2").master_port != usual == adapted("--headless", "--master").master_port
    assert adapted("--processes", "2", "--master-port", "7000").master_port == 7000


@pytest.mark.parametrize(
    ("name", "why"), [("none.pem", "No such file"), ("README.md", "holds no certificate")]
)
def test_a_file_that_vouches_for_nobody_is_named(name: str, why: str) -> None:
    with pytest.raises(UsageError, match=f"--ca-file {name}: {why}"):
        settings_of(EMPTY | {"ca_file": name}, "https://127.0.0.1:1")


def test_a_certificate_that_is_not_trusted_comes_with_the_options_for_it() -> None:
    with FakeServer(tls=True) as fake, pytest.raises(UsageError) as caught:
        Server(fake.url(), {}, True).describe(None)
    assert "does not answer (its certificate is not trusted: " in str(caught.value)
    assert str(caught.value).endswith("; --ca-file FILE, or --insecure)")


@pytest.mark.parametrize("asked", [["--headless"], []])
def test_a_locustfile_of_other_users_is_told_so(tmp_path: Path, asked: list[str]) -> None:
    plain = tmp_path / "plain.py"
    plain.write_text(
        "from locust import HttpUser, task\nclass P(HttpUser):\n    @task\n    def t(self): pass\n"
    )
    words = [
        "-m",
        "loadgen",
        "-f",
        str(plain),
        *asked,
        "--host",
        "http://127.0.0.1:1",
        "--scenario",
        "chat-low",
    ]
    words += ["--web-port", str(free_port())]
    said = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False, timeout=60)
    assert said.returncode == 2
    assert said.stderr.splitlines()[-1] == (
        "tokenswarm: no user class of the locustfile comes from loadgen.user.OpenLoopUser "
        "(docs/writing-a-client.md)"
    )


def waiting_run(folder: Path) -> Run:
    """A run whose one worker never gets ready."""
    scenario = Scenario.load("chat-low")
    plan = Plan("run", scenario.to_dict(), 1, "", 1, "http://127.0.0.1:1", "m", True, {}, True, False)
    folder.mkdir()
    server = Server("http://127.0.0.1:1", {}, True)
    run = Run(
        folder,
        schedule(scenario, 1),
        plan,
        {},
        ["w"],
        lambda now: scrape.Scraper(server, now),
        lambda *_: None,
    )
    run.hand_out([])
    return run


def test_a_run_that_never_began_does_not_wait_for_its_workers_and_leaves_nothing(tmp_path: Path) -> None:
    lost, stopped = waiting_run(tmp_path / "lost"), waiting_run(tmp_path / "stopped")
    with pytest.raises(UsageError, match="worker w was lost before the run began"):
        lost.start(lambda worker: False)
    stopped.interrupt("interrupted by SIGINT")
    with pytest.raises(UsageError, match="interrupted by SIGINT before the first request; nothing was"):
        stopped.start(lambda worker: True)
    (tmp_path / "stopped" / "server.log").touch()
    lost.discard()
    stopped.discard()
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")] == [
        "stopped",
        "stopped/server.log",
    ]


def closing(closed: dict[str, object] | None, alive: bool, monkeypatch: pytest.MonkeyPatch, at: Path) -> Run:
    """A run that has been closed, whose worker said this and is gone or not."""
    monkeypatch.setattr("loadgen.master.run.CLOSE_WITHIN", 0.1)
    run = waiting_run(at)
    if closed is not None:
        run.on_closed({"lane": 0, "left": False, "batches": 0, "due": 0} | closed)
    run.close(lambda worker: alive)
    return run


@pytest.mark.parametrize(
    ("closed", "alive", "lost"),
    [
        ({}, True, False),
        (None, True, True),  # never answered
        (None, False, True),  # died while it closed
        ({"batches": 1}, True, True),  # a batch did not come
        ({"left": True}, True, True),
    ],
)
def test_a_lane_that_did_not_hand_over_all_is_lost(
    closed: dict[str, object] | None, alive: bool, lost: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run = closing(closed, alive, monkeypatch, tmp_path / "run")
    assert run.lanes[0].lost is lost and (run.live.lost == {0}) is lost


def test_two_runs_that_begin_in_the_same_second_have_a_folder_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKENSWARM_RESULTS", str(tmp_path))
    monkeypatch.delenv("TOKENSWARM_RUN_DIR", raising=False)
    monkeypatch.setattr(Path, "exists", lambda path: False)  # neither sees the others
    names = [manifest.make_folder(manifest.Subject("v", None)).name for _ in range(3)]
    assert len(set(names)) == 3


def test_a_folder_whose_run_has_not_ended_is_not_taken_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = tmp_path / "run"
    monkeypatch.setenv("TOKENSWARM_RUN_DIR", str(given))
    subject = manifest.Subject("v", None)
    assert [manifest.make_folder(subject).name for _ in range(2)] == ["run", "run-2"]
    (given / DRAFT).unlink()  # that start came to nothing
    assert manifest.make_folder(subject) == given
    (given / DRAFT).unlink()
    (given / BATCHES).mkdir()  # its master died
    assert manifest.make_folder(subject).name == "run-3"


def test_a_run_that_goes_on_is_not_recovered(tmp_path: Path) -> None:
    (tmp_path / DRAFT).write_text(json.dumps({"master": machine.this_process()}))
    with pytest.raises(UsageError, match=f"its run goes on, in process {os.getpid()}"):
        recover([tmp_path])
    (tmp_path / DRAFT).write_text("")
    with pytest.raises(UsageError, match="ended before it had begun; there is nothing to recover"):
        recover([tmp_path])


def test_what_dead_masters_left_is_listed_with_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKENSWARM_RESULTS", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["collect", "list"])
    here = machine.this_process()
    dead = here | {"began": "1"}  # its number is another process's now
    for name, master in (("dead", dead), ("lives", here), ("unanswered", dead)):
        (tmp_path / name / BATCHES).mkdir(parents=True)
        (tmp_path / name / DRAFT).write_text(json.dumps({"master": master}))
    for name in ("dead", "lives"):
        (tmp_path / name / BATCHES / "lane-0-1.arrow").touch()
    (tmp_path / "prepares").mkdir()
    (tmp_path / "prepares" / DRAFT).touch()
    assert collect.main() == 0
    where = tmp_path / "dead"
    command = f"python -m loadgen.records.collect recover {where}"
    assert capsys.readouterr().out == f"{where}: no run yet; if its master died, `{command}` makes one\n"


def test_a_process_is_looked_for_only_where_its_number_counts() -> None:
    here, ended = machine.this_process(), subprocess.Popen(["true"])
    gone = here | {"pid": ended.pid}
    ended.wait()
    assert (machine.is_running(here), machine.has_ended(here)) == (True, False)
    assert (machine.is_running(gone), machine.has_ended(gone)) == (False, True)
    reused = here | {"began": "1"}
    assert (machine.is_running(reused), machine.has_ended(reused)) == (False, True), "another has its number"
    elsewhere = gone | {"space": "another container's"}
    assert (machine.is_running(elsewhere), machine.has_ended(elsewhere)) == (False, False)


def test_a_run_that_is_being_written_stays_complete_and_takes_no_more(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run = closing({}, True, monkeypatch, tmp_path / "run")
    run.interrupt("interrupted by SIGINT")
    assert run.stopped_why is None
    run._taking = False  # as `write` has it
    run.on_batch({"lane": 0, "number": 0, "content": b""})
    gevent.sleep(0.05)
    assert not (run.folder / BATCHES).exists()


def test_a_plan_of_another_version_is_named() -> None:
    with pytest.raises(UsageError, match="give both the same version of this project"):
        Plan.from_dict({"run": "r", "colour": "red"})


def test_a_port_for_workers_that_is_taken_is_named() -> None:
    with socket.create_server(("", 0)) as taken:
        port = str(taken.getsockname()[1])
        bind = f"--master-bind-port={port}"
        for words in (
            ["--master", bind],
            ["--processes", "2", bind],
            ["--master", "--master-bind-port", port],
        ):
            with pytest.raises(UsageError, match=f"port {port}, where workers are to join, is taken"):
                options.adapt(get_parser(), words)
        options.adapt(get_parser(), ["--worker", "--processes", "2", "--master-port", port])


def test_workers_know_whether_a_master_made_them() -> None:
    for words, own in ((["--processes", "2"], True), (["--worker", "--processes", "2"], False), ([], False)):
        parser = get_parser()
        options.adapt(parser, words)
        assert parser.parse_args(words).own_master is own


def test_locusts_own_file_counts_as_the_command_line_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "locust.conf").write_text("processes = 2\nheadless = true\n")
    monkeypatch.chdir(tmp_path)
    found = adapted()
    loglevel, port = found.loglevel, found.master_port
    assert loglevel == "WARNING" and port != options.MASTER_PORT


def test_a_command_of_the_masters_gets_no_ctrl_c() -> None:
    told = "import os; print(os.getpgid(0) == os.getpid())"
    assert child_process.run([sys.executable, "-c", told], capture=True).out.strip() == "True"


def test_without_a_host_nothing_is_loaded() -> None:
    with pytest.raises(UsageError, match="give --host"):
        settings_of(EMPTY, None)


def test_records_become_a_table_with_their_lists() -> None:
    rows = [record(3, chunks=3), Record(4, 1, "chat", 4.0, LOST), record(5, chunks=0)]
    rows[0].chunk_tokens = array("i", [1, 2, 1])
    table = to_table(rows)
    assert table.schema == SCHEMA
    assert table["chunk_times"].to_pylist() == [pytest.approx([3.0, 3.01, 3.02]), None, []]
    assert table["chunk_tokens"].to_pylist() == [[1, 2, 1], None, None]


@given(
    sizes=st.lists(st.integers(0, 1200), min_size=1, max_size=4),
    seed=st.integers(0, 2**16),
)
def test_every_record_arrives_once_whatever_is_sent_twice(
    sizes: list[int], seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder, chance = tmp_path_factory.mktemp("run"), random.Random(seed)
    (folder / BATCHES).mkdir()
    collector, held = Collector(folder), list[tuple[int, bytes]]()
    outbox = Outbox(lambda number, content: held.append((number, content)))
    wanted: list[int] = []
    for size in sizes:
        for _ in range(size):
            wanted.append(len(wanted))
            outbox.add(record(wanted[-1], chunks=1))
        outbox.flush()
        outbox.repeat()
        chance.shuffle(held)
        for number, content in held:
            collector.receive(0, number, content)
            outbox.acknowledge(number)
        held.clear()
    assert outbox.unacknowledged == 0 and collector.received(0) == outbox.sent
    counts = collector.write([])
    assert counts == ({0: len(wanted)} if wanted else {})
    assert pq.read_table(folder / "requests.parquet")["arrival"].to_pylist() == wanted
    assert (folder / BATCHES).exists(), "until the manifest is written, they can be recovered from"
    collector.discard()
    assert not (folder / BATCHES).exists()


def test_a_row_that_cannot_be_stored_costs_no_other(tmp_path: Path) -> None:
    got: list[bytes] = []
    outbox = Outbox(lambda number, content: got.append(content))
    rows = [record(number) for number in range(4)]
    rows[1].output_tokens, rows[2].error = 5_000_000_000, "half \ud83d"
    for row in rows:
        outbox.add(row)
    outbox.flush()
    table = pa.ipc.open_file(got[0]).read_all()
    assert table["arrival"].to_pylist() == [0, 1, 2, 3]
    assert table["status"].to_pylist() == [COMPLETED, FAILED, FAILED, COMPLETED]
    assert table["error"].to_pylist()[1:3] == ["what the server said of it cannot be stored"] * 2


class Faulty:
    """A user class with a fault: every third request cannot be made, every third answer not checked."""

    path, wants_text = "/v1/chat/completions", False
    lane: Lane

    def request(self, arrival: Arrival, history: Messages) -> dict[str, Any]:
        if arrival.number % 3 == 1:
            raise KeyError("city")
        return {"model": "fake", "stream": True, "max_tokens": 3}

    def check(self, arrival: Arrival, reply: Reply) -> str | None:
        if arrival.number % 3 == 2:
            raise ValueError("no number")
        return None


def lane_of(url: str, maker: RequestMaker, found: list[Record]) -> Lane:
    """A lane of 60 requests/s for half a second, ready to start."""
    load = Scenario.from_dict(
        {"name": "s", "rate": 60, "duration": 0.5, "warmup": 0, "prompt_tokens": 9, "output_tokens": 3}
    )
    plan = Plan(
        run="r", scenario=load.to_dict(), seed=1, digest=schedule(load, 1).digest(), lanes=1, host=url,
        model="fake", vllm=False, vocabulary=estimate_vocabulary().to_dict(), verify=True, keep_text=False,
    )  # fmt: skip
    lane = Lane(Environment(), plan, 0, Client(Host.resolve(url)))
    lane.prepare(maker, found.append)
    return lane


def test_a_fault_in_a_user_class_costs_no_arrival_its_record(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loadgen.worker.lane.MADE_AHEAD", -1)  # each request is made when it is due
    found: list[Record] = []
    with FakeServer() as server:
        lane = lane_of(server.url("normal"), Faulty(), found)
        lane.start(time.perf_counter())
        while lane.now < 0.6:
            lane.launch_due()
            gevent.sleep(0.01)
        lane.drain()
        lane.close()
    assert sorted(each.arrival for each in found) == [each.number for each in lane.arrivals]
    said = {each.arrival % 3: (each.status, each.error) for each in found}
    assert said == {
        0: (COMPLETED, None),
        1: (FAILED, "the request could not be made: KeyError"),
        2: (FAILED, "check failed: ValueError: no number"),
    }


def test_a_worker_that_was_stopped_for_long_launches_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loadgen.worker.lane.ABSENT", 0.2)
    monkeypatch.setattr(Faulty, "request", lambda self, arrival, history: {"model": "fake", "max_tokens": 3})
    found: list[Record] = []
    with FakeServer() as server:
        lane = lane_of(server.url("normal"), Faulty(), found)
        lane.start(time.perf_counter())
        lane.launch_due()
        while lane.now < 0.1:
            lane.launch_due()
            gevent.sleep(0.01)
        launched = lane.client.peak_in_flight
        gevent.sleep(0.5)  # as if it had been stopped
        lane.launch_due()
        assert lane.idle and launched > 0
        lane.close()
    assert sorted(each.arrival for each in found) == [each.number for each in lane.arrivals]
    assert {each.error for each in found if each.due > 0.2} == {"never left: the worker did not get to it"}


def test_what_the_master_never_got_is_kept(tmp_path: Path) -> None:
    outbox = Outbox(lambda number, content: None)
    outbox.add(record(1))
    outbox.flush()
    outbox.add(record(2))
    assert outbox.leave(tmp_path, 3) == 2
    found = [pa.ipc.open_file(path).read_all() for path in sorted(tmp_path.iterdir())]
    assert [table["arrival"].to_pylist() for table in found] == [[1], [2]]


def test_lost_arrivals_are_those_due_without_a_record() -> None:
    scenario = Scenario.load("chat-low").with_overrides(duration=10)
    plan = schedule(scenario, 1)
    known = {arrival.number for arrival in plan.arrivals if arrival.lane_key % 2 == 0}
    lost = lost_records(scenario, 1, 2, known, until=8.0)
    assert {each.arrival for each in lost} == {
        arrival.number for arrival in plan.arrivals if arrival.lane_key % 2 and (arrival.due or 0) < 8.0
    }
    assert {each.lane for each in lost} == {1} and {each.status for each in lost} == {LOST}


@given(
    truth=st.floats(-1e5, 1e5),
    ways=st.lists(st.tuples(st.floats(1e-5, 0.5), st.floats(1e-5, 0.5)), min_size=1, max_size=20),
)
def test_a_clock_is_known_to_half_the_shortest_round_trip(
    truth: float, ways: list[tuple[float, float]]
) -> None:
    exchanges = [
        clock.Exchange(10.0 * number, 10.0 * number + there + truth, 10.0 * number + there + back)
        for number, (there, back) in enumerate(ways)
    ]
    found = clock.offset(exchanges, same_clock=False)
    assert found.round_trip == pytest.approx(min(there + back for there, back in ways), abs=1e-9)
    assert abs(found.seconds - truth) <= found.round_trip / 2 + 1e-9
    assert clock.offset(exchanges, same_clock=True).seconds == 0.0


@given(values=durations, share=st.sampled_from([0.5, 0.9, 0.99, 1.0]))
def test_a_digest_knows_percentiles_to_a_hundredth(values: list[float], share: float) -> None:
    one, other = Digest(), Digest()
    one.extend(np.array(values[::2]))
    for value in values[1::2]:
        other.add(value)
    one.merge(other.take())
    assert one.count == len(values) and other.count == 0
    exact = sorted(values)[max(1, math.ceil(share * len(values))) - 1]
    assert one.percentile(share) == pytest.approx(exact, rel=0.011)


def test_an_empty_digest_has_no_percentile() -> None:
    assert Digest().percentile(0.5) is None


def pulse(
    lane: int, t: float, due: int, completed: int, in_flight: int, lag: float = 0.0005
) -> dict[str, object]:
    digest = Digest()
    digest.add(lag)
    return {
        "lane": lane,
        "t": t,
        "due": due,
        "in_flight": in_flight,
        "events": completed * 12,
        "chunks": 0,
        "idle": False,
        "counts": {"chat": {"sent": due, "completed": completed, "tokens": completed * 10}},
        "digests": {"chat": {"send_lag": digest.take()}},
    }


def test_live_adds_up_the_lanes() -> None:
    live = Live(60.0, (5.0, 60.0), 2)
    for second in range(12):
        for lane in (0, 1):
            live.pulse(pulse(lane, second, due=second * 5, completed=second * 4, in_flight=second))
        live.tick(float(second), {"running": 3.0})
    point = live.points[-1]
    assert (point.offered_rate, point.completed_rate, point.token_rate) == (10.0, 8.0, 80.0)
    assert point.in_flight == 22 and point.running == 3.0 and point.waiting is None
    assert live.counts()["completed"] == 88 and live.workloads() == ["chat"]
    assert live.percentiles(ALL).keys() == set(METRICS) and live.percentiles()["send_lag"]["count"] == 24


def test_live_names_what_speaks_against_the_run() -> None:
    behind, late, lost = (Live(60.0, (5.0, 60.0), 1) for _ in range(3))
    for second in range(1, 13):
        behind.pulse(pulse(0, second, due=second * 20, completed=second * 10, in_flight=second * 10))
        behind.tick(float(second), {})
        late.pulse(pulse(0, second, due=second * 20, completed=second * 20, in_flight=1, lag=0.02))
        late.tick(float(second), {})
    lost.lost.add(0)
    assert behind.verdict()[0] == "SATURATED"
    assert late.verdict()[0] == "CLIENT-LIMITED"
    assert lost.verdict()[0] == "INVALID"
    assert Live(60.0, (5.0, 60.0), 1).verdict() == ("", "nothing has completed yet")


@given(due=st.lists(st.floats(0, 100), max_size=60), span=st.floats(0.1, 20))
def test_the_busiest_span_is_found(due: list[float], span: float) -> None:
    due.sort()
    brute = max((sum(start <= each < start + span for each in due) for start in due), default=0)
    assert abs(process_limits.busiest(due, span) - brute) <= sum(
        math.isclose(late - early, span) for early in due for late in due
    )


def test_too_few_open_files_are_said_before_the_run() -> None:
    arrivals = list(schedule(Scenario.load("chat-high"), 1).arrivals)
    process_limits.check(10_000, arrivals)
    with pytest.raises(UsageError, match="open files are limited to 256, this load needs"):
        process_limits.check(256, arrivals)


def test_a_scrape_is_parsed_without_what_never_changes() -> None:
    text = (
        '# TYPE vllm:num_requests_running gauge\nvllm:num_requests_running{engine="0",model_name="m"} 3.0\n'
        "# TYPE vllm:generation_tokens counter\n"
        'vllm:generation_tokens_total{engine="0",model_name="m"} 42.0\n'
        'vllm:generation_tokens_created{engine="0",model_name="m"} 1.7e9\n'
    )
    assert list(scrape.parse(1.5, text)) == [
        (1.5, "vllm:num_requests_running", "{}", 3.0),
        (1.5, "vllm:generation_tokens_total", "{}", 42.0),
    ]


def test_the_counters_of_data_parallel_engines_are_kept_apart() -> None:
    name = "vllm:generation_tokens_total"
    lines = [
        f'{name}{{engine="{engine}",model_name="m"}} {value}' for engine, value in ((0, 900.0), (1, 7.0))
    ]
    text = "# TYPE vllm:generation_tokens counter\n" + "\n".join(lines)
    rows = [row for moment in (0.0, 1.0) for row in scrape.parse(moment, text)]
    assert {row[2] for row in rows} == {"{}", '{"engine": "1"}'}
    columns = [[row[place] for row in rows] for place in range(4)]
    found = ServerMetrics(pa.table(columns, schema=METRICS_SCHEMA))
    assert found.increase(name, 0.0, 1.0) == 0.0, "neither has gained anything"


def test_a_scrape_that_is_cut_off_costs_no_other(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    row = 'vllm:num_requests_running{engine="0"} 3.0\n'
    texts = iter([row, row + "vllm:prompt_tok", row + "vllm:num_requests_waiting ", row])
    server = Server("http://127.0.0.1:1", {}, True)
    monkeypatch.setattr(server, "metrics", lambda: next(texts))
    scraper = scrape.Scraper(server, lambda: 1.0)
    for _ in range(4):
        scraper.take()
    scraper.write(tmp_path / "m.parquet")
    assert pq.read_table(tmp_path / "m.parquet")["value"].to_pylist() == [3.0, 3.0]


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


@pytest.mark.parametrize("moment", ["", " 1764144000000"])
def test_who_waits_is_counted_once(moment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether or not the server says when it counted."""
    text = (
        f"vllm:num_requests_running 8.0{moment}\n"
        f'vllm:num_requests_waiting{{engine="0",model_name="m"}} 5.0{moment}\n'
        'vllm:num_requests_waiting_by_reason{engine="0",model_name="m",reason="capacity"} 4.0\n'
        'vllm:num_requests_waiting_by_reason{engine="0",model_name="m",reason="deferred"} 1.0\n'
    )
    server = Server("http://127.0.0.1:1", {}, True)
    monkeypatch.setattr(server, "metrics", lambda: text)
    scraper = scrape.Scraper(server, lambda: 0.0)
    scraper.take()
    assert scraper.latest == {"running": 8.0, "waiting": 5.0}


def test_the_variants_of_the_issue_are_there() -> None:
    assert {"baseline", "optimized", "batch-8", "batch-16", "batch-32", "compiled"} <= set(variants.names())


def test_a_worker_takes_what_priority_it_may_and_gives_it_back() -> None:
    code = (
        "import os; from loadgen.host.urgency import Urgency; found = Urgency(True); "
        "print(found.gained, os.sched_getscheduler(0) & 7 == os.SCHED_FIFO, os.getpriority(0, 0)); "
        "found.end(); print(os.sched_getscheduler(0), os.getpriority(0, 0), Urgency(False).gained)"
    )
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    first, then = said.stdout.splitlines()
    assert first in ("fifo True 0", "nice False -10", "none False 0"), first
    assert then == "0 0 none"


def test_a_worker_that_is_stopped_does_not_outlive_the_master() -> None:
    script = """
import os, signal, subprocess
from loadgen import conductor
conductor.WORKERS_END_WITHIN = 0.2
worker = subprocess.Popen(["sleep", "60"])
os.kill(worker.pid, signal.SIGSTOP)
conductor._await_workers()
print(worker.wait(5))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [str(-signal.SIGKILL)]
