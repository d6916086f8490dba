"""Kinds of API: what each asks, and what its answers mean, on streams as servers write them."""

import base64
import json
import struct
from collections.abc import Iterable
from typing import Any

import pytest

from common.usage import UsageError
from loadgen.api import KINDS, choose
from loadgen.api.kind import EXTENSIONS
from loadgen.client.chat_chunks import Reading
from loadgen.client.client import CANCELLED
from loadgen.client.outcome import Reply
from loadgen.records.record import COMPLETED, FAILED, UNFINISHED
from loadgen.workload.prompts import PromptMaker
from loadgen.workload.scenario import Scenario
from loadgen.workload.schedule import schedule
from loadgen.workload.vocabulary import estimate_vocabulary
from tests.support import fakestreams
from tests.support.fakechat import client_of
from tests.support.fakeserver import FakeServer
from tests.support.waiting import PATIENCE

CALL = "response.function_call_arguments.delta"


class Maker:
    """A user class that leaves its requests to the kind."""

    api, makes_body = "chat", False


def made(**keys: Any) -> Scenario:
    usual = {"rate": 10, "duration": 2, "warmup": 0, "prompt_tokens": 40, "output_tokens": 5, "name": "made"}
    return Scenario.from_dict({**usual, **keys})


def body(name: str, **keys: Any) -> dict[str, Any]:
    """The second request of a load, by this kind."""
    scenario = made(**keys)
    maker = PromptMaker(estimate_vocabulary(), 1, scenario)
    return KINDS[name]().body(maker, schedule(scenario, 1).arrivals[1], [], scenario)


def read(name: str, pieces: Iterable[bytes]) -> Reading:
    """What the kind makes of a body; the n-th piece has the stamp n."""
    reading = KINDS[name].reading(keep_text=True)
    stamp = 0.0
    for stamp, piece in enumerate(pieces):
        reading.feed(piece, stamp)
    reading.finish(stamp)
    return reading


def asked(url: str, name: str, **options: Any) -> Reply:
    """One request to a fake server by this kind, and what became of it."""
    kind = KINDS[name]()
    found: list[Reply] = []
    with client_of(url) as client:
        client.send(
            kind.path,
            b"{}",
            request_id="request-1",
            timeout=100,
            on_end=found.append,
            reading=kind.reading,
            **options,
        )
        assert client.join(PATIENCE)
    return found[0]


@pytest.mark.parametrize(
    ("name", "tokens", "times"),
    [
        ("chat", (3, 5, "usage", "length"), 5),
        ("completions", (3, 5, "usage", "length"), 5),
        ("responses", (3, 5, "usage", "length"), 5),
        ("messages", (9, 5, "usage", "length"), 5),
        ("embeddings", (3, 0, None, None), 1),
        ("rerank", (30, 0, None, None), 1),
    ],
)
def test_each_kind_reads_its_answer(name: str, tokens: tuple[Any, ...], times: int) -> None:
    behaviour = name if name in ("embeddings", "rerank", *fakestreams.TYPED) else "plain"
    with FakeServer() as server:
        reply = asked(server.url(behaviour), name)
        assert server.requests[0].path == f"/{behaviour}{KINDS[name].path}"
    assert (reply.status, reply.error) == (COMPLETED, None)
    assert (reply.prompt_tokens, reply.output_tokens, reply.tokens_from, reply.finish_reason) == tokens
    assert len(reply.chunk_times) == times and reply.first_token and reply.last_token
    assert times > 1 or reply.first_token == reply.last_token


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize(
    ("behaviour", "said"),
    [
        ("status-401", "HTTP 401: wrong key"),
        ("status-502-html", "HTTP 502: 502 Bad Gateway"),
        ("reset-before-headers", "connection reset"),
    ],
)
def test_errors_are_told_alike(name: str, behaviour: str, said: str) -> None:
    with FakeServer() as server:
        reply = asked(server.url(behaviour), name)
    assert reply.status == FAILED and said in (reply.error or "")


@pytest.mark.parametrize(
    ("name", "behaviour", "said"),
    [
        ("responses", "json-in-place-of-a-stream", "JSON came in place of a stream: a whole completion"),
        ("embeddings", "plain", "text/event-stream came in place of JSON"),
        ("embeddings", "rerank", "the answer's JSON holds no result"),
        ("rerank", "json-in-place-of-a-stream", "the answer's JSON holds no result"),
    ],
)
def test_an_answer_of_another_kind_is_named(name: str, behaviour: str, said: str) -> None:
    with FakeServer() as server:
        assert said in (asked(server.url(behaviour), name).error or "")


def test_a_request_is_given_up_after_its_time() -> None:
    with FakeServer() as server:
        reply = asked(server.url("endless"), "chat", cancel_after=0.2)
    assert (reply.status, reply.error) == (UNFINISHED, CANCELLED)
    assert len(reply.chunk_times) > 1


@pytest.mark.parametrize(
    ("deltas", "times", "text", "calls"),
    [
        ([("reasoning_text", "hm"), ("output_text", "a")], [4, 5], "a", []),
        ([("output_text", ""), ("output_text", "a")], [5], "a", []),
        ([("refusal", "no")], [4], "", []),
        ([("function_call_arguments", '{"a"'), ("function_call_arguments", ":1}")], [4, 5], "", ['{"a":1}']),
    ],
)
def test_text_of_a_response_are_its_deltas(
    deltas: list[tuple[str, str]], times: list[float], text: str, calls: list[str]
) -> None:
    found = read("responses", fakestreams.response(deltas, {"status": "completed"}))
    assert found.finished and found.finish_reason == "stop" and found.said is not None
    assert list(found.chunk_times) == times and found.said.text == text
    assert [call["function"]["arguments"] for call in found.said.tool_calls] == calls


@pytest.mark.parametrize(
    "end",
    [
        [fakestreams.typed("error", message="died", code="x")],
        [fakestreams.typed("response.failed", response={"status": "failed", "error": {"message": "died"}})],
    ],
)
def test_a_response_that_fails_says_why(end: list[bytes]) -> None:
    found = read("responses", [*fakestreams.response([("output_text", "a")], {})[:5], *end])
    assert found.error["message"] == "died" and len(found.chunk_times) == 1


@pytest.mark.parametrize("cut", range(1, 7))
def test_a_typed_stream_that_breaks_off_is_not_whole(cut: int) -> None:
    for name in ("responses", "messages"):
        assert not read(name, fakestreams.TYPED[name][:-cut]).finished or (name, cut) == ("messages", 1)


def test_text_of_a_message_are_its_deltas_but_no_signature() -> None:
    deltas = [
        {"type": "thinking_delta", "thinking": "hm"},
        {"type": "signature_delta", "signature": "abc"},
        {"type": "text_delta", "text": "a"},
        {"type": "input_json_delta", "partial_json": "{}"},
    ]
    found = read("messages", [fakestreams.typed("ping"), *fakestreams.message(deltas, 7, "tool_use")])
    assert list(found.chunk_times) == [3, 5, 6] and found.finish_reason == "tool_calls"
    assert (found.output_tokens, found.prompt_tokens) == (7, 9) and found.said is not None
    assert found.said.text == "a" and found.said.tool_calls[0]["function"]["arguments"] == "{}"
    cached = fakestreams.typed(
        "message_delta",
        delta={},
        usage={"input_tokens": 2, "cache_read_input_tokens": 30, "output_tokens": 1},
    )
    assert read("messages", [cached]).prompt_tokens == 32
    broken = read(
        "messages", [*fakestreams.TYPED["messages"][:4], fakestreams.typed("error", error={"message": "x"})]
    )
    assert broken.error == {"message": "x"} and broken.output_tokens is None


def test_an_answer_without_end_fills_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loadgen.api.whole.MOST", 1000)
    found = read("embeddings", [b"[" * 400] * 5)
    assert found.too_much and not found.finished


def test_bodies() -> None:
    words = {name: len(json.dumps(body(name)).split()) for name in KINDS}
    assert all(count > 30 for count in words.values())
    assert body("responses")["max_output_tokens"] == body("messages")["max_tokens"] == 5
    assert body("responses")["input"] == body("messages")["messages"] == body("chat")["messages"]
    system = {"conversation": {"turns": 2, "think": 0, "system_tokens": 20}}
    assert body("messages", **system)["system"] == body("chat", **system)["messages"][0]["content"]
    assert [each["role"] for each in body("messages", **system)["messages"]] == ["user"]
    ranked = body("rerank", request={"documents": 3})
    assert len(set(ranked["documents"])) == 3 and len(ranked["query"].split()) == 9
    assert {len(text.split()) for text in ranked["documents"]} == {40 - 2 - 8}


def test_frames_hold_what_the_server_takes() -> None:
    frames = {name: KINDS[name]().frame(EXTENSIONS, "salt") for name in KINDS}
    usage = {"include_usage": True, "continuous_usage_stats": True}
    chat = {"stream": True, "stream_options": usage, "ignore_eos": True, "cache_salt": "salt"}
    assert list(frames["chat"].items()) == list(chat.items()), "the bytes that they always had"
    assert KINDS["chat"]().frame((), "salt") == {"stream": True}
    assert frames["responses"] == {"stream": True, "ignore_eos": True, "cache_salt": "salt", "store": False}
    assert frames["messages"] == {"stream": True, "cache_salt": "salt"}
    assert frames["embeddings"] == frames["rerank"] == {"cache_salt": "salt"}


def test_images_are_pictures_of_their_size_each_another() -> None:
    load = {"images": {"width": 6, "height": 4, "count": 2}}
    chat = body("chat", **load)["messages"][-1]["content"]
    urls = [part["image_url"]["url"] for part in chat[:2]]
    data = [base64.b64decode(url.removeprefix("data:image/png;base64,")) for url in urls]
    assert data[0] != data[1] and [struct.unpack(">II", each[16:24]) for each in data] == [(6, 4)] * 2
    assert chat[2]["type"] == "text"
    assert [part.get("image_url") for part in body("responses", **load)["input"][-1]["content"][:2]] == urls
    sources = [part["source"] for part in body("messages", **load)["messages"][-1]["content"][:2]]
    assert [f"data:{each['media_type']};base64,{each['data']}" for each in sources] == urls


@pytest.mark.parametrize(
    ("keys", "api", "said"),
    [
        ({"conversation": {"turns": 2, "think": 0}}, "completions", "have: chat, messages, responses"),
        ({"images": {"width": 1, "height": 1}}, "embeddings", "embeddings has no images"),
        ({"request": {"temperature": 0.5}}, "rerank", "rerank has no temperature"),
        ({"request": {"documents": 3}}, "chat", "chat has no documents; these have: rerank"),
        ({}, "chats", "unknown kind of API 'chats'; did you mean 'chat'"),
    ],
)
def test_what_a_kind_cannot_do_is_refused(keys: dict[str, Any], api: str, said: str) -> None:
    request = {"request": keys.get("request", {}) | {"api": api}}
    with pytest.raises(UsageError, match=said):
        choose(Maker(), made(**keys | request))


def test_a_user_class_with_a_body_of_its_own_keeps_to_its_kind() -> None:
    maker = Maker()
    maker.makes_body = True
    assert type(choose(maker, made())) is KINDS["chat"]
    with pytest.raises(UsageError, match="Maker makes its own requests, for chat"):
        choose(maker, made(request={"api": "responses"}))
