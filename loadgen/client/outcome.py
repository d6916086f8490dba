"""What became of one request."""

from array import array
from dataclasses import dataclass
from typing import Any

from loadgen.client import errors
from loadgen.client.chat_chunks import Reading
from loadgen.client.errors import Ending, How
from loadgen.client.http1 import Answer
from loadgen.records.record import COMPLETED, EMPTY, FAILED, UNFINISHED

UNBELIEVED = "the server's count of tokens is not believed: more than were asked for and streamed"


@dataclass(slots=True)
class Reply:
    """Times are `time.perf_counter()` seconds (CLOCK_MONOTONIC), None where the moment never came.

    A COMPLETED reply has an `error` where an event of it could not be read: the answer is whole by the
    protocol and counts, but its text may lack a part.
    """

    sent: float | None  # the connect() for a new connection, or the first byte on a kept one; the first try
    first_byte: float | None
    first_token: float | None  # first chunk that carries text: content, reasoning, a tool call
    last_token: float | None
    end: float  # last byte, error, or abandon
    status: str  # COMPLETED, EMPTY, FAILED or UNFINISHED of loadgen.records.record
    error: str | None  # one line, the same for equal faults
    http_status: int | None
    finish_reason: str | None
    prompt_tokens: int | None
    output_tokens: int | None  # None where no answer came; 0 of one that comes whole
    tokens_from: str | None  # "usage" (the last that came) or "chunks"
    chunk_times: array  # "d": stamp of every chunk that carried text
    chunk_tokens: array | None  # "i": tokens of each; None when the server does not say
    new_connection: bool
    text: str | None  # the answer without its reasoning, only when asked for
    tool_calls: list[dict[str, Any]] | None  # put together from their parts, only when text is asked for
    choices: int = 1  # that came, as far as they are told apart
    first_answer: float | None = None  # first chunk whose text is no reasoning
    reasoning_tokens: int | None = None  # of the output tokens, where the server says

    def disbelieve(self, asked: int, prompt_most: int) -> None:
        """Drop counts of tokens that cannot be. Output is then counted from the chunks, and `error` says so.

        asked: output tokens of one choice. prompt_most: tokens that the request can have at most. No server
        makes more than was asked (some count the token that ends an answer), unless they are there to be
        seen: each chunk of text is a token or more.
        """
        if self.prompt_tokens is not None and self.prompt_tokens > prompt_most:
            self.prompt_tokens, self.error = None, self.error or UNBELIEVED
        chunks, counts = len(self.chunk_times), self.chunk_tokens
        wrong = self.tokens_from == "usage" and (self.output_tokens or 0) > max(
            (asked + 1) * self.choices, chunks
        )
        if wrong or (counts is not None and len(counts) and min(counts) < 0):
            self.output_tokens, self.tokens_from, self.chunk_tokens = chunks, "chunks", None
            self.error = self.error or UNBELIEVED


@dataclass(slots=True)
class Stamps:
    """When what happened to the exchange itself; `end` is when it was given up or broke off."""

    sent: float | None
    first_byte: float | None
    last_byte: float | None
    end: float
    new_connection: bool


def make_reply(
    answer: Answer, reading: Reading, ending: Ending, moments: Stamps, request_id: str = ""
) -> Reply:
    """Judge an exchange that is over and whose body has been read."""
    error = errors.explain(answer, reading, ending, moments.first_byte is not None, request_id)
    if error is not None:
        status = FAILED
    elif reading.finished:
        status, error = COMPLETED if reading.chunk_times else EMPTY, errors.malformed(reading.malformed)
    else:
        status, error = UNFINISHED, ending.why or None
    whole = status in (COMPLETED, EMPTY) or ending.how is How.ANSWERED
    output, tokens_from = _output(answer, reading)
    times, said = reading.chunk_times, reading.said
    return Reply(
        sent=moments.sent,
        first_byte=moments.first_byte,
        first_token=times[0] if times else None,
        last_token=times[-1] if times else None,
        end=moments.last_byte if whole and moments.last_byte is not None else moments.end,
        status=status,
        error=error,
        http_status=answer.status,
        finish_reason=reading.finish_reason,
        prompt_tokens=reading.prompt_tokens,
        output_tokens=output,
        tokens_from=tokens_from,
        chunk_times=times,
        chunk_tokens=reading.chunk_tokens,
        new_connection=moments.new_connection,
        text=said.text if said is not None else None,
        tool_calls=said.tool_calls if said is not None else None,
        choices=reading.choices,
        first_answer=reading.first_answer,
        reasoning_tokens=reading.reasoning_tokens,
    )


def make_unread(moments: Stamps, error: str) -> Reply:
    """The reply to an answer of which nothing but when it came can be said."""
    return Reply(
        sent=moments.sent,
        first_byte=moments.first_byte,
        first_token=None,
        last_token=None,
        end=moments.end,
        status=FAILED,
        error=error,
        http_status=None,
        finish_reason=None,
        prompt_tokens=None,
        output_tokens=None,
        tokens_from=None,
        chunk_times=array("d"),
        chunk_tokens=None,
        new_connection=moments.new_connection,
        text=None,
        tool_calls=None,
    )


def _output(answer: Answer, reading: Reading) -> tuple[int | None, str | None]:
    if not answer.is_wanted:
        return None, None
    if reading.whole:
        return 0, None
    if reading.output_tokens is not None:
        return reading.output_tokens, "usage"
    return len(reading.chunk_times), "chunks"
