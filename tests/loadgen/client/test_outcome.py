"""A reply says the same as one made with sseclient-py and json, wherever the body is cut."""

import itertools
import json
import time
from array import array
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sseclient import SSEClient

from loadgen.client.chat_chunks import Reading
from loadgen.client.errors import Ending, How, tidy
from loadgen.client.http1 import Answer
from loadgen.client.outcome import Reply, Stamps, make_reply
from loadgen.records.record import COMPLETED, EMPTY, FAILED, UNFINISHED
from tests.support.fakestreams import BODIES, DONE, ERROR, ROLE, WORDS, answer, chunk, event, usage

_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_WHOLE = {name: b"".join(pieces) for name, pieces in BODIES.items()}
_SMALL = sorted(set(BODIES) - {"megabyte-event"})  # cut in a test of its own: here it would only be slow
_TEXT = ("content", "reasoning", "reasoning_content", "tool_calls")


@dataclass
class Reference:
    """What sseclient-py and json make of a body: one entry of `texts` for each chunk with text."""

    texts: list[str] = field(default_factory=list)
    chunks: int = 0
    done: bool = False
    finish_reason: str | None = None
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    error: bool = False

    @classmethod
    def of(cls, body: bytes) -> "Reference":
        found = cls()
        for each in SSEClient(iter([body])).events():
            if each.data == "[DONE]":
                found.done = True
                break
            try:
                data = json.loads(each.data)
            except ValueError:
                continue
            if isinstance(data, dict):
                found._add(data)
        return found

    def _add(self, data: dict[str, Any]) -> None:
        self.error = self.error or "error" in data
        for choice in data.get("choices", []):
            self.chunks += 1
            self.finish_reason = choice["finish_reason"] or self.finish_reason
            if any(choice["delta"].get(name) for name in _TEXT):
                self.texts.append(choice["delta"].get("content") or "")
        if data.get("usage"):
            self.prompt_tokens = data["usage"]["prompt_tokens"]
            self.output_tokens = data["usage"]["completion_tokens"]

    @property
    def finished(self) -> bool:
        return bool(self.chunks) and (self.done or self.finish_reason is not None)


def reply_to(pieces: list[bytes], how: How = How.ANSWERED) -> Reply:
    """The reply to a body in these pieces, which come at the times 1, 2, …"""
    http, reading = Answer(), Reading(keep_text=True)
    assert http.feed(_HEAD)
    for number, piece in enumerate(pieces, 1):
        reading.feed(piece, float(number))
    reading.finish(float(len(pieces)))
    moments = Stamps(0.0, 0.5, float(len(pieces)), float(len(pieces)) + 1, True)
    return make_reply(http, reading, Ending(how), moments)


def agree(reply: Reply, body: bytes, otherwise: str = FAILED) -> None:
    """`otherwise`: the status where the stream has not ended as the protocol says."""
    expected = Reference.of(body)
    assert reply.text == "".join(expected.texts)
    assert len(reply.chunk_times) == len(expected.texts)
    assert reply.finish_reason == expected.finish_reason
    assert reply.prompt_tokens == expected.prompt_tokens
    if expected.output_tokens is None:
        assert (reply.output_tokens, reply.tokens_from) == (len(expected.texts), "chunks")
    else:
        assert (reply.output_tokens, reply.tokens_from) == (expected.output_tokens, "usage")
    if expected.error:
        assert reply.status == FAILED
    else:
        whole = COMPLETED if reply.chunk_times else EMPTY
        assert reply.status == (whole if expected.finished else otherwise)
    assert reply.first_token == (reply.chunk_times[0] if reply.chunk_times else None)
    assert reply.last_token == (reply.chunk_times[-1] if reply.chunk_times else None)


def cut(body: bytes, places: list[int]) -> list[bytes]:
    bounds = [0, *sorted(place % (len(body) + 1) for place in places), len(body)]
    return [body[start:end] for start, end in itertools.pairwise(bounds)]


@pytest.mark.parametrize("name", sorted(BODIES))
def test_pieces_as_the_server_writes_them(name: str) -> None:
    agree(reply_to(BODIES[name]), _WHOLE[name])


@pytest.mark.parametrize("name", _SMALL)
@pytest.mark.parametrize("size", [1, 2, 7, 10_000])
def test_pieces_of_one_size(name: str, size: int) -> None:
    body = _WHOLE[name]
    agree(reply_to([body[start : start + size] for start in range(0, len(body), size)]), body)


@pytest.mark.parametrize("name", _SMALL)
@settings(max_examples=40)
@given(places=st.lists(st.integers(0, 4000), max_size=12))
def test_any_cut(name: str, places: list[int]) -> None:
    agree(reply_to(cut(_WHOLE[name], places)), _WHOLE[name])


@pytest.mark.parametrize("name", _SMALL)
@settings(max_examples=40)
@given(length=st.integers(0, 4000), places=st.lists(st.integers(0, 4000), max_size=3))
def test_what_came_before_we_gave_up(name: str, length: int, places: list[int]) -> None:
    body = _WHOLE[name][:length].decode(errors="ignore").encode()  # the reference fails on half characters
    agree(reply_to(cut(body, places), How.ABANDONED), body, otherwise=UNFINISHED)


def test_a_megabyte_in_pieces_of_a_read() -> None:
    body = _WHOLE["megabyte-event"]
    agree(reply_to([body[start : start + 65536] for start in range(0, len(body), 65536)]), body)


def test_an_event_has_the_stamp_of_the_piece_that_completes_it() -> None:
    hello, world = chunk({"content": "Hello"}), chunk({"content": " world"}, "stop")
    reply = reply_to([ROLE + hello[:40], hello[40:] + world[:9], world[9:-1], world[-1:], DONE])
    assert list(reply.chunk_times) == [2.0, 4.0]
    assert (reply.first_token, reply.last_token, reply.end) == (2.0, 4.0, 5.0)


def test_tokens_of_each_chunk() -> None:
    reply = reply_to(BODIES["multi-token"])
    assert (list(reply.chunk_tokens or ()), reply.output_tokens) == ([3, 2, 1], 6)
    assert reply_to(BODIES["plain"]).chunk_tokens is None


def test_tokens_without_text_count_with_the_next_text() -> None:
    half = [chunk({"content": "a"}, tokens=1), chunk({"content": ""}, tokens=2)]
    reply = reply_to([ROLE, *half, chunk({"content": "b"}, tokens=3), chunk({}, "stop", tokens=4), DONE])
    assert (list(reply.chunk_tokens or ()), reply.output_tokens) == ([1, 2], 4)


def test_the_running_usage_tells_the_tokens_of_a_stream_that_was_cut() -> None:
    reply = reply_to(BODIES["multi-token"][:3], How.ABANDONED)
    assert (reply.status, reply.output_tokens, reply.tokens_from) == (UNFINISHED, 5, "usage")


def test_tool_calls_are_put_together() -> None:
    reply = reply_to(BODIES["tool-calls"])
    function = {"name": "weather", "arguments": '{"city":"Ulm"}'}
    assert reply.tool_calls == [{"id": "call-1", "type": "function", "function": function}]
    assert (len(reply.chunk_times), reply.text) == (3, "")


def test_text_completions() -> None:
    texts = [{"index": 0, "text": text, "finish_reason": None} for text in ("Hello", " world", "")]
    texts[2]["finish_reason"] = "stop"
    reply = reply_to([*(event({"choices": [each]}) for each in texts), DONE])
    assert (reply.status, reply.text, list(reply.chunk_times)) == (COMPLETED, "Hello world", [1.0, 2.0])


def test_of_several_choices_one_that_finishes_is_not_the_end() -> None:
    first = event({"choices": [{"index": 0, "delta": {"content": "a"}, "finish_reason": "stop"}]})
    second = event({"choices": [{"index": 1, "delta": {"content": "b"}, "finish_reason": None}]})
    assert reply_to([second, first]).status == FAILED
    assert reply_to([second, first, DONE]).status == COMPLETED


def test_what_follows_done_is_not_read() -> None:
    assert reply_to([*BODIES["plain"], chunk({"content": "more"}), ERROR]).text == "".join(WORDS)


@pytest.mark.parametrize(
    "data", ["17", "[]", "null", '{"choices": 3}', '{"choices": [3]}', '{"choices": [{"delta": "x"}]}', "{"]
)
def test_a_malformed_event_is_passed_over_and_recorded(data: str) -> None:
    words = answer(WORDS)
    reply = reply_to([*words[:3], f"data: {data}\n\n".encode(), *words[3:], usage(5), DONE])
    assert (reply.status, reply.text, reply.output_tokens) == (COMPLETED, "".join(WORDS), 5)
    assert reply.error == "an event in the stream was malformed"


def test_bytes_that_are_not_utf_8_are_malformed() -> None:
    for bad in (b'data: {"a": "\xff"}\n\n', b'data: {"a": "\xff"}\r\n\r\n'):
        assert reply_to([*BODIES["plain"][:3], bad, *BODIES["plain"][3:]]).error is not None


def test_json_that_only_pythons_own_parser_takes() -> None:
    odd = b'data: {"choices":[{"index":0,"delta":{"content":"x"},"logprob":NaN,"finish_reason":"stop"}]}\n\n'
    assert (reply_to([odd]).status, reply_to([odd]).error) == (COMPLETED, None)


@pytest.mark.parametrize(
    "said",
    [
        {"error": {"message": "the engine died", "type": "InternalServerError", "code": 500}},
        {"object": "error", "message": "the engine died", "type": "InternalServerError", "code": 500},
    ],
)
def test_both_shapes_of_an_error_event(said: dict[str, Any]) -> None:
    reply = reply_to([*answer(WORDS)[:3], event(said), DONE])
    assert (reply.status, reply.error) == (FAILED, "error in the stream: the engine died (code 500)")


def test_an_error_event_that_is_only_a_text() -> None:
    assert reply_to([event({"error": "out of memory"})]).error == "error in the stream: out of memory"


def test_an_error_that_is_null_is_none() -> None:
    pieces = [
        event({"choices": [{"index": 0, "delta": {"content": "a"}, "finish_reason": "stop"}], "error": None})
    ]
    assert (reply_to([*pieces, DONE]).status, reply_to(pieces).error) == (COMPLETED, None)


def test_an_empty_finish_reason_is_none() -> None:
    assert reply_to([chunk({"content": "a"}, "")], How.ANSWERED).status == FAILED


@pytest.mark.parametrize("count", [5_000_000_000, -1, True, "7", 2.0])
def test_a_count_that_is_none_is_not_taken(count: Any) -> None:
    usage = {"prompt_tokens": count, "completion_tokens": count}
    reply = reply_to([*answer(WORDS), event({"choices": [], "usage": usage}), DONE])
    assert (reply.prompt_tokens, reply.output_tokens, reply.tokens_from) == (None, 5, "chunks")


def test_half_a_surrogate_becomes_the_replacement_character() -> None:
    half = (
        rb'data: {"choices":[{"index":0,"delta":{"content":"a\ud83d"},"finish_reason":"s\udc00"}]}' + b"\n\n"
    )
    whole = rb'data: {"choices":[{"index":0,"delta":{"content":"\ud83d\ude00","n":NaN}}]}' + b"\n\n"
    reply = reply_to([whole, half, DONE])
    assert (reply.text, reply.finish_reason) == ("\U0001f600a\ufffd", "s\ufffd")


def test_an_event_that_is_nested_without_end_is_malformed() -> None:
    deep = b"data: " + b'{"a":' * 100_000 + b"\n\n"
    reply = reply_to([*answer(WORDS), deep, usage(5), DONE])
    assert (reply.status, reply.error) == (COMPLETED, "an event in the stream was malformed")


def test_tool_calls_whose_indexes_are_no_numbers_are_malformed() -> None:
    calls = [chunk({"tool_calls": [{"index": index, "function": {"name": "f"}}]}) for index in (0, "b")]
    reply = reply_to([ROLE, *calls, chunk({}, "tool_calls"), usage(2), DONE])
    assert reply.tool_calls is not None and len(reply.tool_calls) == 1
    assert (reply.status, reply.error) == (COMPLETED, "an event in the stream was malformed")


def test_counts_of_one_choice_among_several_are_not_the_answers() -> None:
    def said(index: int, tokens: int) -> bytes:
        choice = {"index": index, "delta": {"content": "a"}, "finish_reason": None}
        return event({"choices": [choice], "usage": {"prompt_tokens": 3, "completion_tokens": tokens}})

    pieces = [said(0, 1), said(0, 2), said(1, 1), said(0, 3), said(1, 2)]
    cut, whole = reply_to(pieces, How.ABANDONED), reply_to([*pieces, usage(5), DONE])
    assert (cut.output_tokens, cut.tokens_from, cut.chunk_tokens) == (5, "chunks", None)
    assert (whole.output_tokens, whole.tokens_from, whole.chunk_tokens) == (5, "usage", None)


@pytest.mark.parametrize("line", [b"data: x\n", b"data: " + b"x" * 100_000])
def test_an_event_without_end_is_given_up(line: bytes) -> None:
    before = time.process_time()
    reply = reply_to([line * 5000, b"\n\n", *answer(WORDS)])
    assert reply.error == "error in the stream: an event of over 4096 lines or 2 MiB"
    assert time.process_time() - before < 5


def test_a_body_that_is_no_stream_of_events_is_named() -> None:
    http, reading = Answer(), Reading(keep_text=False)
    assert http.feed(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n")
    reading.feed(b"upstream timed out", 1.0)
    reading.finish(1.0)
    reply = make_reply(http, reading, Ending(How.ANSWERED), Stamps(0.0, 1.0, 1.0, 1.0, True))
    assert reply.error == "no event came in a body of type text/plain"


def test_text_is_kept_only_when_asked_for() -> None:
    reading = Reading(keep_text=False)
    for piece in BODIES["tool-calls"]:
        reading.feed(piece, 1.0)
    http = Answer()
    assert http.feed(_HEAD)
    reply = make_reply(http, reading, Ending(How.ANSWERED), Stamps(0.0, 1.0, 1.0, 1.0, True))
    assert (reply.text, reply.tool_calls, reply.status) == (None, None, COMPLETED)


def test_stamps_are_eight_bytes_each() -> None:
    assert reply_to(BODIES["plain"]).chunk_times == array("d", [2.0, 3.0, 4.0, 5.0, 6.0])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("request chatcmpl-41ab9 failed", "request chatcmpl-77c01 failed"),
        ("no block 0x7fe0a1 left", "no block 0x81bc left"),
        ("id 123e4567-e89b-12d3-a456-426614174000", "id 00000000-e89b-12d3-a456-426614174000"),
        ("run-17 is too long", "run-18 is too long"),
    ],
)
def test_equal_faults_have_equal_texts(one: str, other: str) -> None:
    assert tidy(one, "run-17") == tidy(other, "run-18") != ""


def test_a_flag_of_the_server_is_no_id() -> None:
    said = 'tool_choice="required" requires --tool-call-parser to be set'
    assert tidy(said, "run-17") == said


def test_a_text_is_one_line_and_not_too_long() -> None:
    assert tidy("a\n  b\tc", "") == "a b c"
    assert len(tidy("word " * 1000, "")) == 300
