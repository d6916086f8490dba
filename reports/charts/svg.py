"""Figures as SVG files, the same bytes each time, readable on a light and on a dark page."""

import io
import re
import warnings
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import NullLocator

from reports.charts.chart import Chart, Mark, Panel, Series, log_ticks
from reports.charts.labels import ANYWHERE, BESIDE, CHARACTER, place_labels

INK, SOFT, GRID, PAPER = "#1f2430", "#596273", "#e3e6ea", "#ffffff"
# The drawing is light; a viewer that prefers dark swaps these four by the style sheet inside the file.
DARK = {INK: "#e8eaed", SOFT: "#a4adba", GRID: "#2d333d", PAPER: "#12161c"}
WIDTH = 10.0  # inches
_PATH = re.compile(r' d="[^"]*"')
_DECIMALS = re.compile(r"(\d\.\d\d)\d+")  # a hundredth of a point is finer than a screen

STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "tokenswarm",
    "font.family": "DejaVu Sans",
    "font.size": 9.0,
    "text.color": INK,
    "text.parse_math": False,  # a dollar sign in a name is a dollar sign
    "axes.edgecolor": SOFT,
    "axes.labelcolor": SOFT,
    "axes.facecolor": PAPER,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "figure.facecolor": PAPER,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "path.simplify": False,
}


def draw(chart: Chart) -> bytes:
    """The chart as an SVG file."""
    with matplotlib.rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # the reader's fonts draw the text
        column = chart.layout == "column"
        rows = len(chart.panels) if column else 1
        canvas = Canvas(figsize=(WIDTH, chart.height * rows + 0.2), layout="constrained")
        columns = 1 if column else len(chart.panels)
        grid = canvas.subplots(rows, columns, sharex="col" if column else False, squeeze=False)
        for axis, panel in zip(grid.flat, chart.panels, strict=True):
            _draw_panel(axis, panel, last=not column or panel is chart.panels[-1])
        _legends(canvas, list(grid.flat), shared=columns > 1)
        canvas.draw_without_rendering()  # settles the layout, so that labels can be kept apart
        canvas.set_layout_engine("none")  # nor be moved by them
        for axis, panel in zip(grid.flat, chart.panels, strict=True):
            _label_points(axis, panel)
        return _finish(canvas)


def _legends(canvas: Canvas, axes: list[Any], shared: bool) -> None:
    """On the title line: of each panel, or one above a row whose panels show the same."""
    for axis in axes:
        handles, names = axis.get_legend_handles_labels()
        if len(names) < 2:
            continue
        if shared:
            canvas.legend(handles, names, loc="outside upper left", ncols=len(names))
            return
        axis.legend(loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0.1, ncols=len(names))


def _finish(canvas: Canvas) -> bytes:
    out = io.BytesIO()
    canvas.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    text = out.getvalue().decode()
    rules = "".join(
        f'[style*="{what}: {light}"]{{{what}:{dark}!important}}'
        for light, dark in DARK.items()
        for what in ("fill", "stroke")
    )
    sheet = f"<style>@media (prefers-color-scheme: dark){{{rules}}}</style>"
    text = text.replace("'DejaVu Sans'", "'DejaVu Sans', Verdana, sans-serif")
    text = _PATH.sub(lambda found: _DECIMALS.sub(r"\1", found.group()), text)
    head, rest = text.split("<defs>", 1)
    return (head + sheet + "\n<defs>" + rest).encode()


def _draw_panel(axis: Any, panel: Panel, last: bool) -> None:
    axis.set_title(panel.title, pad=18 if panel.note else 6)
    axis.annotate(
        panel.note,
        (0, 1),
        (0, 5),
        xycoords="axes fraction",
        textcoords="offset points",
        fontsize=8,
        color=SOFT,
        in_layout=False,
    )
    if last:
        axis.set_xlabel(panel.x_label)
    axis.set_ylabel(panel.y_label)
    for series in panel.series:
        _DRAW[series.kind](axis, series)
    for mark in panel.marks:
        _draw_mark(axis, mark)
    _scale(axis, panel)


def _scale(axis: Any, panel: Panel) -> None:
    for log, span, name in ((panel.x_log, panel.x_range, "x"), (panel.y_log, panel.y_range, "y")):
        if log:
            axis.set(**{f"{name}scale": "log"})
        if span:
            axis.set(**{f"{name}lim": span})
        if log and span:
            _set_ticks(getattr(axis, f"{name}axis"), log_ticks(*span))
    if panel.x_ticks:
        _set_ticks(axis.xaxis, panel.x_ticks)
    if panel.y_names:
        axis.set_yticks(range(len(panel.y_names)), panel.y_names)
        axis.tick_params(axis="y", length=0, labelcolor=INK)
        axis.set_ylim(len(panel.y_names) - 0.4, -0.6)
        axis.grid(False, axis="y")


def _set_ticks(axis: Any, ticks: list[tuple[float, str]]) -> None:
    axis.set_minor_locator(NullLocator())
    axis.set_ticks([at for at, _ in ticks], [text for _, text in ticks])


def _draw_mark(axis: Any, mark: Mark) -> None:
    axis.axvline(mark.at, color=SOFT, linewidth=0.9, dashes=(2, 2), zorder=1)
    axis.annotate(
        mark.text,
        (mark.at, 1.0),
        (3 if mark.after else -3, -3),
        xycoords=("data", "axes fraction"),
        textcoords="offset points",
        ha="left" if mark.after else "right",
        va="top",
        fontsize=8,
        color=SOFT,
    )


def _line(axis: Any, series: Series, **more: Any) -> None:
    style = {"dashes": series.dash} if series.dash else {}
    axis.plot(
        series.x,
        series.y,
        color=series.color,
        label=_label(series),
        linewidth=0.9 if series.faint else 1.7,
        alpha=0.55 if series.faint else 1.0,
        **style,
        **more,
    )


def _step(axis: Any, series: Series) -> None:
    _line(axis, series, drawstyle="steps-post")


_MARKERS = {"dot": "o", "ring": "o", "cross": "x", "above": ">", "below": "<"}


def _points(axis: Any, series: Series) -> None:
    if series.low is not None and series.high is not None:
        axis.hlines(series.y, series.low, series.high, color=series.color, linewidth=2.2)
    marker, fill = _MARKERS[series.symbol], PAPER if series.symbol == "ring" else series.color
    axis.plot(
        series.x,
        series.y,
        marker,
        color=series.color,
        markerfacecolor=fill,
        label=_label(series),
        markersize=4 if series.faint else 6.5,
    )


def _label_points(axis: Any, panel: Panel) -> None:
    """Write the texts of points beside them, with a line in the point's colour from one to the other."""
    points = [
        (tuple(axis.transData.transform((x, y)) * 72 / axis.figure.dpi), text, series.color)
        for series in panel.series
        if series.kind == "points" and series.texts
        for x, y, text in zip(series.high or series.x, series.y, series.texts, strict=True)
    ]
    widths = [CHARACTER * len(text) for _, text, _ in points]
    options = BESIDE if panel.y_names else ANYWHERE
    span = (0.0, 72 * WIDTH)
    places = place_labels([point for point, _, _ in points], widths, options, span)
    for (point, text, color), (right, up) in zip(points, places, strict=True):
        axis.annotate(
            text,
            point,
            (right, up),
            xycoords="figure points",
            textcoords="offset points",
            ha="right" if right < 0 else "left",
            fontsize=8.5,
            color=INK,
            annotation_clip=False,
            arrowprops=None
            if panel.y_names
            else _LEADER | {"color": color, "relpos": (1.0 if right < 0 else 0.0, 0.5)},
        )


_LEADER = {"arrowstyle": "-", "linewidth": 0.8, "shrinkA": 0, "shrinkB": 3}


def _segments(axis: Any, series: Series) -> None:
    assert series.x_end is not None
    axis.hlines(
        series.y,
        series.x,
        series.x_end,
        color=series.color,
        label=_label(series),
        linewidth=2.6,
        alpha=0.4 if series.faint else 1.0,
    )


def _rug(axis: Any, series: Series) -> None:
    x = np.repeat(np.asarray(series.x, float), 3)
    y = np.tile([0.0, 0.05, np.nan], len(series.x))  # one path, lifted between the ticks
    axis.plot(
        x,
        y,
        color=series.color,
        linewidth=0.5,
        alpha=0.6,
        transform=axis.get_xaxis_transform(),
        label=_label(series),
    )


def _label(series: Series) -> str | None:
    return series.name if series.legend and series.name else None


_DRAW = {"line": _line, "step": _step, "points": _points, "segments": _segments, "rug": _rug}
