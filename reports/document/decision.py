"""What follows from the figures, in comparison.json: decisions, insights, advice."""

from typing import Literal

from pydantic import Field

from reports.document.part import Part


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
    same_server: str | None = Field(
        default=None, description="where one address answered for every variant: what is known"
    )
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
