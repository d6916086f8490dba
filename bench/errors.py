"""The client's error: what its records say minus what the metronome did.

Durations are compared with durations, so no clock offset enters: TTFT error = (first_token - sent) of the
record - (first token sent - request read) of the truth. What the network and the client add on both ways
is in it.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from bench.truth import Truth
from common.usage import UsageError


@dataclass(frozen=True)
class Errors:
    """Over the completed requests of one run that the truth knows, one value each, in seconds."""

    ttft: np.ndarray  # against what was really sent
    ttft_timetable: np.ndarray  # against the timetable: the metronome's own lateness is in it
    tpot: np.ndarray  # against what was really sent; NaN for answers of one token
    tokens: int  # chunks the client stamped


def compare(records: pd.DataFrame, truth: Truth) -> Errors:
    """Match records and truth by request id and take the differences.

    `records` has the columns of `records.record`. Raises UsageError where they do not tell of the same
    requests or tokens: then the figures would mean nothing.
    """
    completed = records[records["status"] == "completed"].sort_values("sent")
    place = _places(completed, truth)
    first, end = truth.offsets[place], truth.offsets[place + 1]
    counts = np.array([len(times) for times in completed["chunk_times"]])
    if (counts != end - first).any():
        wrong = int((counts != end - first).sum())
        raise UsageError(f"{wrong} of {len(counts)} requests: the client stamped other tokens than were sent")
    client_ttft = (completed["first_token"] - completed["sent"]).to_numpy(float)
    client_span = (completed["last_token"] - completed["first_token"]).to_numpy(float)
    return differences(client_ttft, client_span, truth, place)


def differences(ttft: np.ndarray, span: np.ndarray, truth: Truth, place: np.ndarray) -> Errors:
    """What a client says of requests, less what was true of them.

    ttft, span: s from sent to the first token and from that to the last, shape (n,). place: the truth's row
    of each request, shape (n,).
    """
    first, end = truth.offsets[place], truth.offsets[place + 1]
    counts = end - first
    true_span = truth.sent[end - 1] - truth.sent[first]
    steps = np.where(counts > 1, counts - 1, np.nan)
    waited = truth.start[place] - truth.read[place]
    return Errors(
        ttft=ttft - (truth.sent[first] - truth.read[place]),
        ttft_timetable=ttft - truth.timetable.ttft - waited,
        tpot=(span - true_span) / steps,
        tokens=int(counts.sum()),
    )


def rows_by_number(truth: Truth) -> dict[int, int]:
    """The truth's row of each request whose id ends in -<number>."""
    tails = [ident.rpartition("-")[2] for ident in truth.ident]
    return {int(tail): row for row, tail in enumerate(tails) if tail.isdigit()}


def _places(completed: pd.DataFrame, truth: Truth) -> np.ndarray:
    """For each record, the truth's row of the same arrival."""
    known = rows_by_number(truth)
    places = [known.get(arrival, -1) for arrival in completed["arrival"]]
    missing = places.count(-1)
    if missing or not places:
        raise UsageError(f"{missing} of {len(places)} completed requests are not in the metronome's log")
    return np.array(places)
