"""What a gateway takes: requests that went through it against those that went past it."""

import math
from dataclasses import dataclass

import numpy as np

from reports.runs.runs import Floats, Mask, Run, kept

LEAST = 5  # requests each way: of fewer nothing can be said with 95 % confidence
MOST = 2000  # of each, evenly spread: of these there are 4 million pairs
Z = 1.96  # of 95 %


@dataclass(frozen=True)
class Gateway:
    """By how much TTFT is longer through the gateway, s: Hodges and Lehmann's shift, with 95 % confidence."""

    ttft: float
    low: float
    high: float
    past_ttft: float  # median of those that went past it, s
    past: int  # requests that went past it and got a first token


@kept
def gateway(run: Run) -> Gateway | None:
    """Of the window's requests. None where none went past it, or too few."""
    past = run.offered & (run.records.numbers("direct") > 0)
    through, direct = _ttft(run, run.judged), _ttft(run, past)
    if min(len(through), len(direct)) < LEAST:
        return None
    return Gateway(*shift(through, direct), float(np.median(direct)), len(direct))


def shift(one: Floats, other: Floats) -> tuple[float, float, float]:
    """(median of all differences one - other, low, high), by Mann and Whitney's statistic.

    Hodges and Lehmann, Ann. Math. Statist. 34 (1963) 598-611; the bounds as in Hollander and Wolfe, 4.3.
    """
    one, other = _some(one), _some(other)
    pairs = np.sort((one[:, None] - other[None, :]).ravel())
    count, whole = len(pairs), len(one) + len(other)
    reach = Z * math.sqrt(count * (whole + 1) / 12)
    low = max(math.floor(count / 2 - reach), 0)
    return float(np.median(pairs)), float(pairs[low]), float(pairs[count - 1 - low])


def _ttft(run: Run, chosen: Mask) -> Floats:
    found = (run.records.numbers("first_token") - run.records.numbers("sent"))[chosen]
    return found[~np.isnan(found)]


def _some(values: Floats) -> Floats:
    return values[np.linspace(0, len(values) - 1, min(len(values), MOST)).astype(np.int64)]
