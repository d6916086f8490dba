"""The figure of a search for the highest rate: TTFT, TPOT and the share within the SLO against the rate."""

from dataclasses import replace
from typing import Any

from reports.capacity.report import FIGURE, Capacity
from reports.charts.chart import Chart, Mark, Panel, Series, plain

Span = tuple[float, float]
Points = list[tuple[float, float]]

HEADROOM = 1.2  # of the highest time: room for the marks' words
WHOLE = 103.0  # per cent: room for half a dot above 100


def chart(found: Capacity) -> Chart:
    """Three panels on one axis of rates; the ends of the interval are vertical lines. Needs a step."""
    rates = [*(step.rate for step in found.steps), *(found.interval or ())]
    span = min(rates) / 1.3, max(rates) * 1.3
    panels = [
        _time_panel(found, "scheduled TTFT", "ttft", span),
        _time_panel(found, "TPOT", "tpot", span),
        _share_panel(found, span),
    ]
    return Chart(
        FIGURE,
        f"Latency against rate, {found.variant}",
        "A dot is a run; a ring a bound from below, where too few requests ended. Dotted: the SLO.",
        "TTFT, TPOT and share of arrivals within the SLO against the offered rate.",
        panels,
        layout="column",
        height=2.5,
    )


def _time_panel(found: Capacity, title: str, metric: str, span: Span) -> Panel:
    series: list[Series] = []
    for index, suffix in enumerate(("p50", "p99")):
        figures = [(step.rate, step.times[f"{metric}_{suffix}"]) for step in found.steps]
        known = [(rate, 1000 * each.value) for rate, each in figures if each.value is not None]
        least = [(rate, 1000 * (each.lower_bound or 0)) for rate, each in figures if each.value is None]
        least = [(rate, bound) for rate, bound in least if bound]
        if known:
            series.append(Series(suffix, *_columns(_means(known)), "line", index, faint=True, legend=False))
            series.append(Series(suffix, *_columns(known), "points", index))
        if least:
            series.append(Series(f"{suffix}, at least", *_columns(least), "points", index, symbol="ring"))
    bound = found.slo.get(metric)
    if bound is not None:
        series.append(Series("SLO", span, (bound * 1000,) * 2, "line", stroke="dotted"))
    drawn = [value for each in series for value in each.y]
    if drawn and 0 < 20 * min(drawn) < max(drawn):
        y_range = min(drawn) / 1.6, max(drawn) * 1.6
        return _panel(found, title, "ms (log)", series, span, y_log=True, y_range=y_range)
    return _panel(found, title, "ms", series, span, y_range=(0.0, HEADROOM * max(drawn, default=1.0)))


def _share_panel(found: Capacity, span: Span) -> Panel:
    steps = [step for step in found.steps if step.judged]
    shares = [(step.rate, 100 * step.met / step.judged) for step in steps]
    series = [Series("met the SLO", *_columns(shares), "points", 0)]
    series.append(Series("asked", span, (100 * found.slo["share"],) * 2, "line", stroke="dotted"))
    drawn = _panel(found, "Arrivals within the SLO", "%", series, span, y_range=(0.0, WHOLE))
    return replace(drawn, marks=[replace(mark, text="") for mark in drawn.marks])  # named in those above


def _means(points: Points) -> Points:
    """The mean of each rate's values, by rate."""
    rates = sorted({rate for rate, _ in points})
    values = {rate: [value for other, value in points if other == rate] for rate in rates}
    return [(rate, sum(values[rate]) / len(values[rate])) for rate in rates]


def _columns(points: Points) -> tuple[list[float], list[float]]:
    return [x for x, _ in points], [y for _, y in points]


def _panel(found: Capacity, title: str, label: str, series: list[Series], span: Span, **more: Any) -> Panel:
    low, high = found.interval or (None, None)
    marks = [] if low is None or high is None else [Mark(low, "", False), Mark(high, "90 % interval")]
    rates = sorted({step.rate for step in found.steps})
    return Panel(
        title,
        "requests/s (log)",
        label,
        series,
        x_log=True,
        x_range=span,
        x_ticks=[(rate, plain(rate)) for rate in _apart(rates)],
        marks=marks,
        **more,
    )


def _apart(rates: list[float]) -> list[float]:
    """Those that leave room for their labels: 8 % from one to the next."""
    kept: list[float] = []
    for rate in rates:
        if not kept or rate > 1.08 * kept[-1]:
            kept.append(rate)
    return kept
