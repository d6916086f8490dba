"""Lumps: chunks of one stream that come at one moment, a pause apart, as a buffer on the way makes them.

A stream of a fast server has short gaps too, but they fill its time; in lumps, the pauses do.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reports.runs.runs import ChunkBatch, Floats, Mask

TOGETHER = 0.001  # s; an engine step is longer, and a segment's chunks share one stamp
SHORTEST = 8  # chunks of a stream; in fewer, chance looks like a pattern
AT_ONCE = 0.5  # of a stream's gaps lie within lumps: two chunks a lump or more
PAUSED = 0.9  # of the stream's time lies between lumps


@dataclass(frozen=True)
class Lumps:
    """How the judged streams of SHORTEST chunks or more came. Seconds."""

    streams: int
    lumpy: int
    size: float  # chunks in a lump, median over the lumpy streams; NaN without one
    pause: float  # between lumps, likewise

    @property
    def share(self) -> float:
        return self.lumpy / self.streams if self.streams else 0.0


class Streams:
    """The judged streams, a batch at a time."""

    def __init__(self) -> None:
        self._streams = 0
        self._shapes: list[tuple[Floats, Floats]] = [(np.zeros(0), np.zeros(0))]

    def add(self, batch: ChunkBatch, judged: Mask) -> None:
        """`judged`: which of the batch's records."""
        long = judged & (batch.counts >= SHORTEST)
        self._streams += int(long.sum())
        self._shapes.append(_shapes(batch.times, batch.offsets, long))

    def lumps(self) -> Lumps:
        size, pause = (np.concatenate(parts) for parts in zip(*self._shapes, strict=True))
        middle = (float(np.median(each)) if len(size) else np.nan for each in (size, pause))
        return Lumps(self._streams, len(size), *middle)


def _shapes(times: Floats, offsets: NDArray[np.int64], chosen: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Mean size and mean pause of each chosen stream that came in lumps; shape (lumpy streams,) each."""
    begins, ends = offsets[:-1][chosen], offsets[1:][chosen]
    gaps = np.diff(times)
    apart = gaps >= TOGETHER
    splits = np.concatenate([[0], np.cumsum(apart)])
    waited = np.concatenate([[0.0], np.cumsum(np.where(apart, gaps, 0.0))])
    chunks, between = ends - begins, splits[ends - 1] - splits[begins]
    paused, lasted = waited[ends - 1] - waited[begins], times[ends - 1] - times[begins]
    lumpy = (between >= 2) & (chunks - 1 - between >= AT_ONCE * (chunks - 1)) & (paused >= PAUSED * lasted)
    return chunks[lumpy] / (between[lumpy] + 1), paused[lumpy] / between[lumpy]
