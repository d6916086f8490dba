"""One run in comparison.json: its verdict's rules, its accounting, what its server said."""

from pydantic import Field

from reports.document.part import Json, Part

UNUSABLE = ("INVALID", "DISTURBED", "CLIENT-LIMITED")  # verdicts of runs that say nothing of the server


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
    gateway_ttft: float | None = Field(
        None, description="TTFT through the gateway less past it, s (--direct)"
    )
    gateway_low: float | None = Field(None, description="of its interval, 95 % confidence")
    gateway_high: float | None = None
    gateway_past: float | None = Field(None, description="requests that went past it")
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
    elsewhere: str = Field(
        default="", description="of SATURATED: who fell behind in place of the server's engine"
    )
    rules: list[Rule]
    started_at: str
    ended: str
    labels: dict[str, str] = Field(default_factory=dict, description="as given by the run's user")
    note: str | None = Field(default=None, description="as given by the run's user")
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
