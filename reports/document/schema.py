"""The shape of comparison.json: every figure of a report, and the sentences written from them.

Times are seconds, shares and changes fractions (0.2 is 20 %), rates per second, unless a field's name
says otherwise; `display` and `display_unit` say how people read a metric. `python -m reports.document.schema`
prints the JSON schema, which docs/comparison.schema.json holds.
"""

import json
from typing import Literal

from pydantic import Field

from reports.document.audit import Audit
from reports.document.decision import CompletedOnly, Decision, Insight, ParetoPoint, Recommendation
from reports.document.metric import LoadPart, Method, Metric
from reports.document.part import Json, Part
from reports.document.roofline import Roofline
from reports.document.run import RunInfo
from reports.document.screen import FirstScreen


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
    title: str = Field("", description="the decision in one line, of several variants too")
    first_screen: FirstScreen | None = Field(default=None, description="null: not written yet")
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
    recommendations: list[Recommendation] = Field(description="in order; the first is what to do next")
    roofline: Roofline = Roofline()
    completed_only: list[CompletedOnly]
    pareto: list[ParetoPoint]
    earlier: list[Earlier]
    files: list[File]
    audit: Audit | None = Field(default=None, description="of another tool's result files only")

    @property
    def sure(self) -> str:
        """The confidence of each interval: '98.3 %', '95 %'."""
        return f"{100 * self.confidence:.3g} %"


def schema() -> str:
    """The JSON schema of comparison.json, as docs/comparison.schema.json holds it."""
    found = {"$schema": "https://json-schema.org/draft/2020-12/schema"} | Comparison.model_json_schema()
    return json.dumps(found, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    print(schema(), end="")
