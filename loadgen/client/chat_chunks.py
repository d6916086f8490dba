"""What the events of a streamed answer say: when text came, how many tokens, how it ended.

Chunks are those of /v1/chat/completions and /v1/completions.
"""

import json
from array import array
from typing import Any, ClassVar, TypeGuard

import orjson

from loadgen.client.sse import EventReader, OverlongEventError

_DONE = b"[DONE]"
_MOST = 2**31  # tokens; a record keeps 32 bits of a count
MOST_EVENTS = 2**18  # of one answer; no model's longest has as many tokens
MOST_TEXT = 4 * 2**20  # characters of one answer that are kept
MOST_CALLS = 128  # of tools, in one answer, and of choices that are told apart
_LONGEST_REASON = 100  # characters


class Reading:
    """Feed it the body's pieces with their stamps; an event has the stamp of the piece that completes it.

    chunk_times: stamp of each chunk that carries text. usage_counts: the server's running count of tokens
    at each of these, as far as it was given. error: the server's own, from an event. malformed: events
    that are not a JSON object of the known shape; they are passed over. cut: the body ended inside an
    event. several: more than one choice was
    asked for, so that one choice's finish is not the stream's.
    """

    __slots__ = (
        "_events",
        "choices",
        "chunk_times",
        "cut",
        "done",
        "error",
        "events",
        "finish_reason",
        "first_answer",
        "malformed",
        "output_tokens",
        "prompt_tokens",
        "reasoning_tokens",
        "said",
        "several",
        "started",
        "too_much",
        "usage_counts",
    )

    whole: ClassVar[bool] = False  # the answer is one JSON text, not a stream

    def __init__(self, keep_text: bool) -> None:
        self._events = EventReader()
        self.events = 0
        self.chunk_times = array("d")
        self.usage_counts = array("i")
        self.first_answer: float | None = None  # stamp of the first chunk whose text is no reasoning
        self.reasoning_tokens: int | None = None  # by `usage`
        self.started = False  # a chunk with a choice has come
        self.done = False
        self.finish_reason: str | None = None
        self.several = False
        self.choices = 1
        self.prompt_tokens: int | None = None
        self.output_tokens: int | None = None  # by `usage`, the latest
        self.error: Any = None
        self.malformed = 0
        self.cut = False
        self.too_much: str | None = None  # which bound was reached
        self.said = Said() if keep_text else None

    @property
    def hopeless(self) -> bool:
        """Nothing that still comes will be read: it reached a bound."""
        return self.too_much is not None

    @property
    def finished(self) -> bool:
        """The stream ended as the protocol says; what came is the whole answer."""
        return self.started and (self.done or (self.finish_reason is not None and not self.several))

    @property
    def chunk_tokens(self) -> array | None:
        """Tokens of each chunk with text; None when the server did not say, or counts each choice for
        itself. Tokens without text of their own (half a character, a token that only the parser sees) count
        with the next text."""
        counts = self.usage_counts
        if self.several or not counts or len(counts) != len(self.chunk_times):
            return None
        return array("i", [counts[0], *(after - before for before, after in zip(counts, counts[1:]))])  # noqa: B905

    def feed(self, piece: bytes, stamp: float) -> None:
        try:
            events = self._events.feed(piece)
        except OverlongEventError as error:
            self._give_up(str(error))
            return
        for data in events:
            self._read(data, stamp)

    def finish(self, stamp: float) -> None:
        """The body is over: read an event that lacks its blank line, if it is one at all."""
        self.cut = self._events.inside
        malformed = self.malformed
        for data in self._events.finish():
            self._read(data, stamp)
        self.malformed = malformed  # a cut event is a cut, not a malformed one

    def _came(self, stamp: float, answer: bool = True) -> None:
        """A chunk with text came: of the answer, or of reasoning."""
        self.chunk_times.append(stamp)
        if answer and self.first_answer is None:
            self.first_answer = stamp

    def _say(self, delta: dict[str, Any]) -> None:
        """A part of the answer, as a chat's delta has it."""
        if self.said is not None:
            self.said.add({"delta": delta})

    def _give_up(self, why: str) -> None:
        """Nothing that comes now can be read."""
        self.error, self.done, self.too_much = self.error or why, True, why
        self._events = EventReader()

    def _read(self, data: bytes, stamp: float) -> None:
        self.events += 1
        if self.done:
            return
        if self.events > MOST_EVENTS:
            self._give_up(f"more than {MOST_EVENTS:,} events in one answer")
            return
        if data.startswith(_DONE):
            self.done = True
            return
        try:
            self._read_chunk(_parse(data), stamp)
        except OverlongTextError as error:
            self._give_up(str(error))
        except (ValueError, TypeError, AttributeError, RecursionError):  # not JSON, or of another shape
            self.malformed += 1

    def _read_chunk(self, chunk: dict[str, Any], stamp: float) -> None:
        with_text = False
        choices = chunk.get("choices") or ()
        for choice in choices:
            self.started = True
            if index := choice.get("index"):
                if not self.several:
                    self.several, self.output_tokens = True, None  # what was counted is one choice's
                self.choices = max(self.choices, min(int(index) + 1, MOST_CALLS))
            if _has_text(choice):
                with_text = True
                if self.first_answer is None and _has_answer(choice):
                    self.first_answer = stamp
            if choice.get("finish_reason"):
                self.finish_reason = str(choice["finish_reason"])[:_LONGEST_REASON]
            if self.said is not None:
                self.said.add(choice)
        if with_text:
            self.chunk_times.append(stamp)
        usage = chunk.get("usage")
        if usage:
            self._read_usage(usage, with_text, whole=not (self.several and choices))
        if chunk.get("error") is not None or chunk.get("object") == "error":
            self.error = self.error or chunk.get("error") or chunk

    def _read_usage(self, usage: dict[str, Any], with_text: bool, whole: bool) -> None:
        """whole: the count is of all choices."""
        prompt, output = usage.get("prompt_tokens"), usage.get("completion_tokens")
        if prompt != self.prompt_tokens and _is_count(prompt):  # each chunk says it again
            self.prompt_tokens = prompt
        if details := usage.get("completion_tokens_details"):
            reasoning = details.get("reasoning_tokens")
            self.reasoning_tokens = reasoning if _is_count(reasoning) else self.reasoning_tokens
        if _is_count(output) and whole:
            self.output_tokens = output
            if with_text:
                self.usage_counts.append(output)


class OverlongTextError(Exception):
    """An answer has more text, or calls of tools, than any has."""


class Said:
    """The text and the tool calls of an answer's first choice, put together."""

    __slots__ = ("_calls", "_parts", "_size")

    def __init__(self) -> None:
        self._size = 0
        self._parts: list[str] = []
        self._calls: dict[int, dict[str, Any]] = {}

    @property
    def text(self) -> str:
        """The answer without its reasoning."""
        return "".join(self._parts)

    @property
    def tool_calls(self) -> list[dict[str, Any]]:
        """As a message of the assistant would hold them, in the order of their index."""
        return [self._calls[index] for index in sorted(self._calls)]

    def add(self, choice: dict[str, Any]) -> None:
        if choice.get("index"):
            return
        delta = choice.get("delta") or {}
        text = delta.get("content") or choice.get("text")
        if text:
            self._parts.append(self._counted(str(text)))
        for part in delta.get("tool_calls") or ():
            self._add_call(part)

    def _add_call(self, part: dict[str, Any]) -> None:
        empty = {"id": None, "type": "function", "function": {"name": "", "arguments": ""}}
        call = self._calls.setdefault(int(part.get("index") or 0), empty)
        call["id"] = part.get("id") or call["id"]
        function = part.get("function") or {}
        for name in ("name", "arguments"):
            call["function"][name] += self._counted(function.get(name) or "")
        if len(self._calls) > MOST_CALLS:
            raise OverlongTextError(f"more than {MOST_CALLS} calls of tools in one answer")

    def _counted(self, text: str) -> str:
        self._size += len(text)
        if self._size > MOST_TEXT:
            raise OverlongTextError(f"more than {MOST_TEXT >> 20} Mi characters in one answer")
        return text


def _has_text(choice: dict[str, Any]) -> bool:
    delta = choice.get("delta")
    if delta is None:
        return bool(choice.get("text"))
    return bool(
        delta.get("content")
        or delta.get("reasoning")
        or delta.get("reasoning_content")
        or delta.get("tool_calls")
    )


def _has_answer(choice: dict[str, Any]) -> bool:
    """Of a choice that has text: whether any of it is no reasoning."""
    delta = choice.get("delta")
    return delta is None or bool(delta.get("content") or delta.get("tool_calls"))


def _is_count(value: Any) -> TypeGuard[int]:
    return type(value) is int and 0 <= value < _MOST


def _parse(data: bytes) -> dict[str, Any]:
    try:
        return orjson.loads(data)
    except ValueError:
        text = json.dumps(json.loads(data), ensure_ascii=False)  # takes NaN, too, and half surrogates
        return json.loads(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))
