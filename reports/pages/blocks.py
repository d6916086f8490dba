"""The pieces that a report is made of, before they become Markdown or HTML.

Texts are as they came from models, logs and file names: `reports.text.escape` makes them safe on the way out.
"""

from dataclasses import dataclass
from typing import Literal

from reports.charts.chart import Chart
from reports.document.screen import ScreenRow, Tone


@dataclass(frozen=True)
class Text:
    """A paragraph; `lead` stands before it in bold."""

    text: str
    lead: str = ""
    kind: Literal["text"] = "text"


@dataclass(frozen=True)
class Bullets:
    """A list of paragraphs."""

    items: list[Text]
    kind: Literal["bullets"] = "bullets"


@dataclass(frozen=True)
class Cell:
    """A table's cell. `tone` colours it in HTML; the text says the same in words. `sort` orders a column."""

    text: str
    tone: Tone = ""
    sort: float | None = None


@dataclass(frozen=True)
class Table:
    """`right`: the columns that hold figures. `caption` may be empty, and so may the names of all columns."""

    caption: str
    columns: list[str]
    rows: list[list[Cell]]
    right: frozenset[int] = frozenset()
    kind: Literal["table"] = "table"


@dataclass(frozen=True)
class Tiles:
    """The rows of the first screen. `variant`: None where one variant alone was measured."""

    baseline: str
    variant: str | None
    confidence: str
    items: list[ScreenRow]
    kind: Literal["tiles"] = "tiles"


@dataclass(frozen=True)
class Code:
    """Something to copy into a shell, or a difference of two such things."""

    text: str
    language: Literal["sh", "diff"] = "sh"
    kind: Literal["code"] = "code"


@dataclass(frozen=True)
class Drawing:
    """A chart."""

    chart: Chart
    kind: Literal["drawing"] = "drawing"


@dataclass(frozen=True)
class Link:
    """A file beside the report."""

    path: str
    text: str


@dataclass(frozen=True)
class Links:
    items: list[Link]
    kind: Literal["links"] = "links"


@dataclass(frozen=True)
class Folded:
    """Blocks that are of use to few: folded in HTML, only named in Markdown."""

    title: str
    blocks: "list[Block]"
    kind: Literal["folded"] = "folded"


Block = Text | Bullets | Table | Tiles | Code | Drawing | Links | Folded


@dataclass(frozen=True)
class Section:
    """A numbered section."""

    title: str
    blocks: list[Block]


def row(*cells: str | Cell) -> list[Cell]:
    """A table's row; plain texts become cells."""
    return [cell if isinstance(cell, Cell) else Cell(cell) for cell in cells]
