"""The results table in comparison.json: readings, changes, and how the intervals were made."""

from typing import Literal

from pydantic import Field

from reports.document.part import Part

Mark = Literal["better", "worse", "no difference shown", "unstable", "not comparable"]
Direction = Literal["higher", "lower", "none"]
PartKind = Literal["workload", "adapter", "stage"]


class Reading(Part):
    """One metric of one variant."""

    variant: str
    value: float | None = Field(description="null: not measured, or beyond what the data can give")
    lower_bound: float | None = Field(None, description="the percentile is above this (censored)")
    count: int = Field(description="arrivals, tokens or gaps behind the value, all repeats together")
    by_run: list[float | None] = Field(description="the value of each repeat, in the order of `runs`")
    display: str = Field(description="as people read it, without the unit: '231.7', '> 60000', 'n/a'")


class LoadPart(Part):
    """A workload of a mix, a LoRA adapter, or a stage of a load with stages, in the runs of one variant."""

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
    low: float | None = Field(description="interval of the change; null: none could be computed")
    high: float | None
    above: float | None = Field(None, description="the variant's figure is only bounded: the change is above")
    below: float | None = Field(
        None, description="the baseline's figure is only bounded: the change is below"
    )
    display: str = Field(description="'+20.0 %', or 'n/a'")
    display_interval: str = Field(description="'+18.1 to +22.0 %', or 'n/a'")
    reason: str = Field(description="why this mark, one clause")
    more_runs: int | None = Field(
        default=None,
        description="runs of each (fresh starts, where they were launched) that would decide it, about",
    )
    more_runs_s: float | None = Field(
        default=None, description="s of load in each of those; null: decided, or not known"
    )
    warning: str | None = Field(None, description="stands in the same line wherever the claim stands")


class Metric(Part):
    """A row of the results table."""

    name: str
    label: str
    unit: Literal["s", "1/s", "tokens/s", "share", "requests", "J/token", "J/request"]
    display_unit: str = Field(description="'ms', 'req/s', 'tok/s', '%', 'J', ''")
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
    start_sd: float | None = Field(
        default=None, description="sd of the logarithm of the pace between starts, which the intervals hold"
    )
    start_sd_from: str | None = Field(default=None, description="where it is known from")
