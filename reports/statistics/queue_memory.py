"""How long a queue takes to forget: near a server's capacity, longer than a short run shows by itself.

A queue that comes and goes moves, near the capacity, like Brownian motion above zero. How long it is on
average then says how long it takes to forget, and of how many independent looks at it a run consists
(Whitt, Management Science 35(11) (1989) 1341-1366).
"""

import numpy as np

from reports.runs.runs import Floats, Run, kept

PARTS, TOGETHER = 10, 50  # requests in a row: at least so many parts; not more than so many in each
IDLE = 0.1  # of the parts in which least is waited: there nothing waits
COUNTS = 60  # of the window, to see how unevenly requests come


@kept
def stretch(run: Run) -> float:
    """Seconds of this run that tell as much of its queue as one look that depends on no other.

    The integrated autocorrelation of Brownian motion above zero with drift -d and variance s per second is
    2 s / d², and its mean s / (2 d): so 8 mean² / s. The variance of a queue's input per second is the rate
    times (the arrivals' dispersion + the service times' squared coefficient of variation); how many wait is
    the rate times how long (Little). 0 where requests come only once others were answered, and nothing can
    pile up.
    """
    if run.closed_loop:
        return 0.0
    rate, uneven = int(run.judged.sum()) / run.window_length, _unevenness(run)
    if not rate or not uneven:
        return 0.0
    return 8 * (rate * mean_wait(run)) ** 2 / (rate * uneven)


def steepness(run: Run) -> float:
    """By how many per cent the wait grows where serving takes one per cent longer.

    The wait goes like s u / (1 - u) with the service time s and the utilisation u (Kingman, Proc. Cambridge
    Phil. Soc. 57 (1961) 902-904), which gives 2 + u / (1 - u). How many wait, over half the unevenness of
    arrivals and service times, is u² / (1 - u). 1 where nothing can pile up.
    """
    rate, uneven = int(run.judged.sum()) / run.window_length, _unevenness(run)
    if run.closed_loop or not rate or not uneven:
        return 1.0
    return 2 + 2 * rate * mean_wait(run) / uneven


@kept
def mean_wait(run: Run) -> float:
    """Seconds of TTFT beyond what it is where nothing waits. Of medians, since prompts differ."""
    due, first = (run.records.numbers(name)[run.judged] for name in ("due", "first_token"))
    seen = np.flatnonzero(~np.isnan(first))
    if len(seen) < PARTS:
        return 0.0
    medians = _medians((first - due)[seen[np.argsort(due[seen])]], max(PARTS, len(seen) // TOGETHER))
    return float(medians.mean() - np.quantile(medians, IDLE, method="lower"))


def _medians(values: Floats, parts: int) -> Floats:
    """Of each of so many parts in a row, the first ones of which are longer by one (`np.array_split`)."""
    least, longer = divmod(len(values), parts)
    cut = longer * (least + 1)
    rows = values[:cut].reshape(longer, least + 1), values[cut:].reshape(parts - longer, least)
    return np.concatenate([np.median(each, axis=1) for each in rows])


def _unevenness(run: Run) -> float:
    """Variance / mean of the arrivals counted, and variance / mean² of the time from first to last token."""
    due, first, last = (
        run.records.numbers(name)[run.judged] for name in ("due", "first_token", "last_token")
    )
    arrivals, served = np.histogram(due, np.linspace(*run.window, COUNTS + 1))[0], last - first
    served = served[~np.isnan(served)]
    if not len(served) or not served.mean():
        return 0.0
    return float(arrivals.var() / arrivals.mean() + served.var() / served.mean() ** 2)
