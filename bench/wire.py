"""The bytes of vLLM's HTTP API, as vLLM 0.32 writes them: field order, framing and error bodies.

Read off `vllm/entrypoints/openai/{chat_completion,completion}/serving.py`: the role chunk leaves together
with the first token, the last token's chunk carries the finish reason, then come usage and `[DONE]`.
"""

import http
from dataclasses import dataclass
from typing import Any

import orjson

STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\nserver: uvicorn\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)
_DONE = b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"
_WORDS = tuple(b" t%04d" % number for number in range(10_000))  # all of one length, for one frame size


def answer(status: int, body: bytes, content_type: str = "application/json") -> bytes:
    """A whole HTTP answer with a known length."""
    head = (
        f"HTTP/1.1 {status} {http.HTTPStatus(status).phrase}\r\nserver: uvicorn\r\n"
        f"content-length: {len(body)}\r\ncontent-type: {content_type}\r\n\r\n"
    )
    return head.encode() + body


def error(status: int, kind: str, message: str) -> bytes:
    """An HTTP answer with vLLM's error body."""
    body = {"error": {"message": message, "type": kind, "param": None, "code": status}}
    return answer(status, orjson.dumps(body))


@dataclass(frozen=True)
class Ask:
    """What one completion request asks for."""

    ident: str
    model: str
    created: int  # Unix seconds
    chat: bool
    prompt_tokens: int
    tokens: int
    stream: bool
    usage: bool
    continuous_usage: bool


class Frames:
    """The bytes to send for each token of one answer."""

    def __init__(self, ask: Ask, role_first: bool = False) -> None:
        """`role_first`: the role chunk leaves by itself (`role`), not with the first token."""
        self._ask = ask
        self._role_first = role_first
        self._last = ask.tokens - 1
        name = "chat.completion.chunk" if ask.chat else "text_completion"
        self._envelope = b'data: {"id":%b,"object":"%b","created":%d,"model":%b,"choices":[' % (
            orjson.dumps(ask.ident),
            name.encode(),
            ask.created,
            orjson.dumps(ask.model),
        )
        plain = self._token_event(b" t0000", b"null", b"")
        self._start, self._end = _frame(plain).split(b" t0000")

    def role(self) -> bytes:
        """The role chunk by itself; nothing where the answer has none."""
        return _frame(self._role_event()) if self._ask.chat and self._ask.stream else b""

    def nothing(self) -> bytes:
        """A whole stream without a token: role, usage of 0, end."""
        usage = _frame(self._envelope + b"]" + self._usage_field(0) + b"}\n\n") if self._ask.usage else b""
        return self.role() + usage + _DONE

    def chunk(self, index: int, size: int) -> bytes:
        """All that leaves with `size` tokens from token `index` on: the role before them, the end after."""
        ask, last = self._ask, index + size - 1
        if not ask.stream:
            return self._whole() if last == self._last else b""
        if size == 1 and 0 < index < self._last and not ask.continuous_usage:
            return self._start + _WORDS[index % 10_000] + self._end
        parts = []
        if index == 0 and ask.chat and not self._role_first:
            parts.append(_frame(self._role_event()))
        finish = b'"length"' if last == self._last else b"null"
        usage = self._usage_field(last + 1) if ask.continuous_usage else b""
        words = b"".join(_WORDS[number % 10_000] for number in range(index, last + 1))
        parts.append(_frame(self._token_event(words, finish, usage)))
        if last == self._last:
            if ask.usage:
                event = self._envelope + b"]" + self._usage_field(ask.tokens) + b"}\n\n"
                parts.append(_frame(event))
            parts.append(_DONE)
        return b"".join(parts)

    def _role_event(self) -> bytes:
        choice = (
            b'{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}]'
        )
        usage = self._usage_field(0) if self._ask.continuous_usage else b""
        return self._envelope + choice + usage + b',"prompt_token_ids":null,"prompt_text":null}\n\n'

    def _token_event(self, word: bytes, finish: bytes, usage: bytes) -> bytes:
        if self._ask.chat:
            stop = b',"stop_reason":null' if finish != b"null" else b""
            shape = b'%b{"index":0,"delta":{"content":"%b"},"logprobs":null,"finish_reason":%b%b,'
            choice = shape % (self._envelope, word, finish, stop) + b'"token_ids":null}]'
        else:
            shape = b'%b{"index":0,"text":"%b","logprobs":null,"finish_reason":%b,"stop_reason":null,'
            choice = shape % (self._envelope, word, finish) + b'"prompt_token_ids":null,"token_ids":null}]'
        return choice + usage + b"}\n\n"

    def _usage_field(self, tokens: int) -> bytes:
        prompt = self._ask.prompt_tokens
        shape = b',"usage":{"prompt_tokens":%d,"total_tokens":%d,"completion_tokens":%d}'
        return shape % (prompt, prompt + tokens, tokens)

    def _whole(self) -> bytes:
        """The answer to a request that did not ask for a stream."""
        ask = self._ask
        text = b"".join(_WORDS[index % 10_000] for index in range(ask.tokens)).decode()
        choice: dict[str, Any] = {
            "index": 0,
            "logprobs": None,
            "finish_reason": "length",
            "stop_reason": None,
        }
        if ask.chat:
            choice["message"] = {"role": "assistant", "content": text}
        else:
            choice["text"] = text
        total = ask.prompt_tokens + ask.tokens
        body = {
            "id": ask.ident,
            "object": "chat.completion" if ask.chat else "text_completion",
            "created": ask.created,
            "model": ask.model,
            "choices": [choice],
            "usage": {
                "prompt_tokens": ask.prompt_tokens,
                "total_tokens": total,
                "completion_tokens": ask.tokens,
            },
        }
        return answer(200, orjson.dumps(body))


def _frame(event: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(event), event)
