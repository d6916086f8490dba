"""What a run shows of its engine's steps: the gaps between tokens, and what was in the steps meanwhile.

A gap of one sequence between chunks of n tokens spans n engine steps. How many sequences decoded then, which
context they held and which prompts were computed follows from the records of all the others.
"""

import numpy as np
from numpy.typing import NDArray

from common.usage import UsageError
from forecast.step_times import Observations, Work
from reports.runs.runs import Run

Floats = NDArray[np.float64]

LEAST_GAPS = 1000  # about 7 answers; fewer cannot tell a step's base from what each sequence adds
SHIFTS = (0.0, 0.15, 0.3, 0.5, 0.7)  # of a step: tokens of one step reach the client one after another
GRID_S = 0.1  # the context held is looked up so often: it grows by some per cent in that time
MOST_GAPS = 400_000  # a fit of more is no better, and the memory stays bounded


def observe(run: Run, shift: float) -> Observations:
    """The run's gaps. `shift`: how much later (in steps) than the others' tokens a first token may come and
    still be of the same step. Raises UsageError where the run has no chunk times."""
    rows, begin, end, steps = _gaps(run)
    if len(rows) < LEAST_GAPS:
        raise UsageError(
            f"{run.name}: no step times in it: {len(rows):,} gaps between chunks, and {LEAST_GAPS:,} are "
            "needed; a run made here with `make baseline` (streamed, 60 s) has them"
        )
    first, last = run.records.numbers("first_token"), _closed(run)
    began = ~np.isnan(first)
    first, last = first[began], last[began]
    prompt = run.records.numbers("prompt_tokens")[began]
    if np.isnan(prompt).any():
        prompt = np.where(np.isnan(prompt), run.records.numbers("prompt_asked")[began], prompt)
    middle = (begin + end) / 2
    decoding = _number(np.sort(first), middle) - _number(np.sort(last), middle)
    decoding = np.maximum(decoding, 1.0)
    order = np.argsort(first)
    later = shift * (end - begin) / steps
    low, high = (np.searchsorted(first[order], edge + later, "right") for edge in (begin, end))
    tokens = np.concatenate([[0.0], np.cumsum(np.nan_to_num(prompt[order]))])
    work = Work(
        steps,
        steps * decoding,
        steps * _context(run, began, first, last, prompt, middle),
        tokens[high] - tokens[low],
        (high - low).astype(np.float64),
    )
    return Observations(end, end - begin, work, 1 / decoding)


def _gaps(run: Run) -> tuple[NDArray[np.int64], Floats, Floats, Floats]:
    """(row, begin, end, tokens) of every gap between chunks; seconds from the run's start."""
    found = []
    for batch in run.records.chunk_batches():
        rows = np.repeat(np.arange(len(batch.counts)), batch.counts) + batch.first_row
        inner = np.ones(len(rows), dtype=bool)
        inner[batch.offsets[:-1][batch.counts > 0]] = False
        begin = np.concatenate([[0.0], batch.times[:-1]])[inner]
        tokens = np.where(np.isnan(batch.tokens), 1.0, batch.tokens)[inner]
        usable = (tokens >= 1) & (batch.times[inner] > begin)
        found.append((rows[inner][usable], begin[usable], batch.times[inner][usable], tokens[usable]))
    if not found:
        return np.zeros(0, np.int64), np.zeros(0), np.zeros(0), np.zeros(0)
    rows, begin, end, tokens = (np.concatenate(part) for part in zip(*found, strict=True))
    if len(rows) > MOST_GAPS:
        chosen = np.random.default_rng(1).choice(len(rows), MOST_GAPS, replace=False)
        rows, begin, end, tokens = rows[chosen], begin[chosen], end[chosen], tokens[chosen]
    return rows, begin, end, tokens


def _closed(run: Run) -> Floats:
    """When each record left the batch: its last token, or the end of the record."""
    last = run.records.numbers("last_token")
    done = run.records.status_is("completed")
    return np.where(done & ~np.isnan(last), last, run.closed_at)


def _number(events: Floats, at: Floats) -> Floats:
    return np.searchsorted(events, at).astype(np.float64)


def _context(
    run: Run, began: NDArray[np.bool_], first: Floats, last: Floats, prompt: Floats, at: Floats
) -> Floats:
    """Tokens of context that the decoding sequences hold at these moments: prompt, and answer so far."""
    output = np.nan_to_num(run.records.numbers("output_tokens")[began], nan=1.0)
    pace = output / np.maximum(last - first, 1e-6)
    start = np.nan_to_num(prompt) - pace * first  # tokens = start + pace · t while it decodes
    edges = np.arange(0.0, float(last.max()) + 2 * GRID_S, GRID_S)
    held = np.zeros(len(edges))
    for values, slope in ((start, False), (pace, True)):
        gained = np.bincount(np.searchsorted(edges, first), values, len(edges) + 1)
        lost = np.bincount(np.searchsorted(edges, last), values, len(edges) + 1)
        total = np.cumsum(gained - lost)[: len(edges)]
        held += total * edges if slope else total
    return np.asarray(np.maximum(np.interp(at, edges, held), 0.0))
