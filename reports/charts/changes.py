"""The chart of the changes: each metric of a variant against the baseline, with its interval."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from reports.charts.chart import Chart, Mark, Panel, Series, Symbol
from reports.document.metric import Change, Metric
from reports.document.schema import Comparison

ARROWS = {"higher": "↑", "lower": "↓", "none": ""}
WIDEST = 100.0  # a line reaches so many times its dot at most: two repeats can say ten to the 20th
# The changes that the comparison chart shows, where the comparison has them.
COMPARED = (
    "output_token_throughput",
    "completed_rate",
    "slo_attainment",
    "ttft_p50",
    "ttft_p99",
    "scheduled_ttft_p50",
    "scheduled_ttft_p99",
    "tpot_p50",
    "tpot_p99",
    "itl_p99",
    "latency_p50",
    "latency_p99",
)


def changes(comparison: Comparison) -> Chart | None:
    """Each metric's ratio to the baseline with its interval, on a log axis: twice and half are as far."""
    rows = [metric for metric in comparison.metrics if metric.name in COMPARED]
    order = [variant.name for variant in comparison.variants]
    names = [_named(metric, order[1:]) for metric in rows]
    found = {variant: _ratios(rows, variant) for variant in order[1:]}
    drawn = [variant for variant, points in found.items() if points]
    if not drawn:
        return None
    alone = len(drawn) == 1
    series = [
        each
        for place, variant in enumerate(drawn)
        for each in _dots(found[variant], variant, order.index(variant), _offset(place, len(drawn)), alone)
    ]
    extremes = [value for points in found.values() for point in points for value in (point.low, point.high)]
    extremes.append(1.0)
    low, high = min(extremes) / 1.25, max(extremes) * 1.25
    high *= (high / low) ** (0.3 if alone else 0.04)  # room for the texts, or for the last tick's
    panel = Panel(
        f"{drawn[0] if alone else 'each'} against {comparison.baseline}",  # the legend names several
        "change (log axis)",
        "",
        series,
        x_log=True,
        x_range=(low, high),
        x_ticks=_ratio_ticks(low, high),
        y_names=names,
        marks=[Mark(1.0, "same")],
    )
    return Chart(
        "comparison",
        "Comparison",
        "Each dot is a metric of the variant divided by the baseline's, each line its "
        f"{comparison.sure} interval. ↑: more is better, "
        "↓: less is better. The axis is logarithmic. An arrow instead of a dot: the "
        f"data only say that it lies beyond, on that side. A line is cut at {WIDEST:.0f} times its dot.",
        "Changes of each metric against the baseline with intervals.",
        [panel],
        height=0.9 + max(0.27, 0.07 * len(drawn)) * len(names),
    )


@dataclass(frozen=True)
class _Ratio:
    """One metric's ratio to the baseline; without an interval, `low` and `high` are the ratio."""

    row: int
    ratio: float
    low: float
    high: float
    text: str
    symbol: Symbol = "dot"


def _ratios(rows: Sequence[Metric], variant: str) -> list[_Ratio]:
    """Of each metric that has a ratio, or a bound of it."""
    changes = [(row, _change(metric, variant)) for row, metric in enumerate(rows)]
    return [ratio for row, change in changes if change is not None for ratio in _ratio_of(row, change)]


def _ratio_of(row: int, change: Change) -> list[_Ratio]:
    """None for a fall to nothing, and where nothing is known."""
    text = f"{change.display}, {change.mark}"
    if change.change is None:
        return _bounded(row, change, text)
    if change.change <= -1:
        return []
    ratio = 1 + change.change
    low = ratio if change.low is None else max(1 + change.low, ratio / WIDEST)
    high = ratio if change.high is None else min(1 + change.high, ratio * WIDEST)
    return [_Ratio(row, ratio, low, high, text)]


def _bounded(row: int, change: Change, text: str) -> list[_Ratio]:
    """A change of which only one side is known: an arrow that points to where it lies."""
    sides: list[tuple[float | None, Symbol]] = [(change.above, "above"), (change.below, "below")]
    known = [(1 + bound, symbol) for bound, symbol in sides if bound is not None and bound > -1]
    return [_Ratio(row, at, at, at, text, symbol) for at, symbol in known] if len(known) == 1 else []


def _dots(points: Sequence[_Ratio], variant: str, index: int, offset: float, texts: bool) -> list[Series]:
    """One series for each symbol."""
    series: list[Series] = []
    for symbol in dict.fromkeys(point.symbol for point in points):
        here = [point for point in points if point.symbol == symbol]
        series.append(
            Series(
                variant,
                [point.ratio for point in here],
                [point.row + offset for point in here],
                "points",
                index,
                low=[point.low for point in here],
                high=[point.high for point in here],
                texts=[point.text for point in here] if texts else None,
                symbol=symbol,
                legend=not series,
            )
        )
    return series


def _offset(place: int, count: int) -> float:
    """How far from the row's middle the dots of one of `count` variants stand."""
    return min(0.2, 0.8 / count) * (place - (count - 1) / 2)


def _named(metric: Metric, variants: Sequence[str]) -> str:
    """Its label and which way is better; what a ratio's axis cannot show, in words."""
    name = f"{metric.label} {ARROWS[metric.better]}".strip()
    found = [change for variant in variants if (change := _change(metric, variant)) is not None]
    nothing = [change.variant for change in found if change.change is not None and change.change <= -1]
    if nothing:
        return f"{name} fell to 0" + _of(nothing, found)
    unknown = [change.variant for change in found if not _ratio_of(0, change)]
    return f"{name} n/a" if found and len(unknown) == len(found) else name


def _of(variants: Sequence[str], found: Sequence[Change]) -> str:
    """Which of those found, in few words."""
    if len(variants) == len(found):
        return ""
    return f" ({', '.join(variants)})" if len(variants) < 3 else f" ({len(variants)} of them)"


def _change(metric: Metric, variant: str) -> Change | None:
    return next((change for change in metric.changes if change.variant == variant), None)


def _ratio_ticks(low: float, high: float) -> list[tuple[float, str]]:
    """Ticks of a ratio axis, written as changes; at most about seven."""
    steps = [0.001, 0.01, 0.1, 0.2, 0.5, 0.8, 0.9, 1.0, 1.1, 1.25, 2.0, 5.0, 10.0, 100.0, 1000.0]
    wide = math.log10(high / low)
    if wide > 2.5:
        steps = [0.001, 0.01, 0.1, 1.0, 10.0, 100.0, 1000.0]
    elif wide > 0.9:
        steps = [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0]
    return [(at, _ratio_text(at)) for at in steps if low <= at <= high]


def _ratio_text(ratio: float) -> str:
    """'+25 %', and from ten times on '×10'."""
    if ratio == 1:
        return "0 %"
    return f"×{ratio:,.0f}" if ratio >= 10 else f"{(ratio - 1) * 100:+,.4g} %".replace("-", "−")
