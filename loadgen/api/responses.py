"""/v1/responses: OpenAI's newer API, a stream of typed events.

Text are events that end in `.delta`: of the answer, of reasoning, of a tool's arguments. The last event
holds the whole response with its usage; there is no [DONE].
Source: https://platform.openai.com/docs/api-reference/responses-streaming.
"""

from collections.abc import Sequence
from typing import Any

from loadgen.api.kind import KINDS, Kind
from loadgen.client.chat_chunks import Reading
from loadgen.workload.arrival import Arrival
from loadgen.workload.prompts import PromptMaker
from loadgen.workload.scenario import Scenario
from loadgen.workload.vocabulary import Messages

ENDS = ("response.completed", "response.incomplete", "response.failed")
REASONS = {"max_output_tokens": "length"}  # in the words of chats


class ResponseEvents(Reading):
    """The events of one response."""

    __slots__ = ()

    def _read_chunk(self, chunk: dict[str, Any], stamp: float) -> None:
        kind = chunk.get("type") or ""
        self.started = self.started or kind.startswith("response.")
        if kind.endswith(".delta"):
            if chunk.get("delta"):
                self._came(stamp, answer="reasoning" not in kind)
                self._keep(kind, chunk)
        elif kind in ENDS:
            self._end(chunk["response"])
        elif kind == "error":
            self.error = self.error or chunk
        elif kind == "response.output_item.added" and chunk["item"].get("type") == "function_call":
            call = {"index": chunk.get("output_index"), "id": chunk["item"].get("call_id")}
            self._say({"tool_calls": [call | {"function": {"name": chunk["item"].get("name")}}]})

    def _keep(self, kind: str, chunk: dict[str, Any]) -> None:
        if kind == "response.output_text.delta":
            self._say({"content": chunk["delta"]})
        elif kind == "response.function_call_arguments.delta":
            call = {"index": chunk.get("output_index"), "function": {"arguments": chunk["delta"]}}
            self._say({"tool_calls": [call]})

    def _end(self, response: dict[str, Any]) -> None:
        self.done = True
        if response.get("status") == "failed" or response.get("error"):
            self.error = self.error or response.get("error") or "the response failed"
        reason = (response.get("incomplete_details") or {}).get("reason")
        self.finish_reason = REASONS.get(str(reason), str(reason)) if reason else "stop"
        usage = response.get("usage")
        if usage:
            counts = {"prompt_tokens": usage.get("input_tokens")}
            counts |= {"completion_tokens": usage.get("output_tokens")}
            counts |= {"completion_tokens_details": usage.get("output_tokens_details")}
            self._read_usage(counts, False, whole=True)


@KINDS.register("responses")
class Responses(Kind):
    path = "/v1/responses"
    reading = ResponseEvents
    extensions = ("ignore_eos", "cache_salt")
    length_field = "max_output_tokens"
    turns = pictures = True
    text_type = "input_text"

    def frame(self, extensions: Sequence[str], salt: str) -> dict[str, Any]:
        return super().frame(extensions, salt) | {"store": False}

    def body(
        self, prompts: PromptMaker, arrival: Arrival, history: Messages, scenario: Scenario
    ) -> dict[str, Any]:
        messages: list[dict[str, Any]] = list(prompts.messages(arrival, history))
        self.illustrate(messages, prompts, arrival, scenario)
        return {"input": messages, "max_output_tokens": arrival.output_tokens, "temperature": 0}

    def picture(self, url: str) -> dict[str, Any]:
        return {"type": "input_image", "image_url": url, "detail": "auto"}
