"""Every rate and share of a run, each a function of what came with one entry: name, label, unit, definition.

A finished run's figure is the sum over the window / its length, or / the sum of something else (`per`). While
a run goes it is the growth of a count over the last RECENT seconds. RATES is read as METRICS of
loadgen.records.metrics is.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

RECENT = 10  # s over which they are taken while a run goes
Unit = Literal["1/s", "tokens/s", "share", "J/token", "J/request"]  # a share is one of the arrivals


@dataclass(frozen=True)
class Rate:
    """One entry. `of`: from what came, be it live counts or amounts (reports.metrics.rates)."""

    name: str
    label: str
    unit: Unit
    display_unit: str
    better: Literal["higher", "lower", "none"]
    definition: str  # the first paragraph of the function's docstring: what summary.json says
    text: str  # all of it: what docs/metrics.md says
    of_slo: bool  # whether it says how many met the SLO
    exported: str  # its name in OpenTelemetry; "": not told while a run goes
    of: Callable[[Any], Any]
    per: Callable[[Any], Any] | None  # likewise, what it is divided by; None: the time
    of_gpu: bool  # whether it is told only where a GPU's energy is known


RATES: dict[str, Rate] = {}  # in the order of the tables


def rate(
    label: str,
    unit: Unit,
    display_unit: str,
    better: Literal["higher", "lower", "none"],
    *,
    of_slo: bool = False,
    exported: str = "",
    per: Callable[[Any], Any] | None = None,
    of_gpu: bool = False,
) -> Callable[[Callable[[Any], Any]], Callable[[Any], Any]]:
    """The entry of the function below it."""

    def keep(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        name, text = function.__name__, function.__doc__ or ""
        first, whole = (" ".join(each.split()) for each in (text.split("\n\n")[0], text))
        told = (label, unit, display_unit, better, first, whole, of_slo, exported, function, per, of_gpu)
        RATES[name] = Rate(name, *told)
        return function

    return keep


def live() -> list[Rate]:
    """Those that are told while a run goes."""
    return [each for each in RATES.values() if each.exported]


@rate("Output token throughput", "tokens/s", "tok/s", "higher", exported="tokenswarm.output_token_rate")
def output_token_throughput(came: Any) -> Any:
    """Output tokens received inside the window / the window's length, of all requests, finished or not.

    Requests of the warm-up count with the tokens that fall inside the window. A chunk whose token count
    the server did not say has its share of the request's total, or 1 if there is none.
    """
    return came.tokens


@rate("Offered rate", "1/s", "req/s", "none", exported="tokenswarm.offered_rate")
def offered_rate(came: Any) -> Any:
    """Arrivals due inside the window / the window's length."""
    return came.due


@rate("Completed rate", "1/s", "req/s", "higher", exported="tokenswarm.completed_rate")
def completed_rate(came: Any) -> Any:
    """Requests whose last token came inside the window and that completed / the window's length.

    Of all requests, those of the warm-up too, as for token throughput. Below the offered rate for long,
    the backlog grows.
    """
    return came.completed


@rate("GPU energy per token", "J/token", "J", "lower", per=lambda came: came.tokens, of_gpu=True)
def energy_per_token(came: Any) -> Any:
    """Energy of all the server's GPUs inside the window / the output tokens received inside it.

    By the energy counters of NVML. Only where the server was launched here, on GPUs that tell it.
    """
    return came.energy


@rate("SLO attainment", "share", "%", "higher", of_slo=True, per=lambda came: came.judged)
def slo_attainment(came: Any) -> Any:
    """Arrivals that met every part of the scenario's SLO / all arrivals of the window.

    The SLO's `ttft` and `latency` are the scheduled ones, its `tpot` for requests that have one.
    An arrival that did not complete did not meet it.
    """
    return came.good


@rate("Goodput", "1/s", "req/s", "higher", of_slo=True)
def goodput_rate(came: Any) -> Any:
    """Arrivals that met every part of the scenario's SLO / the window's length."""
    return came.good


@rate(
    "GPU energy per request within the SLO",
    "J/request",
    "J",
    "lower",
    of_slo=True,
    per=lambda came: came.good,
    of_gpu=True,
)
def energy_per_good_request(came: Any) -> Any:
    """Energy of all the server's GPUs inside the window / the arrivals that met every part of the SLO."""
    return came.energy
