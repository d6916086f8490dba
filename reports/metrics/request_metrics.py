"""Every figure of a report, each from one function whose docstring's first paragraph defines it.

Only arrivals due inside the window are judged. A request that failed, was lost, or ended without text
never gave what is measured: it counts as infinitely long. One that was unfinished when the drain ended
is censored: known to be longer than what was seen. So nobody drops out of a percentile, and a
percentile beyond the share that finished is "> x". docs/metrics.md says the same at more length.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from loadgen.records.record import COMPLETED, FAILED, LOST, STATUSES, UNFINISHED
from reports.metrics.survival import Survival, needed
from reports.runs.runs import ChunkBatch, Floats, Mask, Run

SHARES = {"p50": 0.50, "p90": 0.90, "p95": 0.95, "p99": 0.99}
CONFIDENCE = 0.99  # of the upper bounds beside the percentiles


@dataclass(frozen=True)
class Figure:
    """One figure as summary.json holds it. `value` is None where there is none."""

    value: float | None
    unit: str  # "s", "1/s", "tokens/s", "share"
    count: int  # arrivals, gaps or tokens behind it
    definition: str
    censored: bool = False
    lower_bound: float | None = None  # of a percentile that the data cannot give
    upper_bound: float | None = None  # with 99 % confidence, for independent requests
    observed: int | None = None  # how many of `count` were seen to their end


@dataclass(frozen=True, eq=False)
class Durations:
    """One duration per judged arrival that the metric is defined for. Arrays have shape (arrivals,)."""

    rows: NDArray[np.int64]  # which records
    seconds: Floats  # the duration; a lower bound where not known; inf: never
    known: Mask

    def survival(self) -> Survival:
        """Sorted, for percentiles and curves."""
        return Survival.of(self.seconds, self.known)


@dataclass(frozen=True, eq=False)
class TokenFlow:
    """What one pass over all chunks gives."""

    itl: Survival  # of judged arrivals
    one_by_one: bool  # every chunk carried one token
    received: Floats  # tokens of each record, shape (records,)
    in_window: float  # tokens of all records that arrived inside the window
    per_second: Floats  # tokens of all records in each second from the run's start


@dataclass(frozen=True, eq=False)
class PerSecond:
    """Time series: entry i is of the second [i, i + 1) from the run's start, all arrivals."""

    t: Floats
    offered: Floats  # arrivals due
    completed: Floats  # requests whose last token came
    tokens: Floats
    in_flight: Floats  # mean number of requests between due and end


def ttft(run: Run) -> Durations:
    """Time to first token: first_token - sent. Seconds.

    The first token is the first chunk that carries text; `sent` is the connect, or the first byte on
    a kept connection.
    """
    return _durations(run, run.records.numbers("sent"), run.records.numbers("first_token"))


def scheduled_ttft(run: Run) -> Durations:
    """Scheduled time to first token: first_token - due. Seconds; what a user waits.

    It holds the client's own lag too, so there is no coordinated omission.
    """
    return _durations(run, run.records.numbers("due"), run.records.numbers("first_token"))


def latency(run: Run) -> Durations:
    """Request latency: last_token - sent, of a request that completed. Seconds."""
    return _durations(run, run.records.numbers("sent"), _finished_at(run))


def scheduled_latency(run: Run) -> Durations:
    """Scheduled request latency: last_token - due, of a request that completed. Seconds."""
    return _durations(run, run.records.numbers("due"), _finished_at(run))


def tpot(run: Run) -> Durations:
    """Time per output token: (last_token - first_token) / (output_tokens - 1), for 2 tokens or more that did
    not all come at one moment.

    Seconds per token. An answer that came in one piece says nothing of the pace at which it was made.
    Unfinished: at least (end of the drain - first_token) / (tokens asked - 1), since no more than the tokens
    asked can come. Of those that got a first token: nothing is known of the others.
    """
    records = run.records
    tokens, asked = records.numbers("output_tokens"), records.numbers("output_asked")
    first, last = records.numbers("first_token"), records.numbers("last_token")
    completed, unfinished = records.status_is(COMPLETED), records.status_is(UNFINISHED)
    defined = np.where(completed, (tokens >= 2) & ~in_one_piece(run), ~(asked < 2) & ~np.isnan(first))
    rows = np.flatnonzero(run.judged & defined)
    seconds = np.full(len(rows), np.inf)
    done, open_ = completed[rows], unfinished[rows]
    whole = rows[done]
    seconds[done] = (last - first)[whole] / (tokens[whole] - 1)
    least = (run.closed_at - first)[rows] / (asked[rows] - 1)
    seconds[open_] = np.nan_to_num(np.maximum(least, 0.0))[open_]
    return Durations(rows, seconds, ~open_)


def in_one_piece(run: Run) -> Mask:
    """Which answers of 2 tokens or more came whole at one moment; shape (records,)."""
    numbers = run.records.numbers
    return (numbers("output_tokens") >= 2) & (numbers("last_token") <= numbers("first_token"))


def itl(run: Run) -> Survival:
    """Inter-token latency: every gap between successive chunks with text, pooled. Seconds.

    A chunk of several tokens is one gap. The gap that was running when the drain ended is censored; the
    one that a failure broke off never ended.
    """
    return token_flow(run).itl


def itl_per_token(run: Run) -> Survival:
    """Inter-token latency per token: a gap before a chunk of n tokens counts as n gaps of 1/n of it.

    Seconds. Chunks whose token count the server did not say are left out.
    """
    if token_flow(run).one_by_one:
        return token_flow(run).itl
    if "itl_per_token" not in run.memo:
        run.memo["itl_per_token"] = _gaps_per_token(run)
    return cast(Survival, run.memo["itl_per_token"])


def dispatch_delay(run: Run) -> Durations:
    """How late a request left: sent - due. Seconds.

    One that never left before the drain ended is infinitely late. Left out: those lost, and those that
    failed before anything could be sent (a name that does not resolve).
    """
    sent, due = run.records.numbers("sent"), run.records.numbers("due")
    never = np.isnan(sent) & run.records.status_is(UNFINISHED)
    rows = np.flatnonzero(run.judged & (never | ~np.isnan(sent)))
    seconds = np.where(never, np.inf, sent - due)[rows]
    return Durations(rows, seconds, np.ones(len(rows), bool))


def output_token_throughput(run: Run) -> Figure:
    """Output tokens received inside the window / the window's length, of all requests, finished or not.

    Requests of the warm-up count with the tokens that fall inside the window. A chunk whose token count
    the server did not say has its share of the request's total, or 1 if there is none.
    """
    value = token_flow(run).in_window
    return Figure(value / run.window_length, "tokens/s", round(value), _definition(output_token_throughput))


def offered_rate(run: Run) -> Figure:
    """Arrivals due inside the window / the window's length."""
    count = int(run.judged.sum())
    return Figure(count / run.window_length, "1/s", count, _definition(offered_rate))


def completed_rate(run: Run) -> Figure:
    """Requests whose last token came inside the window and that completed / the window's length.

    Of all requests, those of the warm-up too, as for token throughput. Below the offered rate for long,
    the backlog grows.
    """
    ended, (start, end) = _finished_at(run), run.window
    count = int(((ended >= start) & (ended < end)).sum())
    return Figure(count / run.window_length, "1/s", count, _definition(completed_rate))


def slo_attainment(run: Run) -> Figure:
    """Arrivals that met every part of the scenario's SLO / all arrivals of the window.

    The SLO's `ttft` and `latency` are the scheduled ones, its `tpot` for requests that have one.
    An arrival that did not complete did not meet it.
    """
    good, judged = met_slo(run), int(run.judged.sum())
    value = float(good.sum()) / judged if good is not None and judged else None
    return Figure(value, "share", judged, _definition(slo_attainment))


def goodput_rate(run: Run) -> Figure:
    """Arrivals that met every part of the scenario's SLO / the window's length."""
    good, judged = met_slo(run), int(run.judged.sum())
    value = float(good.sum()) / run.window_length if good is not None else None
    return Figure(value, "1/s", judged, _definition(goodput_rate))


def met_slo(run: Run, granted: float | None = None) -> Mask | None:
    """Which judged arrivals met the SLO; shape (judged,), in the records' order. None without an SLO.

    `granted`: take service times instead of scheduled ones, less so many seconds; of TPOT, spread over the
    tokens.
    """
    bounds = run.manifest.scenario.get("slo") or {}
    late = granted is not None
    parts = {
        "ttft": ttft if late else scheduled_ttft,
        "tpot": tpot,
        "latency": latency if late else scheduled_latency,
    }
    wanted = {key: float(bounds[key]) for key in parts if bounds.get(key) is not None}
    if not wanted:
        return None
    good = run.records.status_is(COMPLETED) & run.judged
    for key, bound in wanted.items():
        found = parts[key](run)
        allowed = np.full(len(found.rows), granted or 0.0)
        if key == "tpot":
            allowed /= np.maximum(run.records.numbers("output_tokens")[found.rows] - 1, 1)
        good[found.rows[~(found.known & (found.seconds - allowed <= bound))]] = False
    return good[run.judged]


def accounting(run: Run, window_only: bool = True) -> dict[str, int]:
    """Arrivals due, and how many of them completed, failed, were unfinished, were lost."""
    chosen = run.judged if window_only else np.ones(len(run.records), bool)
    counts = {status: int((run.records.status_is(status) & chosen).sum()) for status in STATUSES}
    return {"due": int(chosen.sum()), **counts}


def errors(run: Run) -> dict[str, int]:
    """The errors of the window's arrivals and how often each came, most frequent first."""
    codes, texts = run.records.codes("error")
    found = np.bincount(codes[run.judged & (codes >= 0)], minlength=len(texts))
    pairs = [(text, int(count)) for text, count in zip(texts, found, strict=True) if count]
    return dict(sorted(pairs, key=lambda pair: (-pair[1], pair[0])))


def per_second(run: Run) -> PerSecond:
    """Offered, completed, tokens and requests in flight in each second of the run, all arrivals."""
    seconds = len(token_flow(run).per_second)
    edges = np.arange(seconds + 1, dtype=np.float64)
    ended = _finished_at(run)
    return PerSecond(
        edges[:-1],
        np.histogram(run.records.numbers("due"), edges)[0].astype(np.float64),
        np.histogram(ended[~np.isnan(ended)], edges)[0].astype(np.float64),
        token_flow(run).per_second,
        in_flight(run, edges),
    )


def in_flight(run: Run, edges: Floats) -> Floats:
    """Mean number of requests between due and end, in each span between successive edges (seconds).

    An exact integral, no sampling. Lost requests are left out; unfinished ones last to the end.
    """
    here = ~run.records.status_is(LOST)
    end = np.where(run.records.status_is(UNFINISHED), np.inf, run.closed_at)
    return mean_number(run.records.numbers("due")[here], end[here], edges)


def mean_number(begin: Floats, end: Floats, edges: Floats) -> Floats:
    """Mean number of spans (begin to end, seconds; inf: for ever) that run between successive edges."""
    area = _time_since(np.sort(begin), edges) - _time_since(np.sort(end[np.isfinite(end)]), edges)
    return np.diff(area) / np.diff(edges)


def token_flow(run: Run) -> TokenFlow:
    """Gaps and token counts from one pass over the chunk lists; kept with the run."""
    if "token_flow" not in run.memo:
        run.memo["token_flow"] = _token_flow(run)
    return cast(TokenFlow, run.memo["token_flow"])


DURATIONS: dict[str, Callable[[Run], Durations]] = {
    "ttft": ttft,
    "scheduled_ttft": scheduled_ttft,
    "tpot": tpot,
    "latency": latency,
    "scheduled_latency": scheduled_latency,
    "dispatch_delay": dispatch_delay,
}
GAPS: dict[str, Callable[[Run], Survival]] = {"itl": itl, "itl_per_token": itl_per_token}
RATES: dict[str, Callable[[Run], Figure]] = {
    "output_token_throughput": output_token_throughput,
    "offered_rate": offered_rate,
    "completed_rate": completed_rate,
    "slo_attainment": slo_attainment,
    "goodput_rate": goodput_rate,
}


def survival(run: Run, name: str) -> Survival:
    """The sorted durations of a metric of DURATIONS or GAPS; kept with the run."""
    key = f"survival:{name}"
    if key not in run.memo:
        run.memo[key] = GAPS[name](run) if name in GAPS else DURATIONS[name](run).survival()
    return cast(Survival, run.memo[key])


def percentile(run: Run, name: str, share: float) -> Figure:
    """One percentile of a metric of DURATIONS or GAPS, over all that the metric is defined for."""
    durations = survival(run, name)
    found = durations.percentile(share)
    definition = f"p{100 * share:g} of: {_definition((DURATIONS | GAPS)[name])}"
    independent = name in DURATIONS and found.value is not None  # gaps of one stream hang together
    bound = durations.upper_bound(share, CONFIDENCE) if independent else None
    return Figure(
        found.value,
        "s",
        durations.count,
        definition,
        found.censored,
        found.lower_bound,
        bound,
        len(durations.known),
    )


def thin(figure: Figure, share: float) -> int | None:
    """How many a percentile needs, where fewer have it; None where there are enough, or none at all."""
    least = needed(share, CONFIDENCE, 0)
    return least if 0 < figure.count < least else None


def figures(run: Run) -> dict[str, Figure]:
    """Every metric of summary.json by name: the rates, then <metric>_p50, _p90, _p95, _p99."""
    found = {name: rate(run) for name, rate in RATES.items()}
    for name in (*DURATIONS, *GAPS):
        for suffix, share in SHARES.items():
            found[f"{name}_{suffix}"] = percentile(run, name, share)
    return found


def _definition(function: Callable[..., object]) -> str:
    """The first paragraph of a docstring, in one line."""
    return " ".join((function.__doc__ or "").split("\n\n")[0].split())


def _finished_at(run: Run) -> Floats:
    """The last token's time of the requests that completed, NaN for all others; shape (records,)."""
    return np.where(run.records.status_is(COMPLETED), run.records.numbers("last_token"), np.nan)


def _durations(run: Run, origin: Floats, moment: Floats) -> Durations:
    rows = np.flatnonzero(run.judged)
    reached = ~np.isnan(moment[rows])
    waiting = run.records.status_is(UNFINISHED)[rows] & ~reached
    seconds = np.full(len(rows), np.inf)
    seconds[reached] = (moment - origin)[rows][reached]
    seconds[waiting] = np.nan_to_num((run.closed_at - origin)[rows][waiting])  # never sent: nothing known
    return Durations(rows, seconds, ~waiting)


def _time_since(events: Floats, edges: Floats) -> Floats:
    """Sum over all sorted events of the time from the event to each edge, 0 where it comes later."""
    sums = np.concatenate([[0.0], np.cumsum(events)])
    before = np.searchsorted(events, edges, "right")
    return cast(Floats, before * edges - sums[before])


def _token_flow(run: Run) -> TokenFlow:
    start, end = run.window
    received = np.zeros(len(run.records))
    output = run.records.numbers("output_tokens")
    gaps = np.empty(run.records.chunk_limit, np.float32)  # 24 bits: exact to 1 part in 10^7
    filled, in_window, one_by_one = 0, 0.0, True
    per_second = np.zeros(max(int(np.ceil(run.manifest.drained_at)), 1))
    last_chunk = np.full(len(run.records), np.nan)
    for batch in run.records.chunk_batches():
        rows = slice(batch.first_row, batch.first_row + len(batch.counts))
        tokens = _tokens(batch, output[rows])
        found = np.diff(batch.times, prepend=0.0)[ends_gap(batch, run.judged[rows])]
        gaps[filled : filled + len(found)] = found
        filled += len(found)
        one_by_one = one_by_one and bool((tokens == 1).all())
        sums = np.concatenate([[0.0], np.cumsum(tokens)])
        received[rows] = sums[batch.offsets[1:]] - sums[batch.offsets[:-1]]
        in_window += float(tokens[(batch.times >= start) & (batch.times < end)].sum())
        second = np.clip(batch.times, 0, len(per_second) - 0.5).astype(np.int64)
        per_second += np.bincount(second, tokens, len(per_second))
        some = batch.counts > 0
        last_chunk[rows][some] = batch.times[batch.offsets[1:][some] - 1]
    known = gaps[:filled]
    known.sort()
    return TokenFlow(_with_open_gaps(run, known, last_chunk), one_by_one, received, in_window, per_second)


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


def ends_gap(batch: ChunkBatch, judged: Mask) -> Mask:
    """Which chunks end a gap of a judged record: all but each record's first; shape (chunks,)."""
    wanted = np.repeat(judged, batch.counts)
    wanted[batch.offsets[:-1][batch.counts > 0]] = False
    return wanted


def _with_open_gaps(run: Run, known: NDArray[np.float32], last_chunk: Floats) -> Survival:
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


def _gaps_per_token(run: Run) -> Survival:
    output = run.records.numbers("output_tokens")
    parts = [np.zeros(0, np.float32)]
    for batch in run.records.chunk_batches():
        rows = slice(batch.first_row, batch.first_row + len(batch.counts))
        tokens = _tokens(batch, output[rows])
        said = np.where(
            np.isnan(batch.tokens), tokens == 1, tokens >= 1
        )  # as many chunks as tokens: one each
        chosen = said & ends_gap(batch, run.judged[rows])
        times = tokens[chosen].astype(np.int64)
        parts.append(np.repeat((np.diff(batch.times, prepend=0.0)[chosen] / times).astype(np.float32), times))
    known = np.concatenate(parts)
    known.sort()
    whole = token_flow(run).itl
    return Survival(known, whole.censored, whole.never)
