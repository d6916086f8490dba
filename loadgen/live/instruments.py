"""What is exported of a run while it goes, by name: each metric, counts and states.

The names beginning with gen_ai are those of OpenTelemetry's semantic conventions for generative AI, with the
bucket bounds recommended there; the others, for what the conventions do not know, are our own.
"""

from dataclasses import dataclass
from typing import Literal

from loadgen.live.histogram import Histogram
from loadgen.records.metrics import METRICS, WHOLE, live
from loadgen.records.rates import RECENT
from loadgen.records.rates import live as live_rates

Kind = Literal["counter", "gauge", "histogram"]

_SUFFIX = {"s": "_seconds", "J": "_joules", "W": "_watts"}  # Prometheus has the unit in the name
_UCUM = {"1/s": "{request}/s", "tokens/s": "{token}/s"}
_TOKENS = tuple(float(4**power) for power in range(14))


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
        return self.name.replace(".", "_") + _SUFFIX.get(self.unit, "")


def _histogram(name: str, unit: str, bounds: tuple[float, ...], text: str) -> Instrument:
    return Instrument(name, "histogram", unit, text, bounds)


OF_METRICS = {
    name: _histogram(METRICS[name].exported, "s", METRICS[name].buckets, METRICS[name].definition)
    for name in live()
}
OF_RATES = {
    each.name: Instrument(each.exported, "gauge", _UCUM[each.unit], f"{each.label}, over the last {RECENT} s")
    for each in live_rates()
}
TIME_TO_FIRST_CHUNK = _histogram(
    "gen_ai.client.operation.time_to_first_chunk", "s", WHOLE, "The same as the time to first token"
)
TOKEN_USAGE = _histogram(
    "gen_ai.client.token.usage", "{token}", _TOKENS, "Tokens of a finished request, prompt and output"
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
RUNNING = Instrument(
    "tokenswarm.server.requests.running", "gauge", "{request}", "Requests that the server computes, it says"
)
WAITING = Instrument(
    "tokenswarm.server.requests.waiting", "gauge", "{request}", "Requests that wait in the server, it says"
)
GPU_POWER = Instrument("tokenswarm.gpu.power", "gauge", "W", "Of all the server's GPUs, where they tell it")
GPU_ENERGY = Instrument(
    "tokenswarm.gpu.energy",
    "counter",
    "J",
    "Of all the server's GPUs since their driver was loaded; by output tokens it is the energy of one",
)
OF_GPU = (GPU_POWER, GPU_ENERGY)  # which nobody has without one
LANES = Instrument("tokenswarm.lanes", "gauge", "{lane}", "Workers that take part")
LANES_LOST = Instrument("tokenswarm.lanes.lost", "gauge", "{lane}", "Workers that were lost")
ELAPSED = Instrument("tokenswarm.elapsed", "gauge", "s", "Since the run's start; below 0 before it")
SCHEDULE = Instrument("tokenswarm.schedule", "gauge", "s", "Length of the schedule, warm-up included")
STATE = Instrument("tokenswarm.run.state", "gauge", "1", "1 for the `state` that the run is in, else 0")
VERDICT = Instrument(
    "tokenswarm.verdict", "gauge", "1", "1 for the `verdict` so far (once judged, the final one), else 0"
)
INFO = Instrument("tokenswarm.run.info", "gauge", "1", "Always 1; its labels say what is run")

_NAMED = [each for each in list(globals().values()) if isinstance(each, Instrument)]
INSTRUMENTS = [*OF_METRICS.values(), *OF_RATES.values(), *_NAMED]

# What the workers count, by the name of the figure: the instrument, and the attributes of this part of it.
COUNTED: dict[str, tuple[Instrument, dict[str, str]]] = {
    **{name: (instrument, {}) for name, instrument in OF_METRICS.items()},
    "failure": (OF_METRICS["latency"], {"error.type": "_OTHER"}),  # sent to its end
    "first_chunk": (TIME_TO_FIRST_CHUNK, {}),
    "input_tokens": (TOKEN_USAGE, {"gen_ai.token.type": "input"}),
    "output_tokens": (TOKEN_USAGE, {"gen_ai.token.type": "output"}),
}


def histograms() -> dict[str, Histogram]:
    """An empty histogram for each figure that the workers count."""
    return {name: Histogram(instrument.bounds) for name, (instrument, _) in COUNTED.items()}
