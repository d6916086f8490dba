"""Answers without end: each reaches a bound and fails with that reason, and memory stays flat."""

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.places import ROOT
from loadgen.client import chat_chunks
from loadgen.client.chat_chunks import Reading
from loadgen.client.errors import Ending, How
from loadgen.client.http1 import Answer
from loadgen.client.outcome import Reply, Stamps, make_reply
from loadgen.records.record import COMPLETED, EMPTY, FAILED, UNFINISHED
from tests.support.fakestreams import DONE, ROLE, answer, chunk, usage
from tests.support.waiting import PATIENCE

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def framed(body: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(body), body)


def reply_to(raw: list[bytes], keep_text: bool = True, how: How = How.ANSWERED) -> Reply:
    """What becomes of an answer that comes in these pieces."""
    http, reading = Answer(), Reading(keep_text)
    for place, data in enumerate(raw):
        if not http.feed(data):
            how = How.NOT_HTTP
            break
        for piece in http.pieces if http.is_wanted else []:
            reading.feed(piece, float(place))
        if http.is_wanted:
            http.pieces.clear()
    reading.finish(9.0)
    return make_reply(http, reading, Ending(how), Stamps(0.0, 0.5, 9.0, 9.0, True), "id")


@pytest.mark.parametrize("keep_text", [True, False])
def test_too_many_events_fail_with_that_reason(keep_text: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_chunks, "MOST_EVENTS", 100)
    reply = reply_to([HEAD, *(framed(chunk({"content": "x"})) for _ in range(200))], keep_text)
    assert (reply.status, reply.error) == (FAILED, "error in the stream: more than 100 events in one answer")
    assert len(reply.chunk_times) == 100


def test_too_much_text_and_too_many_calls_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_chunks, "MOST_TEXT", 1000)
    long = reply_to([HEAD, *(framed(chunk({"content": "x" * 99})) for _ in range(20))])
    assert long.status == FAILED and "characters in one answer" in str(long.error)
    call = {"tool_calls": [{"index": number, "function": {"name": "f"}} for number in range(300)]}
    many = reply_to([HEAD, framed(chunk(call))])
    assert many.status == FAILED and "calls of tools in one answer" in str(many.error)


def test_trailers_and_headers_have_an_end() -> None:
    assert reply_to([HEAD, b"0\r\n", *(b"x-%d: 1\r\n" % n for n in range(300))]).status == FAILED
    http = Answer()
    assert all(http.feed(b"x: 1\r\n" if n else b"HTTP/1.1 200 OK\r\n") for n in range(70_000))
    assert http.overlong_head


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
    max_leaves=12,
)
KEYS = "choices usage error object delta index finish_reason content tool_calls completion_tokens text"
keys = st.sampled_from(KEYS.split())
chunk_like = st.recursive(
    json_like,
    lambda inner: st.dictionaries(keys, inner, max_size=4) | st.lists(inner, max_size=3),
    max_leaves=20,
)


@settings(max_examples=300)
@given(parts=st.lists(chunk_like, max_size=6), cuts=st.lists(st.integers(1, 60), max_size=8))
def test_whatever_events_hold_there_is_a_reply(parts: list[object], cuts: list[int]) -> None:
    import json

    body = b"".join(b"data: " + json.dumps(part).encode() + b"\n\n" for part in parts) + DONE
    pieces, start = [], 0
    for cut in cuts:
        pieces.append(body[start : start + cut])
        start += cut
    reply = reply_to([HEAD, *(framed(piece) for piece in [*pieces, body[start:]] if piece), b"0\r\n\r\n"])
    assert reply.status in (COMPLETED, EMPTY, FAILED) and "\n" not in (reply.error or "")


@settings(max_examples=300)
@given(raw=st.lists(st.binary(max_size=80), max_size=8), before=st.sampled_from([b"", HEAD]))
def test_whatever_bytes_come_there_is_a_reply(raw: list[bytes], before: bytes) -> None:
    assert reply_to([before, *raw] if before else raw).status in (COMPLETED, EMPTY, FAILED, UNFINISHED)


@pytest.mark.parametrize("depth", [10, 1000, 100_000])
def test_depth_is_no_danger(depth: int) -> None:
    for body in (b"[" * depth, b'{"choices":' * depth, b'{"error":' * depth + b"1" + b"}" * depth):
        reply = reply_to([HEAD, framed(b"data: " + body + b"\n\n"), framed(DONE), b"0\r\n\r\n"])
        assert reply.status == FAILED


def test_half_characters_in_an_error_are_no_trouble() -> None:
    for said in (b'"half \\ud83d"', b'{"message": "\\udfff"}', b'{"code": 1e999}', b'{"x": "\\ud800"}'):
        reply = reply_to([HEAD, framed(b'data: {"error": ' + said + b"}\n\n"), framed(DONE), b"0\r\n\r\n"])
        assert reply.status == FAILED and reply.error
        reply.error.encode()


FLOOD = """
import socket, sys, threading
from loadgen.client import stream
stream.ONE_HELD, stream.ALL_HELD, stream.SILENT = 2**20, 4 * 2**20, 2**18
from tests.support.fakechat import Chats, client_of
kind, seconds = sys.argv[1], float(sys.argv[2])
head = b"HTTP/1.1 200 OK\\r\\ncontent-type: text/event-stream\\r\\n"
token = b'data: {"choices": [{"index": 0, "delta": {"content": "x"}, "finish_reason": null}]}\\n\\n'
done = token + token.replace(b"null", b'"stop"') + b"data: [DONE]\\n\\n"
first, junk = {
    "junk": (head + b"\\r\\n" + token, b"x" * 65536),
    "junk before text": (head + b"\\r\\n", b"data: " + b"x" * 65536),
    "comments": (head + b"\\r\\n" + done, b": on\\n\\n" * 9000),
    "headers": (head, b"x-y: z\\r\\n" * 8000),
    "one header": (head + b"x-y: ", b"z" * 65536),
    "extension": (head + b"transfer-encoding: chunked\\r\\n\\r\\n5;x=", b"z" * 65536),
    "body": (b"HTTP/1.1 500 Oh\\r\\ncontent-type: text/plain\\r\\n\\r\\n", b"x" * 65536),
    "events": (head + b"\\r\\n" + token, token * 1000),
}[kind]
MOST = 200 * 2**20  # bytes that each connection may be sent: harmless, and more than the bounds
def serve(sock):
    with sock:
        try:
            sock.recv(65536)
            sock.sendall(first)
            for _ in range(MOST // len(junk)):
                sock.sendall(junk)
        except OSError:
            pass
listener = socket.create_server(("127.0.0.1", 0))
def accept():
    while True:
        threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
threading.Thread(target=accept, daemon=True).start()
with client_of(f"http://127.0.0.1:{listener.getsockname()[1]}") as client:
    chats = Chats(client)
    for _ in range(6):
        chats.send(timeout=seconds, keep_text=False)
    replies = chats.wait(seconds + 30)
# not ru_maxrss: that begins with the peak of the process that started this one
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(int(peak.split()[1]) // 1024)
for reply in replies:
    print(reply.status, "|", reply.error)
"""
ENDINGS = {
    "junk": "failed",
    "junk before text": "failed",
    "comments": "completed",
    "headers": "failed",
    "one header": "failed",
    "extension": "failed",
    "body": "failed",
    "events": "failed",
}


@pytest.mark.parametrize("kind", ENDINGS)
def test_an_answer_without_end_fills_no_memory(kind: str) -> None:
    command = [sys.executable, "-c", FLOOD, kind, "20"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    peak, *replies = done.stdout.splitlines()
    assert int(peak) < 400, "MiB"
    assert {reply.split(" | ")[0] for reply in replies} == {ENDINGS[kind]}, replies
    assert "Traceback" not in done.stderr


counts = st.one_of(st.integers(0, 200), st.sampled_from([2**31 - 1, 2**31, 2**63, 10**30, -1, 100, 11, 10]))


@settings(max_examples=300)
@given(asked=st.integers(1, 50), chunks=st.integers(1, 60), said=counts, prompt=counts)
def test_a_count_beyond_what_was_asked_and_streamed_is_not_believed(
    asked: int, chunks: int, said: int, prompt: int
) -> None:
    parts = [*answer(["x"] * chunks), usage(said), DONE]
    parts[-2] = parts[-2].replace(b'"prompt_tokens":3', b'"prompt_tokens":%d' % prompt)
    reply = reply_to([HEAD, framed(ROLE), *map(framed, parts), b"0\r\n\r\n"])
    assert reply.status == COMPLETED
    reply.disbelieve(asked, prompt_most=100)
    assert reply.output_tokens is not None and reply.output_tokens <= max(asked + 1, chunks)
    assert reply.prompt_tokens is None or reply.prompt_tokens <= 100
    if said > max(asked + 1, chunks):
        assert (reply.output_tokens, reply.tokens_from) == (chunks, "chunks")
        assert said >= 2**31 or "not believed" in str(reply.error)
    elif said >= 0:
        assert (reply.output_tokens, reply.tokens_from) == (said, "usage")


def test_the_issue_s_impossible_counts() -> None:
    for said in (100, 2**31 - 1):
        reply = reply_to([HEAD, *map(framed, [*answer(["x"] * 10), usage(said), DONE]), b"0\r\n\r\n"])
        reply.disbelieve(10, 1000)
        assert (reply.output_tokens, reply.tokens_from, reply.chunk_tokens) == (10, "chunks", None)
