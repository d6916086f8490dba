"""Predictions from the configuration, the schedule and the peaks alone, held against what was measured.

Nothing here looks at a result to predict: the largest batch comes from the engine's limit and the memory,
the lengths and the rate from the schedule.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from reports.document.schema import Change, Metric, Operation, Prediction, Roofline
from reports.roofline import roofline
from reports.roofline.bounds import lengths, served_hardware, served_model
from reports.roofline.roofline import Hardware, Model, UnknownModelError
from reports.runs.commandline import batch_limit, words
from reports.runs.runs import Run

Outcome = Literal["confirmed", "refuted", "cannot tell"]
_NOT_EXPORTED = "the engine exports no FLOPs and bytes without --enable-mfu-metrics"
_LARGEST = 4096  # sequences; no engine batches more
_FROM_WARMUP = 0.05  # of the tokens asked for: left for those of requests that were due before the window


@dataclass(frozen=True)
class Load:
    """What is known of a variant before it runs. Rates per second, lengths in tokens."""

    variant: str
    model: Model
    hardware: Hardware
    limit: int | None  # sequences at once; None: the engine's default
    rate: float  # arrivals due
    prompt: float
    context: float
    output: float

    @property
    def needs(self) -> float:
        """The least batch that keeps up: arrivals/s x time in decode (Little, Operations Research 9(3),
        1961) with the shortest steps the hardware allows; inf where even the largest does not."""
        size = 1.0
        while size < self._wanted(size):
            size *= 1.02
            if size > _LARGEST:
                return math.inf
        return size

    @property
    def most(self) -> float:
        """The largest batch: the engine's limit, or what fits into the memory."""
        fits = roofline.largest_batch(self.model, self.hardware, self.context)
        return max(1.0, min(self.limit or _LARGEST, fits if fits is not None else _LARGEST))

    @property
    def asked(self) -> float:
        """Output tokens/s that the schedule asks for."""
        return self.rate * self.output

    def _wanted(self, size: float) -> float:
        return self.asked * roofline.tpot_bound(self.model, self.hardware, size, self.context)


def load_of(run: Run) -> Load:
    """Raises UnknownModelError where model, hardware or lengths are not known."""
    prompt, context = lengths(run)
    output = run.records.numbers("output_asked")
    rate = float(run.judged.sum()) / run.window_length
    return Load(
        run.manifest.variant,
        served_model(run),
        served_hardware(run),
        batch_limit(words(run.manifest.server or {})),
        rate,
        prompt,
        context,
        float(output[output == output].mean()),
    )


def predictions(runs: Sequence[Run], metrics: Sequence[Metric], found: Roofline) -> list[Prediction]:
    """All predictions: for each variant what bounds it, for each against the baseline what changes."""
    if found.missing:
        return []
    by_name = {metric.name: metric for metric in metrics}
    places = {place.variant: place for place in found.operations}
    loads: dict[str, Load] = {}
    for run in runs:
        try:
            loads.setdefault(run.manifest.variant, load_of(run))
        except UnknownModelError:
            continue
    made: list[Prediction] = []
    for variant, load in loads.items():
        made += [
            _memory_bound(load, places.get(variant)),
            _tpot(load, by_name.get("tpot_p50")),
            _throughput(load, by_name.get("output_token_throughput")),
        ]
    names = list(loads)
    for variant in names[1:]:
        made += _against(loads[names[0]], loads[variant], places, by_name)
    return made


def _memory_bound(load: Load, place: Operation | None) -> Prediction:
    """Memory-bound below the critical batch; held against the measured batch and intensity."""
    statement = "Decode is memory-bound below its critical batch"
    turn, ridge = roofline.critical_batch(load.model, load.hardware, load.context), load.hardware.ridge
    if turn is None:
        predicted = "yes, at any batch: the KV cache grows with it"
    elif load.limit is not None and load.limit < turn:
        predicted = f"yes: at most {load.limit} at once, and compute-bound only from {_number(turn)} on"
    else:
        predicted = f"yes up to a batch of {_number(turn)}, not beyond"
    if place is None or place.intensity is None or place.batch_mean is None:
        return _prediction(load, statement, predicted, "not exported", "cannot tell", _NOT_EXPORTED)
    measured = f"{_number(place.intensity)} FLOP/byte at a batch of {_number(place.batch_mean)}"
    bound = turn is None or place.batch_mean < turn
    if bound and place.intensity >= ridge and load.prompt > load.output:
        why = f"above the ridge of {_number(ridge)}, but of the whole run, most of whose tokens are prefilled"
        return _prediction(load, statement, predicted, measured, "cannot tell", why)
    side = "below" if place.intensity < ridge else "above"
    return _prediction(
        load,
        statement,
        predicted,
        measured,
        "confirmed" if (place.intensity < ridge) == bound else "refuted",
        f"{side} the ridge of {_number(ridge)}; whole run, prefill included, by the engine's own count",
    )


def _tpot(load: Load, metric: Metric | None) -> Prediction:
    bound = roofline.tpot_bound(load.model, load.hardware, 1, load.context)
    value = _reading(metric, load.variant)
    outcome: Outcome = "cannot tell" if value is None else "confirmed" if value >= bound else "refuted"
    return _prediction(
        load,
        "TPOT p50 is no shorter than one decode step",
        f"at least {_ms(bound)}",
        "n/a" if value is None else _ms(value),
        outcome,
        "one step at batch 1"
        if outcome != "refuted"
        else "shorter than the hardware allows: peaks or counts are wrong",
    )


def _throughput(load: Load, metric: Metric | None) -> Prediction:
    hardware = roofline.throughput_bound(load.model, load.hardware, load.most, load.context)
    value = _reading(metric, load.variant)
    predicted = f"at most {_number(min(hardware, load.asked))} tok/s"
    bound = min(hardware, (1 + _FROM_WARMUP) * load.asked)
    if load.asked < bound:
        predicted += f", and up to {100 * _FROM_WARMUP:g} % for answers that began in the warm-up"
    outcome: Outcome = "cannot tell" if value is None else "confirmed" if value <= bound else "refuted"
    why = (
        f"the schedule asks for {_number(load.asked)}, the hardware allows {_number(hardware)} "
        f"at a batch of {_number(load.most)}"
    )
    return _prediction(
        load,
        "Output tokens/s stay below the bound",
        predicted,
        "n/a" if value is None else f"{_number(value)} tok/s",
        outcome,
        why,
    )


def _against(
    baseline: Load, other: Load, places: Mapping[str, Operation], metrics: Mapping[str, Metric]
) -> list[Prediction]:
    made = [_total_time(other, metrics)]
    if baseline.limit == other.limit:
        return made
    small, large = sorted((baseline, other), key=lambda load: load.limit or math.inf)
    return [_bandwidth(other, small, large, places), _ttft(other, small, metrics), *made]


def _bandwidth(other: Load, small: Load, large: Load, places: Mapping[str, Operation]) -> Prediction:
    """The variant that may batch more does more with each byte."""
    statement = "A larger batch makes more of the bandwidth"
    limit = small.most
    low, high = (roofline.decode(small.model, size, small.context).intensity for size in (limit, 2 * limit))
    predicted = (
        f"more FLOP/byte with {large.variant}: decode has {_number(low)} at a batch of {_number(limit)}, "
        f"{_number(high)} at twice that"
    )
    one, two = (places.get(load.variant) for load in (small, large))
    if one is None or two is None or one.intensity is None or two.intensity is None:
        return _prediction(other, statement, predicted, "not exported", "cannot tell", _NOT_EXPORTED)
    measured = f"{large.variant} {_number(two.intensity)}, {small.variant} {_number(one.intensity)} FLOP/byte"
    return _prediction(
        other,
        statement,
        predicted,
        measured,
        "confirmed" if two.intensity > one.intensity else "refuted",
        f"mean batch {_batch(two)} and {_batch(one)}",
    )


def _ttft(other: Load, small: Load, metrics: Mapping[str, Metric]) -> Prediction:
    """Whoever may run fewer at once lets the others wait."""
    change = _change(metrics.get("ttft_p50"), other.variant)
    wanted: Literal["better", "worse"] = "worse" if small is other else "better"
    needs = (
        "more than any batch gives" if math.isinf(small.needs) else f"at least {_number(small.needs)} at once"
    )
    return _prediction(
        other,
        "The batch limit decides TTFT p50",
        f"{wanted}, if more than {small.limit} are there: {small.variant} lets the rest wait",
        "n/a" if change is None else change.display,
        _outcome(change, wanted),
        f"{_why(change)}; by the bounds the load needs {needs}",
    )


def _total_time(other: Load, metrics: Mapping[str, Metric]) -> Prediction:
    change = _change(metrics.get("latency_p50"), other.variant)
    return _prediction(
        other,
        "Total time improves (latency p50)",
        "shorter",
        "n/a" if change is None else change.display,
        _outcome(change, "better"),
        _why(change),
    )


def _outcome(change: Change | None, wanted: str) -> Outcome:
    if change is None or change.mark not in ("better", "worse"):
        return "cannot tell"
    return "confirmed" if change.mark == wanted else "refuted"


def _why(change: Change | None) -> str:
    if change is None:
        return "not measured"
    return change.warning or change.reason


def _change(metric: Metric | None, variant: str) -> Change | None:
    return next((one for one in metric.changes if one.variant == variant), None) if metric else None


def _reading(metric: Metric | None, variant: str) -> float | None:
    return next((one.value for one in metric.readings if one.variant == variant), None) if metric else None


def _prediction(
    load: Load, statement: str, predicted: str, measured: str, outcome: Outcome, reason: str
) -> Prediction:
    return Prediction(
        variant=load.variant,
        statement=statement,
        predicted=predicted,
        measured=measured,
        outcome=outcome,
        reason=reason,
    )


def _batch(place: Operation) -> str:
    return "n/a" if place.batch_mean is None else _number(place.batch_mean)


def _ms(seconds: float) -> str:
    return f"{_number(seconds * 1000)} ms"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
