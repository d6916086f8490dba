"""The requests of a file that lists them one by one, gathered into columns."""

import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa

from common.usage import UsageError
from loadgen.records.record import UNFINISHED
from reports.runs.importers.imported import (
    LONGEST,
    ROUNDING,
    Chunks,
    error_line,
    in_order,
    make_table,
    one_clock,
    spread,
)
from reports.runs.runs import Floats

CHUNKS = 64  # at most, to spread a request's tokens over its time where the file has no chunks


@dataclass
class Requests:
    """Times are seconds of the file's own clock, NaN for what did not happen."""

    path: Path
    due: list[float] = field(default_factory=list)
    sent: list[float] = field(default_factory=list)
    first: list[float] = field(default_factory=list)
    last: list[float] = field(default_factory=list)
    end: list[float] = field(default_factory=list)
    status: list[str] = field(default_factory=list)
    error: list[str | None] = field(default_factory=list)
    prompt_tokens: list[float] = field(default_factory=list)
    output_tokens: list[float] = field(default_factory=list)
    chunks: list[Floats] = field(default_factory=list)

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
        self.chunks.append(chunks)

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
        return make_table(columns, Chunks.of([each - origin for each in self.chunks]))
