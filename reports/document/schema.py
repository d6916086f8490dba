"""The shape of comparison.json: every figure of a report, and the sentences written from them.

Times are seconds, shares and changes fractions (0.2 is 20 %), rates per second, unless a field's name
says otherwise; `display` and `display_unit` say how people read a metric. `python -m reports.document.schema`
prints the JSON schema, which docs/comparison.schema.json holds.
"""

import json
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Mark = Literal["better", "worse", "no difference shown", "unstable", "not comparable"]
Direction = Literal["higher", "lower", "none"]
PartKind = Literal["workload", "stage"]
Json = str | int | float | bool | None


class Part(BaseModel):
    """A part of a comparison: no keys but those named, no NaN or infinity."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Reading(Part):
    """One metric of one variant."""

    variant: str
    value: float | None = Field(description="null: not measured, or beyond what the data can give")
    lower_bound: float | None = Field(None, description="the percentile is above this (censored)")
    count: int = Field(description="arrivals, tokens or gaps behind the value, all repeats together")
    by_run: list[float | None] = Field(description="the value of each repeat, in the order of `runs`")
    display: str = Field(description="as people read it, without the unit: '231.7', '> 60000', 'n/a'")


class LoadPart(Part):
    """A workload of a mix, or a stage of a load whose rate changes by plan, in the runs of one variant."""

    kind: PartKind
    name: str
    variant: str
    due: int = Field(description="arrivals of the window, all repeats together")
    completed: int
    metrics: dict[str, Reading] = Field(description="by name, as in summary.json")


class Change(Part):
    """One metric of one variant against the baseline."""

    variant: str
    mark: Mark
    change: float | None = Field(description="other / baseline - 1")
    low: float | None = Field(description="95 % interval of the change; null: none could be computed")
    high: float | None
    above: float | None = Field(None, description="the variant's figure is only bounded: the change is above")
    below: float | None = Field(
        None, description="the baseline's figure is only bounded: the change is below"
    )
    display: str = Field(description="'+20.0 %', or 'n/a'")
    display_interval: str = Field(description="'+18.1 to +22.0 %', or 'n/a'")
    reason: str = Field(description="why this mark, one clause")
    warning: str | None = Field(None, description="stands in the same line wherever the claim stands")


class Metric(Part):
    """A row of the results table."""

    name: str
    label: str
    unit: Literal["s", "1/s", "tokens/s", "share", "requests"]
    display_unit: str = Field(description="'ms', 'req/s', 'tok/s', '%', ''")
    better: Direction
    latency: bool = Field(description="a claim on it from a saturated run needs the warning")
    definition: str
    readings: list[Reading] = Field(description="one per variant, the baseline first")
    changes: list[Change] = Field(description="one per variant after the baseline")


class Method(Part):
    """How the intervals of one pair were made."""

    variant: str
    kind: Literal["paired blocks of time", "unpaired blocks of time", "runs in pairs", "runs", "none"]
    text: str
    confidence: float
    block_s: float | None = Field(None, description="length of a resampled block of time")
    blocks: int | None = Field(None, description="blocks in the window")
    resamples: int | None = None
    seed: int | None = None
    repeats: list[int] = Field(default_factory=list, description="runs of the baseline, of the variant")


class Rule(Part):
    """One rule of a run's verdict, as summary.json has it."""

    rule: str
    verdict: str
    passed: bool
    figure: Json
    bound: Json
    unit: str
    text: str
    advice: str
    checked: bool = Field(True, description="false: the rule lacked what it needs, and says so")


class Counts(Part):
    """due = completed + empty + failed + unfinished + lost"""

    due: int
    completed: int
    empty: int = Field(0, description="answers that ended in good order and held no text")
    failed: int
    unfinished: int
    lost: int


class ServerSide(Part):
    """What the server's own metrics say about one run, between its start and its end.

    Means of histograms are differences of `_sum` over differences of `_count`; null: not exported.
    """

    dispatch_delay_mean: float | None = Field(None, description="client: sent - due, mean, s")
    network_mean: float | None = Field(None, description="client's mean TTFT less the server's, s")
    front_end_mean: float | None = Field(None, description="server's mean TTFT less its queue and prefill, s")
    ttft_mean: float | None = None
    queue_mean: float | None = Field(None, description="waiting for a place in the batch, s")
    prefill_mean: float | None = None
    parts_count: float | None = Field(None, description="requests behind queue_mean and prefill_mean")
    first_tokens: float | None = Field(None, description="client: requests of the run that got a first token")
    decode_mean: float | None = None
    inference_mean: float | None = None
    running_mean: float | None = Field(None, description="requests in the batch, mean over the window")
    running_max: float | None = None
    waiting_mean: float | None = None
    waiting_max: float | None = None
    kv_cache_mean: float | None = Field(None, description="share of the KV cache in use")
    kv_cache_max: float | None = None
    preemptions: float | None = None
    prefix_hit_share: float | None = None
    steps: float | None = Field(None, description="engine steps (count of vllm:iteration_tokens_total)")
    tokens_per_step: float | None = None
    flops: float | None = Field(None, description="estimated by the engine, whole run")
    read_bytes: float | None = None
    write_bytes: float | None = None
    bytes_per_step: float | None = None
    flops_per_byte: float | None = Field(None, description="measured arithmetic intensity")
    gpu_power_mean: float | None = Field(
        None, description="W of all its GPUs, by NVML's energy counter, window"
    )
    joules_per_token: float | None = Field(None, description="J of all its GPUs / output tokens, window")


class Stall(Part):
    """Whole seconds in which no token came, in the middle of answers; seconds from the run's start."""

    start: float
    end: float
    streaming: int = Field(description="answers that had begun before it and went on after it")


class RunInfo(Part):
    """One run that the report rests on."""

    run: str
    variant: str
    repeat: int = Field(description="from 1, among the variant's runs of this report")
    verdict: str
    rules: list[Rule]
    started_at: str
    ended: str
    scenario_name: str
    scenario_hash: str
    seed: int | None = Field(description="null: another tool's file, which does not say")
    rate: float | None = Field(description="arrivals due per second in the window")
    window_s: float
    drained_at: float
    client_error: str = Field("", description="the load generator's own error at this load, in words")
    accounting: Counts
    accounting_all: Counts
    errors: dict[str, int]
    conditions: dict[str, Json] = Field(description="what must be the same for figures to be comparable")
    server: ServerSide
    stalls: list[Stall] = Field(default_factory=list)


class Variant(Part):
    """One variant: what it changes, what was expected, what came out. One that did not run has no runs."""

    name: str
    applied: bool
    reason: str | None = Field(None, description="why it was not applied, in the server's words")
    changes: str | None = None
    expected: str | None = None
    result: str = Field(description="what came out, one line from the figures; 'N/A: …' when not applied")
    command_line: str | None = None
    environment: dict[str, str] = Field(default_factory=dict)
    runs: list[str]
    verdicts: list[str]


class Difference(Part):
    """A condition in which runs differ."""

    condition: str
    values: dict[str, Json] = Field(description="variant or run: value")
    comparable: bool = Field(description="false: latencies and rates must not be compared")
    text: str


class CompletedOnly(Part):
    """What a tool prints that takes completed requests only, the clock cut at the last arrival."""

    variant: str
    metric: str
    label: str
    display_unit: str
    completed_only: float | None
    all_requests: float | None
    completed_only_display: str
    all_requests_display: str
    text: str


class Insight(Part):
    """A sentence or two from the figures, with the figures."""

    kind: Literal["win", "trade-off", "served", "ttft", "tpot", "warning", "repeats"]
    variant: str
    text: str
    figures: dict[str, float | None]


class Recommendation(Part):
    """What to do, why (a figure), and the command."""

    text: str
    reason: str
    command: str | None


DecisionKind = Literal[
    "cannot tell",
    "serves less",
    "serves more",
    "unclear",
    "better",
    "worse",
    "trade-off",
    "no difference",
]


class ServedRate(Part):
    """What one variant was offered and what it completed, requests per second."""

    variant: str
    offered: float | None
    completed: float | None


class Decision(Part):
    """Whether to use a variant in the baseline's place, decided by what its users feel."""

    variant: str
    kind: DecisionKind
    preferred: str | None = Field(description="null: neither of the two is preferred")
    title: str = Field(description="the decision in one line")
    reason: str = Field(description="the figures behind it, in one or two sentences")
    served: list[ServedRate] = Field(description="the baseline first")
    confidence: str = Field(description="runs, interval, what the data cannot say; one line")
    disturbed: str | None = Field(None, description="what disturbed the measurement, in one sentence")
    compare_at: float | None = Field(None, description="requests per second that both should serve")
    next: Recommendation


class ParetoPoint(Part):
    """Throughput against TTFT; `pareto_optimal`: no other usable variant is shown better in one and worse in
    neither. `usable`: none of its runs is INVALID, DISTURBED or CLIENT-LIMITED."""

    variant: str
    output_token_throughput: float
    ttft_p50: float
    completed_rate: float | None = None
    tpot_p50: float | None = None
    latency_p50: float | None = None
    slo_attainment: float | None = None
    usable: bool = True
    pareto_optimal: bool
    meets_slo: bool | None = Field(description="null: the scenario has no SLO")


class Earlier(Part):
    """An earlier run of one of the variants."""

    run: str
    variant: str
    started_at: str
    verdict: str
    metrics: dict[str, float | None] = Field(description="headline metrics, by name")
    comparable: bool
    differences: list[str] = Field(description="each condition that differs, as 'seed 1 instead of 2'")


class File(Part):
    """A file of the report or of its runs, relative to the report's folder."""

    path: str
    what: str


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
    tpot: float = Field(description="s, at least")
    ttft: float = Field(description="s, at least: the prefill of one mean prompt")
    output_token_throughput: float = Field(description="tokens/s, at most, at this batch")


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
        description="sequences whose KV cache fits beside the weights, at most"
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


Outcome = Literal["supported", "not supported", "cannot tell"]


class ClaimCheck(Part):
    """A figure that another tool printed, or its change, beside what the records of its file support."""

    variant: str
    metric: str
    label: str
    field: str = Field(description="the claim's name in the file; 'change of …' for a change")
    display_unit: str
    claimed: float
    claimed_display: str
    supported: float | None
    supported_display: str
    outcome: Outcome
    reason: str


class SameFigure(Part):
    """A figure that another tool printed, reckoned again by its definition and by the one here; SI."""

    variant: str
    metric: str
    label: str
    field: str = Field(description="its name in the file")
    display_unit: str
    printed_display: str
    own: float = Field(description="from the file's records, as the tool defines it")
    own_display: str
    reproduced: bool = Field(description="own is what the tool printed, to its rounding")
    here: float | None = Field(description="from the same records, as defined here")
    here_display: str
    cause: str = Field(description="why the two differ, one line; 'the same'")


class Untold(Part):
    """Figures or checks that another tool's file does not allow."""

    what: str
    why: str


class Audit(Part):
    """What another tool claimed of its own result files, and what their records support."""

    tool: str
    title: str = Field("", description="the finding in one line")
    files: list[str]
    paragraph: str = Field(description="what was claimed, what the records support, the difference")
    limits: list[str] = Field(description="plateaus of the requests at work: what set the pace")
    checks: list[ClaimCheck] = Field(description="the changes first, then the figures of each file")
    same: list[SameFigure] = Field(
        default_factory=list, description="each printed figure by the tool's definition and by the one here"
    )
    notes: list[str] = Field(description="what the records show beside the claims, and what was assumed")
    untold: list[Untold]


class Comparison(Part):
    """comparison.json."""

    format: Literal[1] = 1
    name: str
    written_at: str | None = Field(
        description="UTC; the only thing that differs when a report is written again"
    )
    command: str = Field(description="the command that makes this report again")
    target: str
    model: str
    hardware: str
    server: str | None = Field(default=None, description="address of a server that was not launched by us")
    load_from: str | None = Field(
        default=None, description="the load's machine, where the server's hardware is not known"
    )
    scenario_name: str
    slo: dict[str, Json] | None
    minimum_effect: float = Field(
        description="the minimum effect size, a fraction: smaller changes are not claimed"
    )
    confidence: float
    baseline: str
    floors: dict[str, float] = Field(
        default_factory=dict, description="s, by metric: a smaller change of a time is not claimed either"
    )
    labels: dict[str, str] = Field(default_factory=dict, description="of the report, as given by its user")
    note: str | None = Field(None, description="of the report, as given by its user")
    decisions: list[Decision] = Field(description="one per variant after the baseline that ran")
    variants: list[Variant] = Field(description="the baseline first")
    runs: list[RunInfo]
    excluded: list[RunInfo] = Field(
        default_factory=list,
        description="repeats whose measuring was disturbed; no figure holds them, sound repeats stand in",
    )
    metrics: list[Metric]
    parts: list[LoadPart] = Field(default_factory=list, description="empty for a load of one piece")
    methods: list[Method]
    conditions: list[Difference]
    insights: list[Insight]
    recommendations: list[Recommendation]
    roofline: Roofline = Roofline()
    completed_only: list[CompletedOnly]
    pareto: list[ParetoPoint]
    earlier: list[Earlier]
    files: list[File]
    audit: Audit | None = Field(default=None, description="of another tool's result files only")


def schema() -> str:
    """The JSON schema of comparison.json, as docs/comparison.schema.json holds it."""
    found = {"$schema": "https://json-schema.org/draft/2020-12/schema"} | Comparison.model_json_schema()
    return json.dumps(found, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    print(schema(), end="")
