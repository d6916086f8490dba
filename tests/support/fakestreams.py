"""Bodies of streamed answers, good and bad, as lists of the pieces in which a server would write them."""

import json
from typing import Any

WORDS = ["Hello", ",", " wörld", " 🌍", "!"]
DONE = b"data: [DONE]\n\n"
ERROR = b'data: {"error": {"message": "the engine died", "type": "InternalServerError", "code": 500}}\n\n'
ENVELOPE = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "fake"}


def event(body: dict[str, Any]) -> bytes:
    """One SSE event as vLLM writes it."""
    return b"data: " + json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode() + b"\n\n"


def chunk(delta: dict[str, Any], finish: str | None = None, tokens: int | None = None) -> bytes:
    """One chat chunk; `tokens` adds the running usage of continuous_usage_stats."""
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return event(ENVELOPE | {"choices": [choice]} | ({} if tokens is None else _counts(tokens)))


def usage(tokens: int) -> bytes:
    return event(ENVELOPE | {"choices": []} | _counts(tokens))


def answer(words: list[str], field: str = "content") -> list[bytes]:
    """Role, one chunk a word, the last with the finish reason."""
    finishes = [None] * (len(words) - 1) + ["length"]
    return [ROLE, *(chunk({field: word}, finish) for word, finish in zip(words, finishes, strict=True))]


def normal(tokens: int) -> list[bytes]:
    """A well-formed answer of `tokens` tokens."""
    return [*answer([f" t{number}" for number in range(tokens)]), usage(tokens), DONE]


def typed(kind: str, **fields: Any) -> bytes:
    """One event of an API whose events have types, as vLLM writes it."""
    return f"event: {kind}\n".encode() + event({"type": kind, **fields})


def response(deltas: list[tuple[str, str]], end: dict[str, Any]) -> list[bytes]:
    """/v1/responses: (kind of delta, text), and what the last event's response holds."""
    item = {"output_index": 0, "item_id": "msg_1", "content_index": 0}
    return [
        typed("response.created", response={"id": "resp_1", "status": "in_progress", "usage": None}),
        typed("response.in_progress", response={"id": "resp_1", "status": "in_progress"}),
        typed("response.output_item.added", output_index=0, item={"type": "message", "content": []}),
        typed("response.content_part.added", **item, part={"type": "output_text", "text": ""}),
        *(typed(f"response.{kind}.delta", **item, delta=text) for kind, text in deltas),
        typed("response.output_text.done", **item, text="".join(text for _, text in deltas)),
        typed("response.output_item.done", output_index=0, item={"type": "message"}),
        typed("response.completed", response={"id": "resp_1", **end}),
    ]


def message(deltas: list[dict[str, str]], tokens: int, reason: str = "max_tokens") -> list[bytes]:
    """/v1/messages: the deltas of its one block, and what its end says."""
    start = {
        "id": "msg_1",
        "role": "assistant",
        "content": [],
        "usage": {"input_tokens": 9, "output_tokens": 0},
    }
    return [
        typed("message_start", message=start),
        typed("content_block_start", index=0, content_block={"type": "text", "text": ""}),
        *(typed("content_block_delta", index=0, delta=delta) for delta in deltas),
        typed("content_block_stop", index=0),
        typed(
            "message_delta", delta={"stop_reason": reason}, usage={"input_tokens": 9, "output_tokens": tokens}
        ),
        typed("message_stop"),
    ]


def _counts(tokens: int) -> dict[str, Any]:
    return {"usage": {"prompt_tokens": 3, "total_tokens": 3 + tokens, "completion_tokens": tokens}}


def _tool_call(**function: str) -> dict[str, Any]:
    call: dict[str, Any] = {"index": 0, "function": function}
    if "name" in function:
        call |= {"id": "call-1", "type": "function"}
    return {"tool_calls": [call]}


ROLE = chunk({"role": "assistant", "content": ""})
_ANSWER = answer(WORDS)
_WHOLE = [*_ANSWER, usage(5), DONE]
_BROKEN = b'data: {"id":"chatcmpl-1","choices":[{"index":0,"delta":{"content":\n\n'
_TWO_LINES = b'data: {"choices":[{"index":0,\ndata: "delta":{"content":" two"},"finish_reason":null}]}\n\n'

# Every body that differs from a normal one in its events, by the name under which the server gives it.
BODIES: dict[str, list[bytes]] = {
    "plain": _WHOLE,
    "one-piece": [b"".join(_WHOLE)],
    "error-event": [ERROR, DONE],
    "error-mid-stream": [*_ANSWER[:3], ERROR, DONE],
    "no-usage": [*_ANSWER, DONE],
    "no-done": _ANSWER,
    "no-done-but-usage": [*_ANSWER, usage(5)],
    "no-finish": [ROLE, chunk({"content": "Hello"}), usage(1), DONE],
    "cut-short": [ROLE, chunk({"content": "Hello"}), chunk({"content": ","})],
    "empty-stream": [],
    "only-done": [DONE],
    "role-only": [ROLE, chunk({}, "stop"), usage(0), DONE],
    "bad-json": [*_ANSWER[:3], _BROKEN, *_ANSWER[3:], usage(5), DONE],
    "not-an-object": [*_ANSWER[:3], b"data: 17\n\n", *_ANSWER[3:], usage(5), DONE],
    "crlf": [piece.replace(b"\n", b"\r\n") for piece in _WHOLE],
    "cr": [piece.replace(b"\n", b"\r") for piece in _WHOLE],
    "mixed-ends": [*_ANSWER[:3], *(p.replace(b"\n", b"\r\n") for p in _ANSWER[3:]), usage(5), DONE],
    "no-space": [piece.replace(b"data: ", b"data:") for piece in _WHOLE],
    "comments": [b": keep-alive\n\n", *(b": ping\n" + piece for piece in _WHOLE), b":\n\n", b"\n\n\n"],
    "other-fields": [b"event: message\nid: 7\nretry: 100\nfoo: bar\n" + piece for piece in _WHOLE],
    "two-data-lines": [*_ANSWER[:3], _TWO_LINES, *_ANSWER[3:], usage(6), DONE],
    "unfinished-last-line": [*_ANSWER, usage(5), b"data: [DONE]"],
    "multi-token": [
        chunk({"role": "assistant", "content": ""}, tokens=0),
        chunk({"content": "one two three"}, tokens=3),
        chunk({"content": " four five"}, tokens=5),
        chunk({"content": " six"}, "stop", tokens=6),
        usage(6),
        DONE,
    ],
    "finish-apart": [*(chunk({"content": word}) for word in WORDS), chunk({}, "stop"), usage(5), DONE],
    "reasoning": [
        ROLE,
        chunk({"reasoning": "let me"}),
        chunk({"reasoning": " think"}),
        *(chunk({"content": word}) for word in WORDS[:-1]),
        chunk({"content": WORDS[-1]}, "stop"),
        usage(7),
        DONE,
    ],
    "reasoning-content": [*answer(WORDS, "reasoning_content"), usage(5), DONE],
    "tool-calls": [
        ROLE,
        chunk(_tool_call(name="weather", arguments="")),
        chunk(_tool_call(arguments='{"city":')),
        chunk(_tool_call(arguments='"Ulm"}')),
        chunk({}, "tool_calls"),
        usage(9),
        DONE,
    ],
    "megabyte-event": [
        ROLE,
        chunk({"content": "x" * 1_000_000}),
        chunk({"content": "!"}, "stop"),
        usage(2),
        DONE,
    ],
}

CUT = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
TYPED = {
    "responses": response(
        [("output_text", word) for word in WORDS], CUT | {"usage": {"input_tokens": 3, "output_tokens": 5}}
    ),
    "messages": message([{"type": "text_delta", "text": word} for word in WORDS], 5),
}
