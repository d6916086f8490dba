"""The live metrics of a real run, scraped by a real Prometheus: its answers are the records' numbers."""

import contextlib
import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bench.process import metronome
from common.places import ROOT
from common.ports import free_port
from loadgen.live.instruments import INSTRUMENTS, OF_GPU, OF_METRICS
from tests.support.loadrun import LoadRun, Outcome
from tests.support.prometheus import Prometheus, prometheus, samples, scrape
from tests.support.waiting import wait_until
from tests.support.webrun import post

DASHBOARD = ROOT / "deploy/grafana/dashboards/tokenswarm.json"
# Live, a request counts as sent when it is handed to its connection; its record has when it was written.
DELAY = "tokenswarm_dispatch_delay_seconds"
MIX = """
rate: 20
duration: 5
warmup: 0
drain: 10
arrivals: {process: poisson}
workloads:
  chat: {share: 0.6, prompt_tokens: 16, output_tokens: 10}
  long: {share: 0.4, prompt_tokens: 64, output_tokens: 20}
"""


class Watched:
    """A run that was scraped, what Prometheus knows of it, and the last scrape while it ran."""

    def __init__(self, outcome: Outcome, server: Prometheus, span: tuple[float, float]) -> None:
        self.outcome, self.server, self.span = outcome, server, span
        self.records = outcome.records

    def last(self, expression: str) -> float:
        """The highest value that the counter had, summed over its series."""
        return self.server.value(f"sum(max_over_time({expression}[10m]))")


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder, port, bus = tmp_path_factory.mktemp("watched"), free_port(), str(free_port())
    options = ["--metrics-port", str(port), "--master-port", bus, "--master-bind-port", bus]
    with (
        metronome("--ttft", "0.05", "--tpot", "0.01", "--as-vllm") as model,
        prometheus(folder, f"127.0.0.1:{port}") as server,
        LoadRun(folder, model.url, *options, workers=2, scenario=MIX) as running,
    ):
        started = time.time()
        outcome = running.end()
        assert (outcome.folder / "manifest.json").exists(), outcome.err
        yield Watched(outcome, server, (started, time.time()))


def test_the_counters_are_the_records(watched: Watched) -> None:
    records = watched.records
    assert len(records) > 60 and (records["status"] == "completed").all()
    assert watched.last('tokenswarm_requests_total{status="completed"}') == len(records)
    assert watched.last('tokenswarm_requests_total{status!="completed"}') == 0
    assert watched.last("tokenswarm_arrivals_due_total") == watched.outcome.manifest["due"]
    assert watched.last("tokenswarm_output_tokens_total") == records["output_tokens"].sum()
    assert watched.last("tokenswarm_lanes") == 2
    for workload, own in records.groupby("workload"):
        assert watched.last(f'tokenswarm_requests_sent_total{{workload="{workload}"}}') == len(own)


def test_the_distributions_are_the_records(watched: Watched) -> None:
    records = watched.records
    ttft = (records["first_token"] - records["sent"]).to_numpy()
    scheduled = (records["first_token"] - records["due"]).to_numpy()
    delay = (records["sent"] - records["due"]).to_numpy()
    paced = records[records["last_token"] > records["first_token"]]  # else it came in one piece
    tpot = ((paced["last_token"] - paced["first_token"]) / (paced["output_tokens"] - 1)).to_numpy()
    found = {
        "gen_ai_server_time_to_first_token_seconds": ttft,
        "gen_ai_client_operation_time_to_first_chunk_seconds": ttft,
        "gen_ai_server_time_per_output_token_seconds": tpot,
        "gen_ai_client_operation_duration_seconds": (records["last_token"] - records["sent"]).to_numpy(),
        "gen_ai_client_operation_time_per_output_chunk_seconds": np.concatenate(
            [np.diff(times) for times in records["chunk_times"]]
        ),
        "tokenswarm_scheduled_time_to_first_token_seconds": scheduled,
        DELAY: delay,
    }
    # Seen from when it was handed on: between the due time and the writing.
    other_ends = {
        "gen_ai_server_time_to_first_token_seconds": scheduled,
        "gen_ai_client_operation_time_to_first_chunk_seconds": scheduled,
        DELAY: np.zeros(len(delay)),
    }
    for name, values in found.items():
        rows = watched.server.query(f"sum by (le) (max_over_time({name}_bucket[10m]))")
        counted = {float(row["metric"]["le"]): float(row["value"][1]) for row in rows}
        assert len(counted) > 10 and counted[float("inf")] == len(values), name
        other = other_ends.get(name, values)
        for bound, count in counted.items():
            between = sorted([(values <= bound).sum(), (other <= bound).sum()])
            assert between[0] <= count <= between[1], (name, bound)
        total = sorted([values.sum(), other.sum()])
        assert total[0] - 1e-6 <= watched.last(f"{name}_sum") <= total[1] + 1e-6, name
    quantile = watched.server.value(
        "histogram_quantile(0.5, sum by (le) "
        "(max_over_time(gen_ai_server_time_to_first_token_seconds_bucket[10m])))"
    )
    bounds = np.array(OF_METRICS["ttft"].bounds)
    low = bounds[bounds < np.median(ttft)].max()
    assert low <= quantile <= bounds[bounds >= np.median(scheduled)].min(), "to a bucket's width"
    for kind, column in (("input", "prompt_tokens"), ("output", "output_tokens")):
        one = f'gen_ai_client_token_usage_sum{{gen_ai_token_type="{kind}"}}'
        assert watched.last(one) == records[column].sum()


def test_counters_never_go_back(watched: Watched) -> None:
    endings = {"counter": ["_total"], "histogram": ["_bucket", "_count", "_sum"], "gauge": []}
    here = [each for each in INSTRUMENTS if each not in OF_GPU]
    names = [each.prometheus + ending for each in here for ending in endings[each.kind]]
    assert len(names) > 20
    for name in names:
        assert watched.server.query(f"count_over_time({name}[10m]) > 3"), f"{name} was scraped from the start"
        assert not watched.server.query(f"resets({name}[10m]) > 0"), name


def test_labels_say_what_was_run(watched: Watched) -> None:
    (row,) = watched.server.query("max_over_time(tokenswarm_run_info[10m])")
    manifest = watched.outcome.manifest
    assert (
        row["metric"].items()
        >= {
            "run": manifest["run"],
            "variant": manifest["variant"],
            "model": "metronome",
            "scenario": manifest["scenario_name"],
            "scenario_hash": manifest["scenario_hash"],
        }.items()
    )
    labels = watched.server.query("max_over_time(gen_ai_client_operation_duration_seconds_count[10m])")[0][
        "metric"
    ]
    assert labels["gen_ai_operation_name"] == "chat" and labels["gen_ai_request_model"] == "metronome"
    assert labels["gen_ai_provider_name"] == "vllm" and labels["server_address"] == "127.0.0.1"
    assert manifest["host"].endswith(f":{labels['server_port']}")


def test_the_final_verdict_is_the_judge_s(watched: Watched) -> None:
    verdict = watched.outcome.summary["verdict"]
    last = watched.server.query("last_over_time(tokenswarm_verdict[10m]) == 1")
    assert [row["metric"]["verdict"] for row in last] == [verdict]
    state = watched.server.query("last_over_time(tokenswarm_run_state[10m]) == 1")
    assert [row["metric"]["state"] for row in state] == ["finished"]


def test_every_panel_of_the_dashboard_shows_something(watched: Watched) -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    panels = {panel["title"]: panel["targets"] for panel in dashboard["panels"]}
    assert len(panels) == len(dashboard["panels"]) > 10
    empty = []
    for title, targets in panels.items():
        for target in targets:
            expression = target["expr"].replace("$__rate_interval", "10s")
            expression = re.sub(r"\$\w+", ".*", expression)
            if not watched.server.range(expression, *watched.span):
                empty.append((title, expression))
    assert not empty


def test_the_web_ui_has_them_too_and_keeps_the_last_run(tmp_path: Path) -> None:
    web = free_port()
    options = ["--web-host", "127.0.0.1", "--web-port", str(web), "--duration", "2"]
    with (
        metronome("--ttft", "0.02", "--tpot", "0.005") as model,
        LoadRun(tmp_path, model.url, *options, workers=None, headless=False) as running,
    ):
        running.wait_for("Starting web interface")
        address = f"http://127.0.0.1:{web}"
        _until(lambda: "tokenswarm" not in scrape(f"{address}/metrics"))
        assert json.loads(post(address, "/swarm", b"user_count=1&spawn_rate=1")[1])["success"]
        _until(lambda: 'state="finished",variant="unnamed"} 1.0' in scrape(f"{address}/metrics"))
        found = samples(scrape(f"{address}/metrics"))
        counts = [value for (name, labels), value in found.items() if name == "tokenswarm_requests_total"]
        assert sum(counts) == len(pd.read_parquet(running.folder / "requests.parquet")) > 10


def _until(done: Callable[[], bool]) -> None:
    def answered() -> bool:
        with contextlib.suppress(OSError):
            return done()
        return False

    wait_until(answered, "never so")
