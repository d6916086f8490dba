"""Every metric of a request, each a function of its moments with one entry: name, label, definition, rows.

The summary, the report, the comparison, the live page, the exports and the tables of docs/metrics.md and
docs/metrics-live.md are made from METRICS. Rates are no metric of a request: loadgen.records.rates.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from loadgen.records.record import COMPLETED, Record

Number = Any  # of one request a float, of many an array with one entry for each
Since = Literal["sent", "first token", "end"]  # from when on a request's figure is known

NOT_YET = float("nan")
WHOLE = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
FIRST = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
PACE = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)
DELAY = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0)


class Moments(NamedTuple):
    """What the metrics of one request, or of many, follow from. Seconds on one clock; NaN: not there."""

    due: Number = NOT_YET
    sent: Number = NOT_YET
    first_token: Number = NOT_YET
    finished: Number = NOT_YET  # the last token of a request that completed
    tokens: Number = NOT_YET  # of the answer; where it did not complete, what was asked, at most
    held: Number = 0.0  # for how long max_concurrency held it back
    first_tokens: Number = 1.0  # of these, those of the first chunk
    first_answer: Number = NOT_YET  # the first token that is no reasoning

    @classmethod
    def of(
        cls,
        figure: Callable[[str, float], Number],
        completed: Number,
        either: Callable[[Number, Number, Number], Number],
    ) -> "Moments":
        """Those of a request, or of many, that have ended.

        `figure`: a field of the record, and what stands for one that is not there. `either`: the second
        where the first holds, else the third. Tokens of the first chunk are left at one.
        """
        return cls(
            figure("due", NOT_YET),
            figure("sent", NOT_YET),
            figure("first_token", NOT_YET),
            either(completed, figure("last_token", NOT_YET), NOT_YET),
            either(completed, figure("output_tokens", NOT_YET), figure("output_asked", math.inf)),
            figure("held", 0.0),
            first_answer=figure("first_answer", NOT_YET),
        )


@dataclass(frozen=True)
class Metric:
    """One entry. `since` None: not told while a run goes."""

    name: str
    label: str
    definition: str  # the first paragraph of the function's docstring: what summary.json says
    text: str  # all of it: what docs/metrics.md says
    seconds: Callable[[Moments], Number] | None  # None: a gap between chunks, of which a request has many
    since: Since | None
    rows: tuple[str, ...]  # its percentiles among a report's rows: "p50", "p99"
    queued: bool  # whether a queue decides it
    endless: bool  # whether one that had not come when the drain ended never will; else it is censored
    defined: Callable[[Moments], Number] | None  # which requests have it at all; None: each
    exported: str  # its name in OpenTelemetry
    buckets: tuple[float, ...]  # bounds of its exported histogram, s


METRICS: dict[str, Metric] = {}  # in the order of the tables


def metric(
    label: str,
    *,
    since: Since | None,
    rows: tuple[str, ...] = (),
    queued: bool = False,
    endless: bool = False,
    gaps: bool = False,
    defined: Callable[[Moments], Number] | None = None,
    exported: str = "",
    buckets: tuple[float, ...] = WHOLE,
) -> Callable[[Callable[..., Number]], Callable[..., Number]]:
    """The entry of the function below it. Less of a metric is better, and its unit is the second."""

    def keep(function: Callable[..., Number]) -> Callable[..., Number]:
        name, text = function.__name__, " ".join((function.__doc__ or "").split())
        METRICS[name] = Metric(
            name=name,
            label=label,
            definition=" ".join((function.__doc__ or "").split("\n\n")[0].split()),
            text=text,
            seconds=None if gaps else function,
            since=since,
            rows=rows,
            queued=queued,
            endless=endless,
            defined=defined,
            exported=exported or f"tokenswarm.{name}",
            buckets=buckets,
        )
        return function

    return keep


def live() -> tuple[str, ...]:
    """The names of those that are told while a run goes."""
    return tuple(name for name, each in METRICS.items() if each.since)


def moments(record: Record) -> Moments:
    """One request's, once it has ended."""

    def figure(name: str, missing: float) -> Number:
        found = getattr(record, name)
        return missing if found is None else found

    completed = record.status == COMPLETED
    found = Moments.of(figure, completed, lambda which, one, other: one if which else other)
    return found._replace(first_tokens=_first_tokens(record))


def _first_tokens(record: Record) -> float:
    chunks = len(record.chunk_times) if record.chunk_times is not None else 0
    if record.chunk_tokens:
        return float(record.chunk_tokens[0])
    if not chunks:
        return 1.0
    unseen = record.reasoning_tokens or 0 if record.first_answer == record.first_token else 0
    return float(first_of(record.output_tokens or chunks, unseen, chunks))


def first_of(tokens: Number, unseen: Number, chunks: Number) -> Number:
    """Tokens of an answer's first chunk where the server does not say: as many as each chunk has on average,
    and those that were made before it and never sent (reasoning)."""
    return unseen + (tokens - unseen) / chunks


def value(of: Moments, each: Metric) -> float | None:
    """One request's metric, seconds; None where it has none."""
    assert each.seconds is not None
    if each.defined is not None and not each.defined(of):
        return None
    found: float = each.seconds(of)
    return None if found != found else found  # NaN alone differs from itself


@metric(
    "TTFT (service)",
    since="first token",
    rows=("p50", "p99"),
    queued=True,
    exported="gen_ai.server.time_to_first_token",
    buckets=FIRST,
)
def ttft(of: Moments) -> Number:
    """Time to first token: first_token - sent. Seconds.

    The first token is the first chunk that carries text; `sent` is the connect, or the first byte on
    a kept connection.
    """
    return of.first_token - of.sent


@metric(
    "TTFT (scheduled)",
    since="first token",
    rows=("p50", "p99"),
    queued=True,
    exported="tokenswarm.scheduled_time_to_first_token",
    buckets=FIRST,
)
def scheduled_ttft(of: Moments) -> Number:
    """Scheduled time to first token: first_token - due. Seconds; what a user waits.

    It holds the client's own lag too, so there is no coordinated omission.
    """
    return of.first_token - of.due


@metric(
    "TPOT",
    since="end",
    rows=("p50", "p99"),
    # What is not known, a moment or the tokens, passes no comparison; `< 1` is `not` of many, too.
    defined=lambda of: (
        (of.tokens > of.first_tokens) & (of.first_token < math.inf) & ((of.finished <= of.first_token) < 1)
    ),
    exported="gen_ai.server.time_per_output_token",
    buckets=PACE,
)
def tpot(of: Moments) -> Number:
    """Time per output token: (last_token - first_token) / the tokens that came after the first chunk, for
    answers that did not all come at one moment.

    Seconds per token. Where the server does not say how many tokens a chunk has, each has as many on
    average. Reasoning that it counts and does not stream came before the first. An answer that came in one
    piece says nothing of the pace at which it was made. Unfinished: at least (end of the drain - first_token)
    / (tokens asked - those of the first chunk), since no more than the tokens asked can come. Of those that
    got a first token: nothing is known of the others.
    """
    return (of.finished - of.first_token) / (of.tokens - of.first_tokens)


@metric(
    "Time to first answer token",
    since=None,
    defined=lambda of: (of.first_token < math.inf) & ((of.first_answer == of.first_token) < 1),
)
def first_answer(of: Moments) -> Number:
    """Time to first answer token: first_answer - sent, of answers that began with reasoning. Seconds.

    Their TTFT is that of the first reasoning token. Reasoning that ends without an answer never gave one.
    """
    return of.first_answer - of.sent


@metric(
    "ITL",
    since="end",
    rows=("p99",),
    gaps=True,
    exported="gen_ai.client.operation.time_per_output_chunk",
)
def itl() -> None:
    """Inter-token latency: every gap between successive chunks with text, pooled. Seconds.

    A chunk of several tokens is one gap. The gap that was running when the drain ended is censored; the
    one that a failure broke off never ended. `count` is of gaps. Held as 32-bit floats (1 part in 10
    million). More than a million are counted by size, to 2 parts in 100,000.
    """


@metric(
    "Latency (service)",
    since="end",
    rows=("p50", "p99"),
    queued=True,
    exported="gen_ai.client.operation.duration",
)
def latency(of: Moments) -> Number:
    """Request latency: last_token - sent, of a request that completed. Seconds."""
    return of.finished - of.sent


@metric(
    "Latency (scheduled)",
    since="end",
    rows=("p50", "p99"),
    queued=True,
    exported="tokenswarm.scheduled_operation_duration",
)
def scheduled_latency(of: Moments) -> Number:
    """Scheduled request latency: last_token - due, of a request that completed. Seconds."""
    return of.finished - of.due


@metric(
    "Dispatch delay",
    since="sent",
    endless=True,
    defined=lambda of: (of.held == 0) | (of.sent < math.inf),  # not of one that the cap never let go
    buckets=DELAY,
)
def dispatch_delay(of: Moments) -> Number:
    """How late a request left: sent - due, less what `max_concurrency` held it back. Seconds.

    One that never left before the drain ended is infinitely late. Left out: those lost, and those that
    failed before anything could be sent (a name that does not resolve).
    """
    return of.sent - of.due - of.held


@metric("ITL per token", since=None, gaps=True)
def itl_per_token() -> None:
    """Inter-token latency per token: a gap before a chunk of n tokens counts as n gaps of 1/n of it.

    Seconds. `count` is of tokens. Chunks whose token count the server did not say are left out.
    """
