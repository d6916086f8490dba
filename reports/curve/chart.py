"""The figures of a curve: each figure against the offered rate, and users' speed against the GPUs' yield."""

from collections.abc import Sequence

from reports.charts.chart import Chart, Panel, Series, Symbol, plain
from reports.curve.points import ROWS, Point
from reports.metrics.catalogue import Row
from reports.text.formatting import scaled

FIGURE, PARETO = "figures-against-rate", "per-user-against-per-gpu"
STANDING: dict[Symbol, str] = {"dot": "", "ring": ", beaten", "cross": ", not sustained"}


def rates(points: Sequence[Point], variants: Sequence[str]) -> Chart:
    """One panel for each figure, the variants overlaid on one axis of rates."""
    every = sorted({point.rate for point in points})
    span = every[0] / 1.2, every[-1] * 1.2
    return Chart(
        FIGURE,
        "Figures against the offered rate",
        "A dot is a run; a ring is what a percentile is above, where too few requests ended.",
        "SLO attainment, TTFT, TPOT and tokens/s of each variant against the offered rate.",
        [_panel(row, points, variants, span, every) for row in ROWS],
        layout="column",
        height=2.3,
    )


def _panel(
    row: Row, points: Sequence[Point], variants: Sequence[str], span: tuple[float, float], every: list[float]
) -> Panel:
    series = []
    for number, variant in enumerate(variants):
        mine = [(point.rate, point.readings[row.name]) for point in points if point.variant == variant]
        known = [
            (rate, scaled(each.value, row.display_unit)) for rate, each in mine if each.value is not None
        ]
        least = [(rate, scaled(each.above, row.display_unit)) for rate, each in mine if each.above]
        if known:
            x, y = [rate for rate, _ in known], [value for _, value in known]
            series += [
                Series(variant, x, y, "line", number),
                Series(variant, x, y, "points", number, legend=False),
            ]
        if least:
            x, y = [rate for rate, _ in least], [value for _, value in least]
            series.append(Series(f"{variant}, at least", x, y, "points", number, symbol="ring", legend=False))
    drawn = [value for each in series for value in each.y if value > 0]
    wide = row.latency and not row.of_slo and bool(drawn) and max(drawn) > 20 * min(drawn)
    return Panel(
        row.label,
        "requests/s (log)",
        f"{row.display_unit} (log)" if wide else row.display_unit,
        series,
        x_log=True,
        y_log=wide,
        x_range=span,
        x_ticks=[(rate, plain(rate)) for rate in every],
    )


def pareto(points: Sequence[Point], front: Sequence[Point], variants: Sequence[str], whose: str) -> Chart:
    """Each point's tokens/s per user against tokens/s per GPU, drawn by what may be done with it. `whose`:
    `points.divisor`."""
    known = [point for point in points if point.per_user is not None]
    series = []
    for number, variant in enumerate(variants):
        for symbol, told in STANDING.items():
            mine = [p for p in known if p.variant == variant and _symbol(p, front) == symbol]
            if mine:
                series.append(
                    Series(
                        f"{variant}{told}",
                        [point.per_gpu for point in mine],
                        [point.per_user or 0.0 for point in mine],
                        "points",
                        number,
                        texts=[f"{point.rate:g}/s" for point in mine],
                        symbol=symbol,
                    )
                )
    title = f"Tokens/s per user against tokens/s per {whose}"
    panel = Panel(title, f"tok/s per {whose}", "tok/s per user", series)
    return Chart(
        PARETO,
        f"Speed for one user against the yield of a {whose}",
        "Beside a point its rate. Filled: no other point is better in one and as good in the other. A cross "
        "is none to choose: its server fell behind, or its run was disturbed.",
        f"Tokens/s per user (1 / TPOT p50) against output tokens/s per {whose}, for each variant and rate.",
        [panel],
        height=3.4,
    )


def _symbol(point: Point, front: Sequence[Point]) -> Symbol:
    return "dot" if point in front else "ring" if point.sustained else "cross"
