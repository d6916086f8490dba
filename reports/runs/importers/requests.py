"""The requests of a file that lists them one by one, gathered into columns."""

import math
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa

from common.usage import UsageError
from loadgen.records.record import UNFINISHED
from reports.runs.importers.imported import (
    LONGEST,
    ROUNDING,
    error_line,
    in_order,
    make_table,
    one_clock,
    spread,
)
from reports.runs.importers.number_lists import NumberLists
from reports.runs.runs import ChunkBatch, Chunks, Floats

CHUNKS = 64  # at most, to spread a request's tokens over its time where the file has no chunks


def _numbers() -> "array[float]":
    return array("d")


@dataclass
class Requests:
    """Times are seconds of the file's own clock, NaN for what did not happen."""

    path: Path
    due: "array[float]" = field(default_factory=_numbers)
    sent: "array[float]" = field(default_factory=_numbers)
    first: "array[float]" = field(default_factory=_numbers)
    last: "array[float]" = field(default_factory=_numbers)
    end: "array[float]" = field(default_factory=_numbers)
    status: list[str] = field(default_factory=list)
    error: list[str | None] = field(default_factory=list)
    prompt_tokens: "array[float]" = field(default_factory=_numbers)
    output_tokens: "array[float]" = field(default_factory=_numbers)
    lists: NumberLists = field(default_factory=NumberLists)  # when chunks came

    def __len__(self) -> int:
        return len(self.sent)

    @property
    def where(self) -> str:
        """How a message names the request that comes next."""
        return f"{self.path}: record {len(self)} (from 0)"

    def add(
        self,
        sent: float,
        first: float,
        last: float,
        *,
        status: str,
        due: float = math.nan,
        end: float = math.nan,
        error: object = None,
        prompt_tokens: float = math.nan,
        output_tokens: float = math.nan,
        chunks: Floats | None = None,
        until: float = math.nan,
    ) -> None:
        """One request. Without `chunks` its tokens are taken to have come evenly, up to the last; of one that
        has none, up to `until`. Raises UsageError."""
        if math.isnan(sent):
            raise UsageError(f"{self.where}: it has no time of its send, so nothing can be said of it")
        in_order(self.path, len(self), sent, first, last)
        if np.fmax(first, last) - sent > LONGEST:
            raise UsageError(f"{self.where}: lasted more than 7 days; stamps of several clocks or runs?")
        if due > sent + 1.0:  # a client's timer may be early by some milliseconds
            raise UsageError(f"{self.where}: it was sent {due - sent:.3f} s before it was due")
        if chunks is None:
            count = 1 if math.isnan(output_tokens) else min(max(int(output_tokens), 1), CHUNKS)
            stop = next((each for each in (last, until) if not math.isnan(each)), first)
            chunks = np.zeros(0) if math.isnan(first) else spread(first, stop, count)
        elif not np.isfinite(chunks).all():
            raise UsageError(f"{self.where}: holds a time of a chunk that is no number")
        elif len(chunks) > 1 and float(np.diff(chunks).min()) < -ROUNDING:
            raise UsageError(f"{self.where}: a token came before the one before it")
        self.due.append(sent if math.isnan(due) else min(due, sent))
        self.sent.append(sent)
        self.first.append(first)
        self.last.append(last)
        self.end.append(np.fmax(np.fmax(end, last), np.fmax(first, sent)))
        self.status.append(status)
        self.error.append(None if error is None else error_line(error))
        self.prompt_tokens.append(prompt_tokens)
        self.output_tokens.append(output_tokens)
        self.lists.add(chunks)

    @property
    def origin(self) -> float:
        """When the first request was due. Raises UsageError where there is none, or clocks are mixed."""
        if not self.sent:
            raise UsageError(f"{self.path}: holds no requests; there is nothing to audit")
        one_clock(self.path, np.array(self.sent))
        return min(self.due)

    @property
    def watched(self) -> float:
        """Seconds from the origin to the last time that the file knows."""
        return max(max(self.end) - self.origin, ROUNDING)

    def table(self) -> pa.Table:
        """The records; times from the origin. What is unfinished has no end."""
        origin = self.origin
        times = {name: np.array(getattr(self, name)) - origin for name in ("due", "sent", "end")}
        times["end"][[each == UNFINISHED for each in self.status]] = np.nan
        columns = {
            **times,
            "first_token": np.array(self.first) - origin,
            "last_token": np.array(self.last) - origin,
            "status": self.status,
            "error": self.error,
            "prompt_tokens": np.array(self.prompt_tokens),
            "output_tokens": np.array(self.output_tokens),
        }
        return make_table(columns)

    def chunks(self) -> Chunks:
        """When chunks came, from the origin."""
        origin = self.origin

        def batches() -> Iterator[ChunkBatch]:
            for part in self.lists.parts():
                unsaid = np.full(len(part.numbers), np.nan)
                yield ChunkBatch(part.first, part.offsets, part.numbers - origin, unsaid)

        return Chunks(self.lists.total, batches)
