"""The section on the roofline, what was forecast, the what-if table."""

import math

from reports.document.roofline import Operation, Roofline, WhatIf
from reports.document.schema import Comparison
from reports.pages.blocks import Block, Cell, Drawing, Folded, Table, Text, row
from reports.pages.section import Charts, section
from reports.text.formatting import milliseconds, quantity

INSIDE = {
    True: Cell("▲ inside", "good"),
    False: Cell("▼ outside", "bad"),
    None: Cell("? cannot tell", "doubt"),
}


@section("Appendix D: roofline")
def _roofline(comparison: Comparison, charts: Charts) -> list[Block]:
    """The section's blocks; one line where there is no roofline."""
    found = comparison.roofline
    if found.missing or not found.by_batch:
        return [Text(f"No roofline: {found.missing or 'it was not computed'}."), *_forecasts(found)]
    blocks: list[Block] = [_basis(found)]
    if "roofline" in charts:
        blocks.append(Drawing(charts["roofline"]))
    more = Folded("Bounds by batch, and on other hardware", [_by_batch(found), *_what_if(found)])
    return [*blocks, _operations(found), *_forecasts(found), more]


def _basis(found: Roofline) -> Text:
    first = found.by_batch[0]
    size, cache = quantity(found.weight_bytes, "B"), quantity(found.kv_bytes_per_token, "B")
    peak, bandwidth = quantity(found.peak_flops, "FLOP/s"), quantity(found.peak_bytes_per_s, "B/s")
    return Text(
        f"{quantity(found.parameters)} parameters, {size} of weights (quantisation: {found.quantization}), "
        f"{cache} of KV cache for each token. {found.hardware}: {peak}, {bandwidth} "
        f"(ridge at {quantity(found.ridge)} FLOP/byte). Source: {found.hardware_source or 'not said'}. "
        "Counted: two FLOPs for each weight and token, with attention over a mean context of "
        f"{quantity(first.context)} tokens. Each weight is read once a step, and each sequence's KV cache. "
        "Activations are left out, so times are lower bounds and rates upper bounds.",
        "Model and hardware. ",
    )


def _operations(found: Roofline) -> Table:
    columns = [
        "variant",
        "batch, mean",
        "batch, most",
        "decode AI, bound",
        "attainable",
        "AI, whole run",
        "achieved",
        "of attainable",
        "bandwidth used",
        "TPOT, lower bound",
        "tok/s, upper bound",
    ]
    return Table(
        "Where each variant worked (first run). Bounds are for the measured mean batch; AI and achieved "
        "FLOP/s are by the engine's own count of what it scheduled, prefill included",
        columns,
        [_operation(place) for place in found.operations],
        frozenset(range(1, len(columns))),
    )


def _operation(place: Operation) -> list[Cell]:
    bound = place.bounds
    share = place.share_of_attainable
    return row(
        place.variant,
        quantity(place.batch_mean),
        quantity(place.batch_max),
        quantity(bound.decode_intensity if bound else None),
        quantity(bound.decode_attainable if bound else None, "FLOP/s"),
        quantity(place.intensity),
        quantity(place.flops_per_s, "FLOP/s"),
        "n/a" if share is None else f"{100 * share:.1f} %",
        quantity(place.bytes_per_s, "B/s"),
        milliseconds(bound.tpot if bound else None),
        quantity(bound.output_token_throughput if bound else None),
    )


def _forecasts(found: Roofline) -> list[Block]:
    """What was to be expected before the runs, beside what came; nothing where no forecast was kept."""
    if not found.forecasts:
        return []
    rows = [
        row(
            each.variant,
            f"{each.label}, {each.unit}",
            "never" if each.forecast is None else quantity(each.forecast),
            f"{quantity(each.low)} to {quantity(each.high)}",
            quantity(each.measured),
            INSIDE[each.inside],
            each.broke,
        )
        for each in found.forecasts
    ]
    bases = ", ".join(dict.fromkeys(each.basis for each in found.forecasts))
    inside = [each.inside for each in found.forecasts if each.inside is not None]
    return [
        Table(
            f"Forecast from {bases} before the run, with 80 % bands, held against the result: {sum(inside)} "
            f"of {len(inside)} figures inside (docs/forecast.md)",
            ["variant", "figure", "forecast", "80 % band", "measured", "outcome", "what broke"],
            rows,
            frozenset({2, 3, 4}),
        )
    ]


def _by_batch(found: Roofline) -> Table:
    rows = [
        row(
            quantity(each.batch),
            quantity(each.decode_intensity),
            "memory" if each.decode_memory_bound else "compute",
            quantity(each.decode_attainable, "FLOP/s"),
            milliseconds(each.tpot),
            quantity(each.output_token_throughput),
        )
        for each in found.by_batch
    ]
    first = found.by_batch[0]
    return Table(
        f"Decode by batch at a context of {quantity(first.context)} tokens (bounds). Prefill of "
        f"{quantity(first.prompt)} tokens: {quantity(first.prefill_intensity)} FLOP/byte, "
        f"TTFT, lower bound: {milliseconds(first.ttft)}",
        ["batch", "AI, FLOP/byte", "bound by", "attainable", "TPOT, lower bound", "tok/s, upper bound"],
        rows,
        frozenset({0, 1, 3, 4, 5}),
    )


def _what_if(found: Roofline) -> list[Block]:
    if not found.what_if:
        return []
    here = next((each for each in found.what_if if each.measured_here), None)
    batch = next((quantity(each.bounds.batch) for each in found.what_if if each.bounds), "n/a")
    columns = [
        "hardware",
        "peak",
        "bandwidth",
        "ridge",
        "largest batch",
        "TPOT, lower bound",
        "tok/s, upper bound",
        "against here",
        "source of the peaks",
    ]
    rows = [_what_if_row(each, here) for each in found.what_if]
    caption = (
        f"What other hardware would change, as a bound: the same model and context, a batch of {batch}, "
        "peaks of 16-bit arithmetic. Not a forecast: no server reaches its bound"
    )
    return [Table(caption, columns, rows, frozenset(range(1, 8)))]


def _whole(batch: float | None) -> str:
    """A batch is a number of requests; a bound of 91.8 holds 91."""
    return "n/a" if batch is None else f"{math.floor(batch):,}"


def _what_if_row(each: WhatIf, here: WhatIf | None) -> list[Cell]:
    bound = each.bounds
    against = "n/a"
    if bound and here and here.bounds:
        against = f"{quantity(bound.output_token_throughput / here.bounds.output_token_throughput)} x"
    return row(
        f"{each.hardware} (here)" if each.measured_here else each.hardware,
        Cell(quantity(each.peak_flops, "FLOP/s"), sort=each.peak_flops),
        Cell(quantity(each.peak_bytes_per_s, "B/s"), sort=each.peak_bytes_per_s),
        quantity(each.ridge),
        Cell("does not fit", "doubt") if each.fits is False else _whole(each.largest_batch),
        milliseconds(bound.tpot if bound else None),
        quantity(bound.output_token_throughput if bound else None),
        against,
        each.source,
    )
