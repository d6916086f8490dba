"""What a chart shows, apart from how it is drawn: panels of series on named axes.

`charts.svg` draws it, for README.md and for report.html.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Told apart by people with any colour vision (after Okabe and Ito), at least 3:1 on white and on black.
# The baseline is the first. Dashes say it again without colour.
PALETTE = (
    *("#2f7fc4", "#d0680a", "#12936b", "#a866c9", "#b8860b", "#c8507e"),
    *("#d0433a", "#2b93a6", "#7d8b1e", "#8c6d57"),
)
MUTED = "#808891"
DOTTED = (2, 2)
FEWEST_TICKS = 3  # of a log axis
DASHES: tuple[tuple[int, ...], ...] = ((), (6, 2), (8, 2, 2, 2), (4, 3), (10, 3), (1, 2))

Symbol = Literal["dot", "ring", "cross", "above", "below"]  # the last two: beyond it, to one side


@dataclass(frozen=True, eq=False)
class Series:
    """One thing drawn. `x`, `y` have the same length, as have `x_end`, `low`, `high`, `texts` if given."""

    name: str
    x: Sequence[float] | Floats
    y: Sequence[float] | Floats
    kind: Literal["line", "step", "points", "segments", "rug"] = "line"
    variant: int | None = None  # index into PALETTE; None is muted
    x_end: Sequence[float] | Floats | None = None  # segments: from x to x_end at height y
    low: Sequence[float] | None = None  # points: interval along x
    high: Sequence[float] | None = None
    texts: Sequence[str] | None = None  # points: a label beside each; others: hover texts
    faint: bool = False  # drawn thin and light (repeats, the part of a bar that waits)
    stroke: Literal["variant", "solid", "dotted"] = "variant"  # variant: the variant's own dashes
    symbol: Symbol = "dot"
    legend: bool = True

    @property
    def color(self) -> str:
        return MUTED if self.variant is None else PALETTE[self.variant % len(PALETTE)]

    @property
    def dash(self) -> tuple[int, ...]:
        if self.stroke == "dotted":
            return DOTTED
        if self.variant is None or self.stroke == "solid":
            return ()
        again = self.variant // len(PALETTE)  # a colour that comes again has other dashes
        return DASHES[(self.variant + again) % len(DASHES)]


@dataclass(frozen=True)
class Mark:
    """A vertical reference line with a text at its top, right of it (`after`) or left."""

    at: float
    text: str
    after: bool = True


@dataclass(frozen=True, eq=False)
class Panel:
    """One pair of axes. A range of None fits the data; `y_names` makes the y axis a list of names."""

    title: str
    x_label: str
    y_label: str
    series: list[Series]
    x_log: bool = False
    y_log: bool = False
    x_range: tuple[float, float] | None = None
    y_range: tuple[float, float] | None = None
    x_ticks: list[tuple[float, str]] | None = None
    y_names: list[str] | None = None  # at 0, 1, 2, ... from the top
    marks: list[Mark] = field(default_factory=list)
    note: str = ""  # what a reader must know beside the axes
    shaded: list[tuple[float, float]] = field(
        default_factory=list
    )  # stretches of x in which others disturbed


@dataclass(frozen=True)
class Chart:
    """`name` is its file name; `caption` says what it shows and what was left out; `alt` is for those
    who cannot see it."""

    name: str
    title: str
    caption: str
    alt: str
    panels: list[Panel]
    layout: Literal["row", "column"] = "row"  # column: panels below each other on one x axis
    height: float = 3.2  # inches: of the row, or of one panel of the column


def plain(value: float) -> str:
    """A tick as people write it: 0.05, 20, 5000, 50k, 3M, 2G, 1T."""
    for limit, scale, suffix in ((1e12, 1e12, "T"), (1e9, 1e9, "G"), (1e6, 1e6, "M"), (1e4, 1e3, "k")):
        if abs(value) >= limit:
            return f"{value / scale:g}{suffix}"
    return f"{value:g}"


def log_ticks(low: float, high: float) -> list[tuple[float, str]]:
    """Powers of ten; over less than two decades, or where they are few, 2 and 5 times those as well; where
    these are few too, even steps. An axis with one label has no scale that a reader could see."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in ((1, 2, 5),) if high < 60 * low else ((1,), (1, 2, 5)):
        places = [step * 10.0**decade for decade in decades for step in steps]
        inside = [at for at in places if low <= at <= high]
        if len(inside) >= FEWEST_TICKS:
            break
    else:
        inside = _even_ticks(low, high)
    return [(at, plain(at)) for at in inside]


def _even_ticks(low: float, high: float) -> list[float]:
    """Multiples of the largest 1, 2 or 5 times a power of ten that gives enough of them."""
    decade = math.floor(math.log10(high - low))
    for step in (times * 10.0**power for power in (decade, decade - 1) for times in (5, 2, 1)):
        found = [step * number for number in range(math.ceil(low / step), math.floor(high / step) + 1)]
        if len(found) >= FEWEST_TICKS:
            break
    return found


def thin_line(x: Floats, y: Floats, limit: int = 600) -> tuple[Floats, Floats]:
    """At most `limit` points of a line: of each stretch the lowest and the highest stay."""
    if len(x) <= limit:
        return x, y
    edges = np.linspace(0, len(x), limit // 2 + 1).astype(int)
    keep: list[int] = []
    for begin, end in zip(edges[:-1], edges[1:], strict=True):
        part = y[begin:end]
        keep += sorted({begin + int(np.argmin(part)), begin + int(np.argmax(part))})
    return x[keep], y[keep]
