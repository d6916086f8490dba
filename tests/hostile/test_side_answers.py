"""Whatever a server answers to the master's questions: one line or a figure, within a time and a size."""

import contextlib
import json
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.places import ROOT
from common.usage import UsageError
from loadgen.master import scrape
from loadgen.master.server_info import Served, Server
from tests.support.waiting import PATIENCE

ODD = [None, True, -1, 0, 1.5, 2**63, "4096", "x", [], {}, [[1]], {"a": 1}]
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=10,
)


def http(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    lines = [f"HTTP/1.1 {status}", f"content-length: {len(body)}", "connection: close", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


@contextlib.contextmanager
def serving(answer: Callable[[socket.socket, str], None]) -> Iterator[str]:
    """The URL of a server that has `answer` deal with each connection, given the request's path."""
    listener = socket.create_server(("127.0.0.1", 0))

    def one(sock: socket.socket) -> None:
        with sock, contextlib.suppress(OSError, IndexError):
            asked = sock.recv(65536)
            answer(sock, asked.split()[1].decode(errors="replace"))

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=one, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def always(raw: bytes) -> Callable[[socket.socket, str], None]:
    return lambda sock, path: sock.sendall(raw)


def described(body: Any, wanted: str | None = None) -> Served | str:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    with serving(always(http(raw))) as url:
        try:
            return Server(url, {}, True).describe(wanted)
        except UsageError as error:
            said = str(error)
            assert "\n" not in said and len(said) < 4000
            return said


@pytest.mark.parametrize("limit", ODD)
def test_a_limit_that_is_none_is_not_taken(limit: Any) -> None:
    found = described({"data": [{"id": "m", "max_model_len": limit}]})
    assert found == Served("m", None, None, listed=("m",))


@settings(max_examples=30)
@given(data=values)
def test_whatever_the_list_of_models_is_it_is_one_line(data: Any) -> None:
    for body in (data, {"data": data}, {"data": [{"id": data}]}):
        described(body)


@pytest.mark.parametrize(
    "raw",
    [
        b"[" * 100_000,
        b'{"data":' * 50_000,
        b"\xff\xfe",
        b"",
        b"{",
        b'{"data": [{"id": "\\ud800"}]}',
        b"1" * 5000,
    ],
)
def test_what_is_no_list_of_models_is_said(raw: bytes) -> None:
    assert isinstance(described(raw), str)


def test_ten_thousand_models_are_summed_up() -> None:
    said = described({"data": [{"id": f"model-{number}"} for number in range(10_000)]})
    assert isinstance(said, str) and "and 9,990 more" in said and len(said) < 400


def drip(sock: socket.socket, path: str) -> None:
    sock.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
    for _ in range(2000):
        time.sleep(0.05)
        sock.sendall(b" ")


def drip_headers(sock: socket.socket, path: str) -> None:
    sock.sendall(b"HTTP/1.1 200 OK\r\n")
    for number in range(2000):
        time.sleep(0.05)
        sock.sendall(b"x-%d: 1\r\n" % number)


def silent(sock: socket.socket, path: str) -> None:
    time.sleep(100)


IN_LOCUSTS_PROCESS = """
from gevent import monkey
monkey.patch_all()
import sys, time
from common.usage import UsageError
from loadgen.master import fetch
from loadgen.master.server_info import Server
fetch.WITHIN = 0.4
for url in sys.argv[1:]:
    began = time.monotonic()
    try:
        Server(url, {}, False).describe(None)
    except UsageError as error:
        print(f"{time.monotonic() - began < 60} {error}")
"""


def test_a_slow_answer_ends_after_its_time() -> None:
    with contextlib.ExitStack() as stack:
        urls = [stack.enter_context(serving(each)) for each in (drip, drip_headers, silent)]
        urls += [url.replace("http", "https") for url in urls]
        command = [sys.executable, "-c", IN_LOCUSTS_PROCESS, *urls]
        said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=PATIENCE)
    lines = said.stdout.splitlines()
    assert len(lines) == 6 and all(line.startswith("True http") for line in lines), lines
    assert sum("no answer within 0.4 s" in line for line in lines) >= 3, lines


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate", "zstd"])
def test_a_packed_answer_is_not_unpacked(encoding: str) -> None:
    raw = http(b"x" * 1000, f"content-encoding: {encoding}")
    with serving(always(raw)) as url, pytest.raises(UsageError, match=f"is compressed \\({encoding}\\)"):
        Server(url, {}, True).describe(None)


def test_an_answer_that_is_too_large_is_not_read_to_its_end() -> None:
    def large(sock: socket.socket, path: str) -> None:
        sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        for _ in range(12):
            sock.sendall(bytes(2**20))

    with serving(large) as url, pytest.raises(UsageError, match="larger than 8 MiB"):
        Server(url, {}, True).describe(None)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"7",
        b'{"count": "3"}',
        b'{"count": 1e9}',
        b'{"count": -1}',
        b'{"count": [1]}',
        b"<html>",
        b"[" * 99_999,
    ]
    + [json.dumps({"count": 3, "token_strs": odd}).encode() for odd in (7, "Please", [7], [None], {"a": 1})],
)
def test_odd_answers_about_tokens_leave_an_estimate(body: bytes) -> None:
    with serving(always(http(body))) as url:
        assert Server(url, {}, True).vocabulary("m", None).how == "estimate"


def test_questions_about_tokens_have_a_time_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loadgen.master.server_info.VOCABULARY_WITHIN", 0.2)

    def slow(sock: socket.socket, path: str) -> None:
        time.sleep(0.15)
        sock.sendall(http(b'{"count": 3}'))

    with serving(slow) as url, pytest.raises(UsageError, match="--tokenizer DIR"):
        Server(url, {}, True).vocabulary("m", None)


def scraped(text: str) -> scrape.Scraper:
    with serving(always(http(text.encode()))) as url:
        scraper = scrape.Scraper(Server(url, {}, True), lambda: 1.0)
        scraper.take()
        return scraper


def test_of_many_series_only_those_of_use_are_kept(tmp_path: Any, caplog: pytest.LogCaptureFixture) -> None:
    other = "".join(f'vllm:other_{number}{{a="b"}} 1\n' for number in range(20_000))
    scraper = scraped(other + 'vllm:num_requests_running{engine="0"} 3\n' + other)
    scraper.write(tmp_path / "m.parquet")
    assert scraper.latest == {"running": 3.0} and not caplog.records
    used = "".join(f'vllm:num_requests_running{{engine="{number}"}} 1\n' for number in range(20_000))
    scraper = scraped(used)
    scraper.write(tmp_path / "m.parquet")
    assert [each.message for each in caplog.records] == [
        "the server's /metrics are cut: they hold more than 16 MiB or 5,000 series of use"
    ]


@settings(max_examples=60)
@given(tail=st.text(max_size=60), value=st.text(max_size=9))
def test_whatever_metrics_hold_nothing_escapes(
    tail: str, value: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    lines = f"vllm:num_requests_running{{{tail}}} {value}\nvllm:num_requests_waiting {value}\n{tail}\n"
    taken = iter([(lines, False), ("vllm:num_requests_running 3\n", False)])

    class Given(Server):
        def metrics(self, place: int = 0) -> tuple[str, bool] | None:
            return next(taken)

    scraper = scrape.Scraper(Given("http://127.0.0.1:1", {}, True), lambda: 1.0)
    scraper.take()
    scraper.take()
    scraper.write(tmp_path_factory.mktemp("m") / "m.parquet")


def test_reports_read_nothing_that_is_not_kept() -> None:
    named = {
        name
        for path in (ROOT / "reports").rglob("*.py")
        for name in re.findall(r'"vllm:(\w+)"', path.read_text(encoding="utf-8"))
    }
    missing = {name for name in named if not scrape.LINE.match(f"vllm:{name} 1")}
    assert len(named) > 12 and not missing
