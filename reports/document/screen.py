"""The first screen in comparison.json: what a reader sees first, on every page."""

from typing import Literal

from pydantic import Field

from reports.document.decision import Recommendation
from reports.document.part import Part

Tone = Literal["", "good", "bad", "doubt", "quiet"]


class ScreenRow(Part):
    """A row of the first screen, as people read it."""

    label: str
    unit: str
    before: str = Field(description="the baseline's figure")
    after: str = Field(description="the variant's; empty where one variant alone was measured")
    change: str
    interval: str
    mark: str = Field(description="'▼ worse'")
    tone: Tone
    definition: str


class ScreenLine(Part):
    """A line below the rows: 'Confidence. One run of each, …'"""

    lead: str
    text: str


class FirstScreen(Part):
    """The decision, at most six rows, a few lines, what to do next."""

    title: str
    baseline: str
    variant: str | None = Field(description="null: the rows are of the baseline alone, or there are none")
    confidence: str = Field(description="of the rows' intervals: '98.3 %'")
    rows: list[ScreenRow]
    lines: list[ScreenLine]
    next: Recommendation | None
