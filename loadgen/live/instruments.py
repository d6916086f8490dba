"""What is exported of a run while it goes, by name. docs/metrics-live.md lists the same.

The names beginning with gen_ai are those of OpenTelemetry's semantic conventions for generative AI, with the
bucket bounds recommended there; the others, for what the conventions do not know, are our own.
"""

from dataclasses import dataclass
from typing import Literal

from loadgen.live.histogram import Histogram

Kind = Literal["counter", "gauge", "histogram"]

_DURATION = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
_TTFT = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
_TPOT = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)
_TOKENS = tuple(float(4**power) for power in range(14))
_LAG = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0)


@dataclass(frozen=True)
class Instrument:
    """`unit`: UCUM, as OpenTelemetry writes it. `bounds`: of a histogram's buckets."""

    name: str
    kind: Kind
    unit: str
    text: str
    bounds: tuple[float, ...] = ()

    @property
    def prometheus(self) -> str:
        """The name in Prometheus, without the _total, _bucket, _sum or _count of its samples."""
        suffix = "_seconds" if self.unit == "s" else ""
        return self.name.replace(".", "_") + suffix


def _histogram(name: str, unit: str, bounds: tuple[float, ...], text: str) -> Instrument:
    return Instrument(name, "histogram", unit, text, bounds)


OPERATION_DURATION = _histogram(
    "gen_ai.client.operation.duration", "s", _DURATION, "Sent to last token; of a failed request, to its end"
)
TIME_PER_CHUNK = _histogram(
    "gen_ai.client.operation.time_per_output_chunk",
    "s",
    _DURATION,
    "Gap between two chunks with text (ITL); known once the request has ended",
)
TIME_TO_FIRST_CHUNK = _histogram(
    "gen_ai.client.operation.time_to_first_chunk", "s", _DURATION, "Sent to the first chunk with text (TTFT)"
)
TOKEN_USAGE = _histogram(
    "gen_ai.client.token.usage", "{token}", _TOKENS, "Tokens of a finished request, prompt and output"
)
TIME_TO_FIRST_TOKEN = _histogram(
    "gen_ai.server.time_to_first_token", "s", _TTFT, "Sent to first token (TTFT), as the client sees it"
)
TIME_PER_OUTPUT_TOKEN = _histogram(
    "gen_ai.server.time_per_output_token", "s", _TPOT, "Time per output token after the first (TPOT)"
)
SCHEDULED_TTFT = _histogram(
    "tokenswarm.scheduled_time_to_first_token", "s", _TTFT, "Due to first token: what a user waits"
)
SCHEDULED_DURATION = _histogram(
    "tokenswarm.scheduled_operation_duration", "s", _DURATION, "Due to last token of a completed request"
)
DISPATCH_DELAY = _histogram(
    "tokenswarm.dispatch_delay", "s", _LAG, "Due to sent: the load generator's own delay"
)

ARRIVALS_DUE = Instrument("tokenswarm.arrivals.due", "counter", "{request}", "Arrivals that came due")
SENT = Instrument("tokenswarm.requests.sent", "counter", "{request}", "Requests sent")
REQUESTS = Instrument(
    "tokenswarm.requests", "counter", "{request}", "Requests by what became of them (`status`)"
)
OUTPUT_TOKENS = Instrument(
    "tokenswarm.output_tokens", "counter", "{token}", "Output tokens of requests that have ended"
)
IN_FLIGHT = Instrument("tokenswarm.requests.in_flight", "gauge", "{request}", "Requests sent and not ended")
OFFERED_RATE = Instrument(
    "tokenswarm.offered_rate", "gauge", "{request}/s", "Arrivals per second, over the last 10 s"
)
COMPLETED_RATE = Instrument(
    "tokenswarm.completed_rate", "gauge", "{request}/s", "Completions per second, over the last 10 s"
)
TOKEN_RATE = Instrument(
    "tokenswarm.output_token_rate", "gauge", "{token}/s", "Output tokens per second, over the last 10 s"
)
RUNNING = Instrument(
    "tokenswarm.server.requests.running", "gauge", "{request}", "Requests that the server computes, it says"
)
WAITING = Instrument(
    "tokenswarm.server.requests.waiting", "gauge", "{request}", "Requests that wait in the server, it says"
)
LANES = Instrument("tokenswarm.lanes", "gauge", "{lane}", "Workers that take part")
LANES_LOST = Instrument("tokenswarm.lanes.lost", "gauge", "{lane}", "Workers that were lost")
ELAPSED = Instrument("tokenswarm.elapsed", "gauge", "s", "Since the run's start; below 0 before it")
SCHEDULE = Instrument("tokenswarm.schedule", "gauge", "s", "Length of the schedule, warm-up included")
STATE = Instrument("tokenswarm.run.state", "gauge", "1", "1 for the `state` that the run is in, else 0")
VERDICT = Instrument(
    "tokenswarm.verdict", "gauge", "1", "1 for the `verdict` so far (once judged, the final one), else 0"
)
INFO = Instrument("tokenswarm.run.info", "gauge", "1", "Always 1; its labels say what is run")

INSTRUMENTS = [value for value in list(globals().values()) if isinstance(value, Instrument)]

# What the workers count, by the name of the figure: the instrument, and the attributes of this part of it.
COUNTED: dict[str, tuple[Instrument, dict[str, str]]] = {
    "latency": (OPERATION_DURATION, {}),
    "failure": (OPERATION_DURATION, {"error.type": "_OTHER"}),
    "itl": (TIME_PER_CHUNK, {}),
    "input_tokens": (TOKEN_USAGE, {"gen_ai.token.type": "input"}),
    "output_tokens": (TOKEN_USAGE, {"gen_ai.token.type": "output"}),
    "first_chunk": (TIME_TO_FIRST_CHUNK, {}),
    "ttft": (TIME_TO_FIRST_TOKEN, {}),
    "tpot": (TIME_PER_OUTPUT_TOKEN, {}),
    "scheduled_ttft": (SCHEDULED_TTFT, {}),
    "scheduled_latency": (SCHEDULED_DURATION, {}),
    "dispatch_delay": (DISPATCH_DELAY, {}),
}


def histograms() -> dict[str, Histogram]:
    """An empty histogram for each figure that the workers count."""
    return {name: Histogram(instrument.bounds) for name, (instrument, _) in COUNTED.items()}
