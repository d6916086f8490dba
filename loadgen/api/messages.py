"""/v1/messages: Anthropic's API, a stream of typed events.

Text are the deltas of content blocks: text, thinking, a tool's arguments; a thought's signature is none. The
count of output tokens comes near the end. There is no `ignore_eos`.
Source: https://docs.anthropic.com/en/docs/build-with-claude/streaming.
"""

from typing import Any

from loadgen.api.kind import KINDS, Kind
from loadgen.client.chat_chunks import Reading
from loadgen.workload.arrival import Arrival
from loadgen.workload.prompts import PromptMaker
from loadgen.workload.scenario import Scenario
from loadgen.workload.vocabulary import Messages

REASONS = {"max_tokens": "length", "end_turn": "stop", "stop_sequence": "stop", "tool_use": "tool_calls"}
INPUT = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")  # add up to the prompt


class MessageEvents(Reading):
    """The events of one message."""

    __slots__ = ()

    def _read_chunk(self, chunk: dict[str, Any], stamp: float) -> None:
        kind = chunk.get("type")
        if kind == "content_block_delta":
            self._read_delta(chunk, stamp)
        elif kind == "message_start":
            self.started = True
            self._count(chunk["message"].get("usage") or {}, None)  # what it says of the answer is too early
        elif kind == "message_delta":
            reason = chunk["delta"].get("stop_reason")
            self.finish_reason = REASONS.get(reason, reason)
            usage = chunk.get("usage") or {}
            self._count(usage, usage.get("output_tokens"))
        elif kind == "message_stop":
            self.done = True
        elif kind == "error":
            self.error = self.error or chunk.get("error") or chunk
        elif kind == "content_block_start" and chunk["content_block"].get("type") == "tool_use":
            block = chunk["content_block"]
            call = {"index": chunk.get("index"), "id": block.get("id")}
            self._say({"tool_calls": [call | {"function": {"name": block.get("name")}}]})

    def _read_delta(self, chunk: dict[str, Any], stamp: float) -> None:
        delta = chunk["delta"]
        text, arguments = delta.get("text"), delta.get("partial_json")
        if text or arguments or delta.get("thinking"):
            self._came(stamp, answer=not delta.get("thinking"))
        if text:
            self._say({"content": text})
        if arguments:
            call = {"index": chunk.get("index"), "function": {"arguments": arguments}}
            self._say({"tool_calls": [call]})

    def _count(self, usage: dict[str, Any], output: Any) -> None:
        given = [usage[name] for name in INPUT if usage.get(name) is not None]
        prompt = sum(given) if given else self.prompt_tokens
        self._read_usage({"prompt_tokens": prompt, "completion_tokens": output}, False, whole=True)


@KINDS.register("messages")
class AnthropicMessages(Kind):
    path = "/v1/messages"
    reading = MessageEvents
    extensions = ("cache_salt",)
    turns = pictures = True

    def body(
        self, prompts: PromptMaker, arrival: Arrival, history: Messages, scenario: Scenario
    ) -> dict[str, Any]:
        messages: list[dict[str, Any]] = list(prompts.messages(arrival, history))
        system = [each["content"] for each in messages if each["role"] == "system"]
        said = [each for each in messages if each["role"] != "system"]
        self.illustrate(said, prompts, arrival, scenario)
        body = {"messages": said, "max_tokens": arrival.output_tokens, "temperature": 0}
        return {"system": "\n\n".join(system), **body} if system else body

    def picture(self, url: str) -> dict[str, Any]:
        kind, _, data = url.removeprefix("data:").partition(";base64,")
        return {"type": "image", "source": {"type": "base64", "media_type": kind, "data": data}}
