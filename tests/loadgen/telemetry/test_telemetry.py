"""The parts of the live metrics: buckets, names, observations of a run, the port, the login."""

import json
import re
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import gevent
import numpy as np
import pytest
from gevent.event import Event
from hypothesis import given
from hypothesis import strategies as st
from locust.event import Events

from bench.process import metronome
from common.places import ROOT
from common.ports import free_port
from common.usage import UsageError
from loadgen.host import child_process
from loadgen.live import instruments
from loadgen.live.histogram import Histogram
from loadgen.live.live import Live
from loadgen.protocol.events import run_finished
from loadgen.protocol.settings import Subject
from loadgen.telemetry.prometheus import Export, address_of
from loadgen.telemetry.series import Observed, operation
from loadgen.workload.scenario import Scenario
from loadgen.workload.schedule import schedule
from tests.support.loadrun import LoadRun, load
from tests.support.prometheus import scrape
from tests.support.waiting import PATIENCE, wait_until

BOUNDS = (0.1, 0.5, 2.0)
values = st.lists(st.one_of(st.floats(0, 10), st.sampled_from(BOUNDS)), max_size=50)


@given(one=values, other=values)
def test_a_histogram_counts_what_does_not_exceed_each_bound(one: list[float], other: list[float]) -> None:
    left, right = Histogram(BOUNDS), Histogram(BOUNDS)
    for value in one:
        left.add(value)
    right.extend(np.array([*other, np.nan]))
    right_sum = right.sum
    left.merge(right.take())
    whole = np.array(one + other)
    assert dict(left.cumulative()) == {bound: int((whole <= bound).sum()) for bound in (*BOUNDS, np.inf)}
    assert left.count == len(whole) and left.sum == pytest.approx(whole.sum())
    assert right_sum == pytest.approx(sum(other)) and right.count == 0 and right.sum == 0


def test_names_in_prometheus_carry_their_unit() -> None:
    names = [each.prometheus for each in instruments.INSTRUMENTS]
    assert len(set(names)) == len(names) > 20
    assert all(
        name.endswith("_seconds") == (each.unit == "s")
        for name, each in zip(names, instruments.INSTRUMENTS, strict=True)
    )
    assert all(list(each.bounds) == sorted(set(each.bounds)) for each in instruments.INSTRUMENTS)
    assert instruments.TOKEN_USAGE.bounds[-1] == 67_108_864


def test_the_page_lists_what_is_exported() -> None:
    endings = {"counter": "_total", "gauge": "", "histogram": ""}
    expected = {(each.name, each.prometheus + endings[each.kind]) for each in instruments.INSTRUMENTS}
    rows = re.findall(
        r"^\| `([\w.]+)` \| `(\w+)` \|", (ROOT / "docs/metrics-live.md").read_text(), re.MULTILINE
    )
    assert len(rows) == len(set(rows)) and set(rows) == expected


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["/v1/chat/completions"], "chat"),
        (["/v1/completions", "/v1/completions"], "text_completion"),
        (["/v1/chat/completions", "/v1/completions"], "chat+text_completion"),
        (["/v1/responses", "/v1/messages"], "chat"),
        (["/v1/embeddings"], "embeddings"),
        (["/v1/rerank"], "rerank"),
    ],
)
def test_the_operation_is_told_by_the_path(paths: list[str], expected: str) -> None:
    assert operation(paths) == expected


def test_a_metrics_port_may_name_its_host() -> None:
    assert address_of("9464") == ("127.0.0.1", 9464)
    assert address_of("0.0.0.0:9464") == ("0.0.0.0", 9464)
    assert address_of("[::1]:9464") == ("::1", 9464)


@pytest.mark.parametrize("text", ["", "0", "65536", "metrics", "127.0.0.1:", "-1"])
def test_a_bad_metrics_port_is_named(text: str) -> None:
    with pytest.raises(UsageError, match="--metrics-port"):
        address_of(text)


def observed(live: Live, phase: str = "running") -> Observed:
    scenario = Scenario.load("mixed").with_overrides(duration=20)
    plan = SimpleNamespace(run="r", model="m", vllm=False, host="https://llm.example/v1", seed=1)
    run: Any = SimpleNamespace(
        plan=plan, schedule=schedule(scenario, 1), live=live, phase=phase, over=Event(), now=-0.5
    )
    return Observed(run, Subject("baseline", None), ["/v1/chat/completions"])


def found(one: Observed, name: str, **labels: Any) -> list[Any]:
    return [
        each.value
        for each in one.observations()
        if each.instrument.name == name and labels.items() <= each.attributes.items()
    ]


def test_every_series_is_there_before_the_first_request() -> None:
    one = observed(Live(20.0, (0.0, 20.0), 2))
    for workload in ("chat", "code", "rag"):
        assert found(one, "tokenswarm.requests", workload=workload) == [0, 0, 0, 0]
        (ttft,) = found(one, "gen_ai.server.time_to_first_token", workload=workload)
        assert ttft.count == 0
    assert found(one, "tokenswarm.elapsed") == [-0.5] and found(one, "tokenswarm.lanes") == [2]
    assert found(one, "tokenswarm.run.info", scenario="mixed", seed=1, target="") == [1]
    ours = found(
        one, "gen_ai.server.time_to_first_token", **{"server.address": "llm.example", "server.port": 443}
    )
    assert len(ours) == 3


def test_a_gpu_is_told_of_only_where_there_is_one() -> None:
    live = Live(20.0, (0.0, 20.0), 1)
    one = observed(live)
    assert found(one, "tokenswarm.gpu.power") == found(one, "tokenswarm.gpu.energy") == []
    live.tick(1.0, {"watts": 310.5, "joules": 1e6})
    assert found(one, "tokenswarm.gpu.power") == [310.5] and found(one, "tokenswarm.gpu.energy") == [1e6]


def test_a_lost_lane_shows_at_once() -> None:
    live = Live(20.0, (0.0, 20.0), 2)
    one = observed(live)
    assert found(one, "tokenswarm.verdict", verdict="VALID") == [0], "nothing has completed yet"
    live.lost.add(1)
    assert found(one, "tokenswarm.lanes.lost") == [1]
    assert found(one, "tokenswarm.verdict", verdict="VALID") == [0]
    assert found(one, "tokenswarm.verdict", verdict="INVALID") == [1]


def test_a_run_that_failed_has_no_verdict() -> None:
    one = observed(Live(20.0, (0.0, 20.0), 1))
    one.run.over.set()
    assert not found(one, "tokenswarm.verdict")
    assert found(one, "tokenswarm.run.state", state="finished") == [1]
    one.verdict = "SATURATED"
    assert found(one, "tokenswarm.verdict", verdict="SATURATED") == [1]


def test_failures_are_told_apart_from_answers() -> None:
    live = Live(20.0, (0.0, 20.0), 1)
    live.histograms["chat"] = instruments.histograms()
    live.histograms["chat"]["failure"].add(3.0)
    one = observed(live)
    wrong = found(one, "gen_ai.client.operation.duration", workload="chat", **{"error.type": "_OTHER"})
    assert [(each.count, each.sum) for each in wrong] == [(1, 3.0)]
    every = found(one, "gen_ai.client.operation.duration", workload="chat")
    assert sorted(each.count for each in every) == [0, 1]


def test_a_port_that_is_taken_is_a_mistake_of_one_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with metronome() as server:
            outcome = load(tmp_path, server.url, "--metrics-port", str(port), workers=None)
    assert outcome.code == 2 and "Traceback" not in outcome.err
    assert (
        f"tokenswarm: --metrics-port 127.0.0.1:{port}: cannot listen there: Address already in use"
        in outcome.err
    )


def test_a_login_protects_the_metrics_too(tmp_path: Path) -> None:
    locustfile = tmp_path / "guarded.py"
    locustfile.write_text(
        "from flask_login import UserMixin\n"
        "from locust import events\n"
        "from locustfiles.chat import ChatUser\n"
        "@events.init.add_listener\n"
        "def on_init(environment, **_):\n"
        "    environment.web_ui.app.secret_key = 'x'\n"
        "    environment.web_ui.login_manager.user_loader(lambda name: None)\n"
        "    environment.web_ui.auth_args = {'username_password_callback': '/auth'}\n"
    )
    web, port = free_port(), free_port()
    options = ["--web-host", "127.0.0.1", "--web-port", str(web), "--web-login", "--metrics-port", str(port)]
    with (
        metronome() as server,
        LoadRun(
            tmp_path,
            server.url,
            *options,
            workers=None,
            headless=False,
            locustfile=str(locustfile),
            environment={"PYTHONPATH": str(ROOT)},
        ) as running,
    ):
        running.wait_for("Starting web interface")
        assert until(lambda: scrape(f"http://127.0.0.1:{port}/metrics")) == "", "there is no run yet"
        with urlopen(f"http://127.0.0.1:{web}/metrics", timeout=PATIENCE) as answer:
            assert answer.url.rstrip("/").endswith("/login") or "/login?" in answer.url


def until(ask: Callable[[], str]) -> str:
    def answered() -> list[str]:
        try:
            return [ask()]
        except HTTPError:
            raise
        except OSError:
            return []

    return wait_until(answered, "never answers")[0]


def test_a_child_is_run_while_others_go_on(tmp_path: Path) -> None:
    begun, went_on = tmp_path / "begun", tmp_path / "went on"

    def go_on() -> None:
        wait_until(begun.exists, "the child never began", gevent.sleep)
        went_on.touch()

    other = gevent.spawn(go_on)
    code = (
        "import json, os, pathlib, sys, time\n"
        "begun, went_on = map(pathlib.Path, sys.argv[1:])\n"
        "begun.touch()\n"
        "while not went_on.exists(): time.sleep(0.01)\n"
        "print(json.dumps(dict(os.environ))); sys.exit(7)"
    )
    words = [sys.executable, "-c", code, str(begun), str(went_on)]
    done = child_process.run(words, {"ONLY": "this"}, capture=True)
    other.join()
    assert done.code == 7 and json.loads(done.out)["ONLY"] == "this" and "PATH" not in json.loads(done.out)
    assert child_process.run(["sh", "-c", "kill -9 $$"]).code == -9
    with pytest.raises(OSError):
        child_process.run(["/no/such/program"])


def test_an_export_can_be_closed_twice() -> None:
    options = SimpleNamespace(metrics_port=None, otel=False)
    environment = SimpleNamespace(events=Events(), web_ui=None, parsed_options=options, user_classes=[])
    conductor = SimpleNamespace(latest=None)
    export = Export(environment, conductor)  # type: ignore[arg-type]
    export.close()
    export.close()
    with pytest.raises(ValueError):
        run_finished.remove_listener(export._on_run_finished)
