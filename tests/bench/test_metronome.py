"""The metronome: what it says, when its timetable wants it said, and its log of the truth."""

import http.client
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from sseclient import SSEClient

from bench import wire
from bench.process import Child, metronome
from bench.service import Paced, Slots
from bench.timetable import Timetable
from bench.truth import Truth
from common.places import ROOT
from common.usage import UsageError
from tests.support.waiting import PATIENCE, wait_until


@pytest.fixture(scope="module")
def server() -> Iterator[Child]:
    with metronome("--ttft", "0.02", "--tpot", "0.002", "--as-vllm") as child:
        yield child


def call(url: str, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> tuple:
    """Status and body of one request."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=PATIENCE)
    data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    connection.request(method, path, data, headers or {})
    response = connection.getresponse()
    answer = response.status, response.read()
    connection.close()
    return answer


def ask(url: str, tokens: int, ident: str = "", **more: Any) -> list[str]:
    """The data of the events of one streamed chat."""
    message = {"role": "user", "content": f"count for {ident or 'me'} please"}
    body = {"model": "metronome", "messages": [message], "max_tokens": tokens, "stream": True, **more}
    status, data = call(url, "POST", "/v1/chat/completions", body, {"X-Request-Id": ident} if ident else None)
    assert status == 200, data
    return [event.data for event in SSEClient(iter([data])).events()]


def samples(url: str) -> dict[str, float]:
    """The exported values by name, without histogram buckets."""
    text = call(url, "GET", "/metrics")[1].decode()
    found = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {sample.name: sample.value for sample in found if sample.labels.get("finished_reason") != "abort"}


def test_a_chat_stream_looks_like_vllms(server: Child) -> None:
    events = ask(server.url, 3, "a1", stream_options={"include_usage": True})
    assert events[-1] == "[DONE]"
    role, *tokens, usage = [json.loads(event) for event in events[:-1]]
    assert role["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert [token["choices"][0]["delta"]["content"] for token in tokens] == [" t0000", " t0001", " t0002"]
    assert [token["choices"][0]["finish_reason"] for token in tokens] == [None, None, "length"]
    assert all("usage" not in token for token in tokens)
    assert usage["choices"] == []
    assert usage["usage"] == {"prompt_tokens": 4, "total_tokens": 7, "completion_tokens": 3}
    assert role["id"] == "chatcmpl-a1"


def test_continuous_usage_counts_up(server: Child) -> None:
    events = ask(server.url, 4, stream_options={"include_usage": True, "continuous_usage_stats": True})
    counts = [json.loads(event)["usage"]["completion_tokens"] for event in events[:-1]]
    assert counts == [0, 1, 2, 3, 4, 4]


def test_no_usage_unless_asked(server: Child) -> None:
    assert all("usage" not in event for event in ask(server.url, 2))


def test_completions_and_whole_answers(server: Child) -> None:
    body = {"model": "metronome", "prompt": "one two", "max_tokens": 2}
    status, data = call(server.url, "POST", "/v1/completions", body)
    whole = json.loads(data)
    assert (status, whole["choices"][0]["text"], whole["usage"]["total_tokens"]) == (200, " t0000 t0001", 4)
    data = call(server.url, "POST", "/v1/completions", body | {"stream": True})[1]
    events = [event.data for event in SSEClient(iter([data])).events()]
    assert [json.loads(event)["choices"][0]["text"] for event in events[:-1]] == [" t0000", " t0001"]


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        ({"model": "other", "messages": []}, 404, "The model `other` does not exist"),
        ({"model": "metronome"}, 400, "messages"),
        ({"model": "metronome", "messages": [], "max_tokens": -1}, 400, "at least 1"),
        ({"model": "metronome", "messages": [], "max_tokens": 40_000}, 400, "maximum context length"),
        (b"{", 400, "unexpected end"),
    ],
)
def test_bad_requests_get_vllms_error_body(server: Child, body: Any, status: int, text: str) -> None:
    got, data = call(server.url, "POST", "/v1/chat/completions", body)
    error = json.loads(data)["error"]
    assert (got, error["code"]) == (status, status)
    assert text in error["message"]


def test_side_routes(server: Child) -> None:
    assert call(server.url, "GET", "/health")[0] == 200
    assert json.loads(call(server.url, "GET", "/v1/models")[1])["data"][0]["id"] == "metronome"
    assert json.loads(call(server.url, "POST", "/tokenize", {"prompt": "a b  c"})[1])["count"] == 3
    assert "version" in json.loads(call(server.url, "GET", "/version")[1])
    assert call(server.url, "GET", "/v1/chat/completions")[0] == 405
    assert call(server.url, "GET", "/nothing")[0] == 404


def test_without_as_vllm_there_is_no_version() -> None:
    with metronome() as child:
        assert call(child.url, "GET", "/version")[0] == 404


def test_truth_and_counters_agree_with_what_was_asked() -> None:
    with metronome("--ttft", "0.02", "--tpot", "0.002") as child:
        lengths = [1, 2, 17, 40]
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda tokens: ask(child.url, tokens, f"r{tokens}"), lengths))
        exported = samples(child.url)
        truth = child.stop()
    assert exported["vllm:generation_tokens_total"] == sum(lengths)
    assert exported["vllm:prompt_tokens_total"] == 4 * len(lengths)
    assert exported["vllm:request_success_total"] == len(lengths)
    assert exported["vllm:inter_token_latency_seconds_count"] == sum(lengths) - len(lengths)
    assert exported["vllm:num_requests_running"] == exported["vllm:num_requests_waiting"] == 0
    assert sorted(truth.ident) == sorted(f"r{tokens}" for tokens in lengths)
    counts = dict(zip(truth.ident, np.diff(truth.offsets), strict=True))
    assert counts == {f"r{tokens}": tokens for tokens in lengths}
    assert (truth.start == truth.read).all() and (np.diff(truth.read) >= 0).all()
    assert truth.words[0].startswith("count for r")
    assert (truth.lateness() >= 0).all()  # late perhaps, early never
    firsts = truth.sent[truth.offsets[:-1]] - truth.read
    assert exported["vllm:time_to_first_token_seconds_sum"] == pytest.approx(firsts.sum())


def test_truth_can_be_fetched_while_it_runs(server: Child, tmp_path: Path) -> None:
    ask(server.url, 5, "fetched")
    file = tmp_path / "truth.npz"
    file.write_bytes(call(server.url, "GET", "/truth")[1])
    assert "fetched" in Truth.load(file).ident


def test_slots_queue_first_come_first_served() -> None:
    with metronome("--slots", "1", "--ttft", "0.05", "--tpot", "0") as child:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda number: ask(child.url, 2, f"q{number}"), range(4)))
        truth = child.stop()
    assert (np.diff(truth.start) >= 0.05).all()
    assert (truth.start[1:] >= truth.sent[truth.offsets[1:-1] - 1]).all()  # after the one before had ended


def test_capacity_spaces_the_starts() -> None:
    with metronome("--capacity", "50", "--ttft", "0", "--tpot", "0") as child:
        with ThreadPoolExecutor(6) as pool:
            list(pool.map(lambda number: ask(child.url, 2, f"q{number}"), range(6)))
        truth = child.stop()
    assert (np.diff(truth.start) >= 0.02 - 1e-9).all()
    assert (truth.sent[truth.offsets[:-1]] >= truth.start).all()


def test_a_client_that_leaves_frees_its_slot() -> None:
    with metronome("--slots", "1", "--ttft", "0.01", "--tpot", "0.05") as child:
        connection = http.client.HTTPConnection(urlsplit(child.url).netloc, timeout=PATIENCE)
        body = json.dumps({"prompt": "x", "max_tokens": 10_000, "stream": True})
        connection.request("POST", "/v1/completions", body)
        connection.getresponse().read(10)
        connection.close()
        assert ask(child.url, 1)[-1] == "[DONE]"
        truth = child.stop()
    assert truth.asked.tolist() == [10_000, 1]
    assert np.diff(truth.offsets)[0] < 10_000


def test_user_errors_are_one_line(server: Child) -> None:
    with pytest.raises(UsageError, match="--slots: must be more than 0"), metronome("--slots", "0"):
        pass
    port = str(urlsplit(server.url).port)
    command = [sys.executable, "-m", "tokenswarm", "bench", "metronome", "--port", port]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE)
    assert run.returncode == 2
    assert run.stderr.count("\n") == 1 and "Address already in use" in run.stderr


def test_truth_load_names_a_bad_file(tmp_path: Path) -> None:
    (tmp_path / "bad.npz").write_text("no")
    with pytest.raises(UsageError, match=r"bad\.npz: not a log of the metronome"):
        Truth.load(tmp_path / "bad.npz")


@given(
    tokens=st.integers(1, 12),
    chat=st.booleans(),
    usage=st.booleans(),
    continuous=st.booleans(),
    name=st.text(max_size=8),
)
def test_frames_are_whole_chunks(tokens: int, chat: bool, usage: bool, continuous: bool, name: str) -> None:
    asked = wire.Ask(name, name, 1, chat, 3, tokens, True, usage, usage and continuous)
    frames = wire.Frames(asked)
    data, body = b"".join(frames.chunk(index, 1) for index in range(tokens)), b""
    while data:
        size, _, rest = data.partition(b"\r\n")
        length = int(size, 16)
        body += rest[:length]
        assert rest[length : length + 2] == b"\r\n"
        data = rest[length + 2 :]
    events = [event.data for event in SSEClient(iter([body])).events()]
    assert len(events) == chat + tokens + usage + 1
    assert all(json.loads(event)["model"] == name for event in events[:-1])


@given(gaps=st.lists(st.floats(0, 2), min_size=1, max_size=40), rate=st.floats(0.5, 5))
def test_paced_starts_keep_their_distance(gaps: list[float], rate: float) -> None:
    service: Paced[int] = Paced(rate)
    arrivals = np.cumsum(gaps)
    starts = [service.arrive(number, now) for number, now in enumerate(arrivals)]
    assert all(start >= now for start, now in zip(starts, arrivals, strict=True) if start is not None)
    assert (np.diff(np.array(starts, dtype=float)) >= 1 / rate - 1e-9).all()
    last = float(arrivals[-1])
    assert service.waiting(last) == sum(start > last for start in starts if start is not None)


@given(slots=st.integers(1, 4), leaving=st.lists(st.integers(0, 30), max_size=40))
def test_slots_never_overfill_and_keep_the_order(slots: int, leaving: list[int]) -> None:
    service: Slots[int] = Slots(slots)
    inside = {job for job in range(20) if service.arrive(job, 0.0) is not None}
    queue = [job for job in range(20) if job not in inside]
    for job in leaving:
        if job not in inside and job not in queue:
            continue
        successor = service.leave(job)
        if job in queue:
            queue.remove(job)
            assert successor is None
            continue
        inside.remove(job)
        assert successor == (queue.pop(0) if queue else None)
        inside |= {successor} if successor is not None else set()
        assert len(inside) <= slots
        assert service.waiting(0.0) == len(queue)


def test_a_benchmark_that_is_told_to_stop_leaves_nothing_running() -> None:
    words = [sys.executable, "-m", "tokenswarm", "bench", "accuracy", "--rates", "1", "--seconds", "60"]
    program = psutil.Popen(words, cwd=ROOT, stderr=subprocess.DEVNULL)
    family: list[psutil.Process] = []

    def complete() -> bool:
        """The metronome, Locust's master, its worker."""
        assert program.poll() is None
        family[:] = program.children(recursive=True)
        return len(family) >= 3

    wait_until(complete, "never so many")
    program.terminate()
    assert program.wait(PATIENCE) == 128 + signal.SIGTERM
    assert psutil.wait_procs(family, timeout=PATIENCE)[1] == []


def waits(truth: Truth) -> list[list[float]]:
    """Seconds from the start at which each answer's tokens left."""
    pieces = np.split(truth.sent, truth.offsets[1:-1])
    return [list(times - start) for times, start in zip(pieces, truth.start, strict=True)]


@given(
    first=st.integers(1, 12),
    chunk=st.integers(1, 6),
    asked=st.integers(1, 40),
    stall=st.sampled_from([0.0, 1.0]),
)
def test_a_timetables_chunks_hold_every_token_once_and_in_order(
    first: int, chunk: int, asked: int, stall: float
) -> None:
    table = Timetable(1.0, 0.5, chunk=chunk, first_chunk=first, stall=stall)
    due, index, late, number = [], 0, 0.0, 0
    while index < asked:
        if number and index * 2 >= asked:
            late = stall
        size = table.size(index, asked)
        due += [1.0 + number * chunk * 0.5 + late] * size
        index, number = index + size, number + 1
    assert index == asked
    assert list(table.offsets(np.arange(asked), np.full(asked, asked))) == pytest.approx(due)


@given(share=st.sampled_from([0.05, 0.1, 0.25, 0.5, 1.0]), requests=st.integers(0, 400))
def test_a_share_of_the_requests_fails(share: float, requests: int) -> None:
    failed = sum(Timetable(0, 0, fail=share).fails(number) for number in range(requests))
    assert failed == int(requests * share + 1e-9)


def test_chunks_of_several_tokens_and_a_stall() -> None:
    traits = ("--ttft", "0.01", "--tpot", "0.002", "--first-chunk", "3", "--chunk", "2", "--stall", "0.2")
    with metronome(*traits) as child:
        events = ask(child.url, 9)
        truth = child.stop()
    texts = [json.loads(data)["choices"][0]["delta"].get("content") for data in events[1:-1]]
    assert [len(text.split()) for text in texts] == [3, 2, 2, 2]
    assert truth.lateness().min() > -1e-6  # not before its time
    assert waits(truth)[0][5] >= 0.2  # the second half came late


def test_refused_cut_and_a_role_chunk_of_its_own() -> None:
    late = str(10 * PATIENCE)
    with metronome("--ttft", late, "--tpot", "0.001", "--fail", "0.5", "--role-first") as child:
        connection = http.client.HTTPConnection(urlsplit(child.url).netloc, timeout=PATIENCE)
        body = {"model": "metronome", "messages": [{"role": "user", "content": "a"}], "stream": True}
        connection.request("POST", "/v1/chat/completions", json.dumps(body))
        role = connection.getresponse().readline()
        assert b'"role":"assistant"' in role
        connection.close()
        assert call(child.url, "POST", "/v1/chat/completions", body)[0] == 500
    with metronome("--ttft", "0.01", "--tpot", "0.001", "--cut", "1") as child:
        with pytest.raises(http.client.IncompleteRead):
            ask(child.url, 8)
        assert len(child.stop().sent) == 4
