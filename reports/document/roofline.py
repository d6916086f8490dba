"""The roofline in comparison.json: bounds, where each variant worked, other hardware, forecasts."""

from pydantic import Field

from reports.document.part import Part


class Bounds(Part):
    """What the roofline allows at one batch and context. Lower bounds of times, upper ones of rates."""

    batch: float
    context: float = Field(description="tokens that a new token attends to, mean")
    prompt: float = Field(description="prompt tokens, mean")
    decode_intensity: float = Field(description="FLOP/byte of a decode step")
    decode_attainable: float = Field(description="FLOP/s")
    decode_memory_bound: bool
    prefill_intensity: float
    prefill_attainable: float
    tpot: float = Field(description="s, a lower bound")
    ttft: float = Field(description="s, a lower bound: the prefill of one mean prompt")
    output_token_throughput: float = Field(description="tokens/s, an upper bound, at this batch")


class Operation(Part):
    """Where one variant worked: the bounds at its measured batch, and what was measured."""

    variant: str
    run: str
    bounds: Bounds | None = Field(description="null: the server exported no batch size")
    batch_mean: float | None
    batch_max: float | None
    intensity: float | None = Field(description="FLOP/byte, by the engine's own count of both")
    flops_per_s: float | None = Field(description="by the engine's own count, over window and drain")
    bytes_per_s: float | None
    share_of_attainable: float | None = Field(description="FLOP/s / min(peak, intensity x bandwidth)")


class WhatIf(Part):
    """The same model and load on other hardware: bounds, not forecasts. null bounds: it does not fit."""

    hardware: str
    measured_here: bool = Field(description="the hardware of these runs")
    peak_flops: float
    peak_bytes_per_s: float
    ridge: float
    fits: bool | None
    largest_batch: float | None = Field(
        description="sequences whose KV cache fits beside the weights, an upper bound"
    )
    bounds: Bounds | None
    source: str


class ForecastCheck(Part):
    """A figure that was forecast before the run, its 80 % band, and what was measured then."""

    run: str
    variant: str
    basis: str = Field(description="the run that it was forecast from")
    made_at: str
    label: str
    unit: str
    forecast: float | None = Field(description="null: a percentile that would not be reached")
    low: float | None
    high: float | None
    measured: float | None
    inside: bool | None = Field(description="the band holds the measured figure; null: cannot be said")
    broke: str = Field(description="outside: the assumption that broke (step time, prefill, queue)")


class Roofline(Part):
    """The roofline. `missing` says why there is none; the other fields are then empty."""

    missing: str | None = None
    parameters: int | None = None
    weight_bytes: float | None = None
    quantization: str | None = None
    kv_bytes_per_token: float | None = None
    hardware: str | None = None
    hardware_source: str | None = None
    peak_flops: float | None = None
    peak_bytes_per_s: float | None = None
    ridge: float | None = None
    by_batch: list[Bounds] = []
    operations: list[Operation] = []
    what_if: list[WhatIf] = []
    forecasts: list[ForecastCheck] = []
