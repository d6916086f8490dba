"""The record: one row per arrival, whatever became of it.

Times are seconds from the run's start on the worker's monotonic clock (null where the moment
never came). `reports` reads these columns.
"""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

COMPLETED = "completed"  # the stream ended as the protocol says, with a finish reason or [DONE]
EMPTY = "empty"  # it ended so, too, but held no text, reasoning or tool call
FAILED = "failed"  # refused, reset, an error status or event, a stream that broke off, timed out
UNFINISHED = "unfinished"  # still waiting or streaming when the drain ended
LOST = "lost"  # due on a lane whose worker died; what became of it is not known
STATUSES = (COMPLETED, EMPTY, FAILED, UNFINISHED, LOST)
OVERLOADED = (429, 503)  # HTTP statuses of a server that has too much to do

SCHEMA = pa.schema(
    [
        pa.field("arrival", pa.int32(), nullable=False),
        pa.field("lane", pa.int16(), nullable=False),
        pa.field("workload", pa.string(), nullable=False),
        pa.field("conversation", pa.int32()),
        pa.field("turn", pa.int16()),
        pa.field("due", pa.float64(), nullable=False),
        pa.field("sent", pa.float64()),  # the connect, or the first byte on a kept connection
        pa.field("first_byte", pa.float64()),
        pa.field("first_token", pa.float64()),
        pa.field("first_answer", pa.float64()),  # the first chunk whose text is no reasoning
        pa.field("last_token", pa.float64()),
        pa.field(
            "end", pa.float64()
        ),  # the record was closed: the last byte, the error, the end of the drain
        pa.field("status", pa.string(), nullable=False),
        pa.field("error", pa.string()),
        pa.field("http_status", pa.int16()),
        pa.field("finish_reason", pa.string()),
        pa.field("prompt_asked", pa.int32()),
        pa.field("prompt_tokens", pa.int32()),
        pa.field("output_asked", pa.int32()),
        pa.field("output_tokens", pa.int32()),
        pa.field(
            "reasoning_tokens", pa.int32()
        ),  # of these, those that were reasoning, where the server says
        pa.field("tokens_from", pa.string()),  # "usage" or "chunks"
        pa.field("chunk_times", pa.list_(pa.float64())),  # every chunk that carried text
        pa.field("chunk_tokens", pa.list_(pa.int32())),  # tokens in it; null when the server does not say
        pa.field("new_connection", pa.bool_()),
        pa.field("text", pa.string()),  # only when asked for
        pa.field("held", pa.float64()),  # s for which max_concurrency held it back; null without it
        pa.field("cancel_after", pa.float64()),  # s after which it was to be given up; null: never
        pa.field("adapter", pa.string()),  # that it was for, in place of the model
        pa.field("direct", pa.bool_()),  # whether it went past the gateway; null where no way led there
    ]
)

ADDED = (
    "text",
    "prompt_asked",
    "held",
    "cancel_after",
    "adapter",
    "first_answer",
    "reasoning_tokens",
    "direct",
)  # columns that older runs lack

METRICS_SCHEMA = pa.schema(
    [
        pa.field("t", pa.float64(), nullable=False),  # seconds from the run's start; negative before it
        pa.field("name", pa.string(), nullable=False),  # as exported, e.g. vllm:num_requests_running
        pa.field(
            "labels", pa.string(), nullable=False
        ),  # JSON object, keys sorted, without model_name and engine 0
        pa.field("value", pa.float64(), nullable=False),
    ]
)


@dataclass(slots=True)
class Record:
    """One row; the fields are the columns of SCHEMA."""

    arrival: int
    lane: int
    workload: str
    due: float
    status: str
    conversation: int | None = None
    turn: int | None = None
    sent: float | None = None
    first_byte: float | None = None
    first_token: float | None = None
    first_answer: float | None = None
    last_token: float | None = None
    end: float | None = None
    error: str | None = None
    http_status: int | None = None
    finish_reason: str | None = None
    prompt_asked: int | None = None
    prompt_tokens: int | None = None
    output_asked: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    tokens_from: str | None = None
    chunk_times: np.ndarray | None = None  # float64
    chunk_tokens: array | None = None  # of int
    new_connection: bool | None = None
    text: str | None = None
    held: float | None = None
    cancel_after: float | None = None
    adapter: str | None = None
    direct: bool | None = None


def timed_out(error: str) -> bool:
    """Whether a failure's text says so, ours, a server's or a gateway's ("504 Gateway Time-out")."""
    said = error.lower()
    return "timed out" in said or "timeout" in said or "time-out" in said


def gone(error: str) -> bool:
    """Whether a gateway says that no server stands behind it (HAProxy's 503): nobody was overloaded."""
    return "no server is available" in error.lower()


def to_table(records: Sequence[Record]) -> pa.Table:
    """The records as a table of SCHEMA, in their order."""
    columns = []
    for field in SCHEMA:
        values = [getattr(record, field.name) for record in records]
        columns.append(
            _lists(values, field.type) if pa.types.is_list(field.type) else pa.array(values, field.type)
        )
    return pa.table(columns, schema=SCHEMA)


def _lists(values: Sequence[np.ndarray | array | None], kind: pa.ListType) -> pa.ListArray:
    """A list column without a Python object for each element; None stays null."""
    lengths = [0 if each is None else len(each) for each in values]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    parts = [np.asarray(each) for each in values if each is not None and len(each)]
    flat = np.concatenate(parts) if parts else np.empty(0)
    mask = pa.array([each is None for each in values], pa.bool_())
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(flat, kind.value_type), mask=mask)
