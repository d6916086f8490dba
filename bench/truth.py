"""What the metronome really did: when each request was read and when each token was sent.

All times are CLOCK_MONOTONIC seconds (`time.perf_counter()`, which is the same clock on Linux), so a
client on the same host can compare them with its own stamps. 8 bytes are kept for each token.
"""

import io
import json
import math
from array import array
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from bench.timetable import Timetable
from common.results import write_whole
from common.usage import UsageError

EDGE = 5  # s


@dataclass(slots=True)
class Answer:
    """One request, in order of arrival."""

    ident: str  # X-Request-Id or the body's request_id; empty when the client gave none
    words: str  # the prompt's first words
    read: float  # the last byte of the request was received
    start: float  # its service began; later than `read` when it had to queue, NaN while it waits
    asked: int  # tokens
    sent: array  # one time for each token handed to the kernel


@dataclass(frozen=True)
class Truth:
    """The same as arrays; token times of request i are `sent[offsets[i]:offsets[i + 1]]`."""

    ident: np.ndarray  # text, shape (n,)
    words: np.ndarray  # text, shape (n,)
    read: np.ndarray  # seconds, shape (n,)
    start: np.ndarray  # seconds, shape (n,)
    asked: np.ndarray  # tokens, shape (n,)
    offsets: np.ndarray  # shape (n + 1,)
    sent: np.ndarray  # seconds, shape (tokens sent,)
    timetable: Timetable

    @classmethod
    def of(cls, answers: Sequence[Answer], timetable: Timetable) -> "Truth":
        counts = [len(answer.sent) for answer in answers]
        sent = [np.frombuffer(answer.sent) for answer in answers if answer.sent]
        return cls(
            ident=np.array([answer.ident for answer in answers], dtype=str),
            words=np.array([answer.words for answer in answers], dtype=str),
            read=np.array([answer.read for answer in answers], dtype=float),
            start=np.array([answer.start for answer in answers], dtype=float),
            asked=np.array([answer.asked for answer in answers], dtype=np.int64),
            offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
            sent=np.concatenate(sent) if sent else np.zeros(0),
            timetable=timetable,
        )

    @classmethod
    def joined(cls, parts: Sequence["Truth"]) -> "Truth":
        """What several metronomes of one timetable did together."""
        arrays = {
            name: np.concatenate([getattr(part, name) for part in parts])
            for name in ("ident", "words", "read", "start", "asked", "sent")
        }
        counts = np.concatenate([np.diff(part.offsets) for part in parts])
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        return cls(**arrays, offsets=offsets, timetable=parts[0].timetable)

    def due(self) -> np.ndarray:
        """When the timetable wanted each token sent, shaped like `sent`."""
        counts = np.diff(self.offsets)
        index = np.arange(len(self.sent)) - np.repeat(self.offsets[:-1], counts)
        return np.repeat(self.start, counts) + self.timetable.offsets(index, np.repeat(self.asked, counts))

    def lateness(self) -> np.ndarray:
        """Seconds by which each token left after its time in the timetable."""
        return self.sent - self.due()

    def steady_rate(self) -> float:
        """Tokens a second: the median of the seconds, without EDGE s of them at either end."""
        edges = np.arange(self.sent.min() + EDGE, self.sent.max() - EDGE, 1.0)
        return float(np.median(np.histogram(self.sent, edges)[0])) if len(edges) > 1 else math.nan

    def to_bytes(self) -> bytes:
        """An .npz file."""
        buffer = io.BytesIO()
        np.savez(buffer, **vars(self) | {"timetable": json.dumps(asdict(self.timetable))})
        return buffer.getvalue()

    def save(self, path: Path) -> None:
        """Write an .npz file, whole or not at all."""
        write_whole(path, self.to_bytes())

    @classmethod
    def load(cls, path: Path) -> "Truth":
        """Read what `save` wrote. Raises UsageError."""
        try:
            with np.load(path) as data:
                arrays = {name: data[name] for name in cls.__dataclass_fields__}
        except (OSError, ValueError, KeyError) as error:
            raise UsageError(f"{path}: not a log of the metronome: {error}") from None
        timetable = Timetable(**json.loads(str(arrays.pop("timetable"))))
        return cls(**arrays, timetable=timetable)
