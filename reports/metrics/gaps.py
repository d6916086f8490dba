"""What one pass over all chunks gives: the gaps between them, and the tokens that came."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from loadgen.records.metrics import first_of
from loadgen.records.record import FAILED, UNFINISHED
from reports.metrics.folded import Folded, Gathered
from reports.metrics.lumps import Lumps, Streams
from reports.metrics.survival import Survival
from reports.runs.runs import ChunkBatch, Floats, Mask, Run, kept

_FIRST = "tokens of the first chunk"
GAPS_KEPT = 1_000_000  # for the interval of ITL; the percentile itself uses all


@dataclass(frozen=True, eq=False)
class SomeGaps:
    """The gaps of every n-th record, where there are more than GAPS_KEPT: for the interval of ITL, which that
    widens a little."""

    chosen: Mask  # shape (records,)
    rows: NDArray[np.int32]  # of which record each gap is
    seconds: NDArray[np.float32]  # 24 bits: exact to 1 part in 10^7


@dataclass(frozen=True, eq=False)
class TokenFlow:
    """What one pass over all chunks gives."""

    itl: Survival  # of judged arrivals
    one_by_one: bool  # every chunk carried one token
    received: Floats  # tokens of each record, shape (records,)
    in_window: float  # tokens of all records that arrived inside the window
    per_second: Floats  # tokens of all records in each second from the run's start
    lumps: Lumps  # of judged arrivals
    chunks: NDArray[np.int64]  # of each record, shape (records,), as are the next two
    unsaid: Mask  # whether the server did not say how many tokens its first chunk has
    unseen: Floats  # reasoning tokens that it counted and did not stream
    some: SomeGaps


def itl(run: Run) -> Survival:
    """Every gap of the judged arrivals."""
    return token_flow(run).itl


def itl_per_token(run: Run) -> Survival:
    """Every gap of the judged arrivals, a gap before n tokens as n of 1/n."""
    return token_flow(run).itl if token_flow(run).one_by_one else _gaps_per_token(run)


GAPS: dict[str, Callable[[Run], Survival]] = {"itl": itl, "itl_per_token": itl_per_token}


def first_chunk(run: Run) -> Floats:
    """Tokens of each record's first chunk (loadgen.records.metrics.first_of), else 1; shape (records,)."""
    if _FIRST not in run.of_records:
        token_flow(run)
    found: Floats = run.of_records[_FIRST]
    return found


@kept
def token_flow(run: Run) -> TokenFlow:
    """Gaps and token counts from one pass over the chunk lists."""
    start, end = run.window
    received = np.zeros(len(run.records))
    output = run.records.numbers("output_tokens")
    limit = run.records.chunk_limit
    gathered, every = Gathered(limit), max(1, -(-limit // GAPS_KEPT))
    in_window, one_by_one = 0.0, True
    per_second = np.zeros(max(int(np.ceil(run.manifest.drained_at)), 1))
    last_chunk = np.full(len(run.records), np.nan)
    unseen, first = _unseen(run), np.ones(len(run.records))
    chunks, unsaid = np.zeros(len(run.records), np.int64), np.zeros(len(run.records), bool)
    streams, chosen = Streams(), run.judged & (np.arange(len(run.records)) % every == 0)
    some, taken = SomeGaps(chosen, np.empty(limit, np.int32), np.empty(limit, np.float32)), 0
    for batch in run.records.chunk_batches():
        rows = slice(batch.first_row, batch.first_row + len(batch.counts))
        tokens = _tokens(batch, output[rows])
        gathered.add(np.diff(batch.times, prepend=0.0)[_ends_gap(batch, run.judged[rows])])
        of, those = _gaps_of(batch, chosen[rows])
        some.rows[taken : taken + len(of)], some.seconds[taken : taken + len(of)] = of, those
        taken += len(of)
        streams.add(batch, run.judged[rows])
        one_by_one = one_by_one and bool((tokens == 1).all())
        sums = np.concatenate([[0.0], np.cumsum(tokens)])
        received[rows] = sums[batch.offsets[1:]] - sums[batch.offsets[:-1]]
        in_window += float(tokens[(batch.times >= start) & (batch.times < end)].sum())
        second = np.clip(batch.times, 0, len(per_second) - 0.5).astype(np.int64)
        per_second += np.bincount(second, tokens, len(per_second))
        begun = batch.counts > 0
        last_chunk[rows][begun] = batch.times[batch.offsets[1:][begun] - 1]
        first[rows][begun] = _first(batch, output[rows], unseen[rows], begun)
        chunks[rows] = batch.counts
        unsaid[rows][begun] = np.isnan(batch.tokens[batch.offsets[:-1][begun]])
    run.of_records[_FIRST] = first
    return TokenFlow(
        _with_open_gaps(run, gathered.ascending(), last_chunk),
        one_by_one,
        received,
        in_window,
        per_second,
        streams.lumps(),
        chunks,
        unsaid,
        np.where(unsaid, unseen, 0.0),
        SomeGaps(chosen, some.rows[:taken], some.seconds[:taken]),
    )


def _first(batch: ChunkBatch, output: Floats, unseen: Floats, begun: Mask) -> Floats:
    """Tokens of the first chunk of those records of the batch that have one."""
    said, chunks = batch.tokens[batch.offsets[:-1][begun]], batch.counts[begun]
    whole = np.where(np.isnan(output[begun]), chunks, output[begun])
    return np.where(np.isnan(said), first_of(whole, unseen[begun], chunks), said)


def _unseen(run: Run) -> Floats:
    """Reasoning tokens that the server counted and did not stream; shape (records,)."""
    if not run.records.has("first_answer"):
        return np.zeros(len(run.records))
    numbers = run.records.numbers
    return np.where(
        numbers("first_answer") == numbers("first_token"), np.nan_to_num(numbers("reasoning_tokens")), 0.0
    )


def _tokens(batch: ChunkBatch, output: Floats) -> Floats:
    """Tokens of each chunk; where unknown, the request's total spread evenly over its chunks, or 1."""
    unknown = np.isnan(batch.tokens)
    if not unknown.any():
        return batch.tokens
    row = np.repeat(np.arange(len(batch.counts)), batch.counts)
    said = np.bincount(row, np.nan_to_num(batch.tokens), len(batch.counts))
    silent = np.bincount(row, unknown, len(batch.counts))
    each = np.where(
        output > said, (output - said) / np.maximum(silent, 1), np.where(np.isnan(output), 1.0, 0.0)
    )
    return np.where(unknown, each[row], batch.tokens)


def _gaps_of(batch: ChunkBatch, chosen: Mask) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """(record, gap) of those of the batch's records that are chosen."""
    gaps = np.diff(batch.times, prepend=0.0)[_ends_gap(batch, chosen)]
    rows = (batch.first_row + np.flatnonzero(chosen)).astype(np.int32)
    return np.repeat(rows, np.maximum(batch.counts[chosen] - 1, 0)), gaps.astype(np.float32)


def _ends_gap(batch: ChunkBatch, judged: Mask) -> Mask:
    """Which chunks end a gap of a judged record: all but each record's first; shape (chunks,)."""
    wanted = np.repeat(judged, batch.counts)
    wanted[batch.offsets[:-1][batch.counts > 0]] = False
    return wanted


def _with_open_gaps(run: Run, known: NDArray[np.float32] | Folded, last_chunk: Floats) -> Survival:
    """Add the gaps that were running when the drain ended, and those that a failure broke off."""
    still, broken = open_gaps(run, last_chunk)
    censored = np.sort((run.closed_at - last_chunk)[still])
    return Survival(known, censored, int(broken.sum()))


def open_gaps(run: Run, last_chunk: Floats) -> tuple[Mask, Mask]:
    """Whose gap was running when the drain ended, and whose a failure broke off; shape (records,) each."""
    streaming = run.judged & ~np.isnan(last_chunk)
    short = ~(run.records.numbers("output_tokens") >= run.records.numbers("output_asked"))
    cut = streaming & short
    return cut & run.records.status_is(UNFINISHED), cut & run.records.status_is(FAILED)


@kept
def _gaps_per_token(run: Run) -> Survival:
    output, flow = run.records.numbers("output_tokens"), token_flow(run)
    gathered = Gathered(int(flow.received.sum()) + 1)
    for batch in run.records.chunk_batches():
        rows = slice(batch.first_row, batch.first_row + len(batch.counts))
        tokens = _tokens(batch, output[rows])
        said = np.where(
            np.isnan(batch.tokens), tokens == 1, tokens >= 1
        )  # as many chunks as tokens: one each
        chosen = said & _ends_gap(batch, run.judged[rows])
        times = tokens[chosen].astype(np.int64)
        gathered.add(np.repeat(np.diff(batch.times, prepend=0.0)[chosen] / times, times))
    return Survival(gathered.ascending(), flow.itl.censored, flow.itl.never)
