"""Charts as plotly figures for report.html: data here, drawing by plotly.js in the reader's browser.

Colours of paper and text are left out: the page's script sets them for a light or a dark page.
"""

import html
import json
from textwrap import wrap
from typing import Any

import numpy as np
from plotly.offline import get_plotlyjs

from reports.charts.chart import Chart, Mark, Panel, Series, log_ticks
from reports.charts.labels import CHARACTER, HEIGHT, place_labels

_SYMBOLS = {
    "dot": "circle",
    "ring": "circle-open",
    "cross": "x-thin-open",
    "above": "triangle-right",
    "below": "triangle-left",
}
TOOLBAR, LINE, BELOW = 28, 16, 44  # pixels: above a panel's title, each of its lines, the lower margin
USUAL_LINES = 2  # of a title: what it is, and its series
LABEL_SIZE = 11  # pixels
LEGEND_WIDTH = 44  # characters of the series' names in a line
NAME_WIDTH = 30  # characters of a row's name in a line; a phone is some 60 wide
PIXEL = 4 / 3  # pixels in a point of 1/72 inch
USUAL_WIDTH = 1000  # pixels of a panel on a wide screen, for which labels are placed
PANEL_HEIGHT = 92  # pixels for each inch of the printed chart


def library() -> str:
    """plotly.js, whole, from the Python package; safe inside a script element."""
    return str(get_plotlyjs()).replace("</script", "<\\/script")


def figures(chart: Chart) -> list[dict[str, Any]]:
    """One plotly figure for each panel of a row, so that they can stand below each other on a phone; one
    for a whole column, whose panels share the x axis."""
    lines = max(USUAL_LINES, *(len(_title_lines(panel)) for panel in chart.panels))
    above, more = TOOLBAR + LINE * lines, LINE * (lines - USUAL_LINES)
    if chart.layout == "column":
        height = round(chart.height * PANEL_HEIGHT * len(chart.panels)) + 80
        return [_figure(chart.panels, height + more, above)]
    return [_figure([panel], round(chart.height * PANEL_HEIGHT) + 84 + more, above) for panel in chart.panels]


def as_json(value: Any) -> str:
    """JSON that can stand inside a script element: no tag and no comment can begin or end in it."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _figure(panels: list[Panel], height: int, above: int) -> dict[str, Any]:
    layout: dict[str, Any] = {
        "height": height,
        "margin": {"l": 52, "r": 14, "t": above, "b": BELOW},
        "showlegend": False,
        "hovermode": "closest",
        "annotations": [],
        "shapes": [],
    }
    data: list[dict[str, Any]] = []
    gap = above / height if len(panels) > 1 else 0.0
    share = (1 - gap * (len(panels) - 1)) / len(panels)
    for place, panel in enumerate(panels):
        top = 1 - place * (share + gap)
        suffix = "" if place == 0 else str(place + 1)
        last = place == len(panels) - 1
        layout[f"xaxis{suffix}"] = _x_axis(panel, suffix, last, shared=place > 0)
        layout[f"yaxis{suffix}"] = _y_axis(panel, suffix, (max(top - share, 0.0), top))
        layout["annotations"].append(_title(panel, top))
        for series in panel.series:
            axes = {"xaxis": f"x{suffix}", "yaxis": f"y{suffix}"}
            data += [trace | axes for trace in _traces(series)]
        layout["annotations"] += _labels(panel, suffix, (height - above - BELOW) * share)
        for mark in panel.marks:
            _add_mark(layout, mark, suffix, panel)
    if panels[0].y_names:
        lines = [line for name in panels[0].y_names for line in wrap(name, NAME_WIDTH)]
        margin = 24 + round(6.1 * max(map(len, lines)))
        layout["margin"]["l"] = margin
        layout["annotations"][0]["xshift"] = 8 - margin  # the names leave the title little room on a phone
    return {"data": data, "layout": layout}


def _title_lines(panel: Panel) -> list[str]:
    """The panel's title, below it its series named in their colours, below them its note."""
    keys = [series for series in panel.series if series.legend and series.name]
    lines = [f"<b>{_text(panel.title)}</b>"]
    if len(keys) > 1:
        lines += ["   ".join(map(_key, row)) for row in _rows_of_keys(keys)]
    if panel.note:
        lines.append(_text(panel.note))
    return lines


def _rows_of_keys(keys: list[Series]) -> list[list[Series]]:
    """As many in a line as a phone is wide; plotly would cut the rest off."""
    rows: list[list[Series]] = [[]]
    for key in keys:
        if rows[-1] and sum(len(each.name) + 5 for each in [*rows[-1], key]) > LEGEND_WIDTH:
            rows.append([])
        rows[-1].append(key)
    return rows


def _key(series: Series) -> str:
    return f'<span style="color:{series.color}">{_stroke(series)} {_text(series.name)}</span>'


def _title(panel: Panel, top: float) -> dict[str, Any]:
    return {
        "text": "<br>".join(_title_lines(panel)),
        "showarrow": False,
        "xref": "paper",
        "yref": "paper",
        "x": 0,
        "y": top,
        "xanchor": "left",
        "yanchor": "bottom",
        "align": "left",
        "font": {"size": 12},
    }


def _stroke(series: Series) -> str:
    if series.kind == "points":
        return "●"
    return "···" if series.stroke == "dotted" else "╍╍" if series.dash else "━━"


def _x_axis(panel: Panel, suffix: str, last: bool, shared: bool) -> dict[str, Any]:
    axis: dict[str, Any] = {
        "anchor": f"y{suffix}",
        "type": "log" if panel.x_log else "linear",
        "zeroline": False,
        "title": {"text": _text(panel.x_label) if last else "", "standoff": 8},
        "showticklabels": last,
        "tickangle": 0,
    }
    axis |= _range(panel.x_range, panel.x_log)
    if panel.x_ticks:
        axis |= {"tickvals": [at for at, _ in panel.x_ticks], "ticktext": [text for _, text in panel.x_ticks]}
    if shared:
        axis["matches"] = "x"
    return axis


def _y_axis(panel: Panel, suffix: str, domain: tuple[float, float]) -> dict[str, Any]:
    axis: dict[str, Any] = {
        "anchor": f"x{suffix}",
        "domain": list(domain),
        "type": "log" if panel.y_log else "linear",
        "zeroline": False,
        "title": {"text": _text(panel.y_label), "standoff": 4},
    }
    axis |= _range(panel.y_range, panel.y_log)
    if panel.y_names:
        names = ["<br>".join(map(_text, wrap(name, NAME_WIDTH))) for name in panel.y_names]
        axis |= {"tickvals": list(range(len(names))), "ticktext": names, "range": [len(names) - 0.4, -0.6]}
        axis["showgrid"] = False
    return axis


def _range(span: tuple[float, float] | None, log: bool) -> dict[str, Any]:
    """The axis' range, and on a log axis the ticks of the printed chart."""
    if span is None:
        return {}
    found: dict[str, Any] = {"range": [_position(value, log) for value in span]}
    if log:
        ticks = log_ticks(*span)
        found |= {"tickvals": [at for at, _ in ticks], "ticktext": [text for _, text in ticks]}
    return found


def _position(value: float, log: bool) -> float:
    return float(np.log10(value)) if log else float(value)


def _add_mark(layout: dict[str, Any], mark: Mark, suffix: str, panel: Panel) -> None:
    x, y = f"x{suffix}", f"y{suffix} domain"
    line = {"type": "line", "layer": "below", "line": {"width": 1, "dash": "dot"}}
    layout["shapes"].append(line | {"x0": mark.at, "x1": mark.at, "xref": x, "y0": 0, "y1": 1, "yref": y})
    if mark.text:
        place = {"x": _position(mark.at, panel.x_log), "y": 1, "xref": x, "yref": y, "yanchor": "top"}
        side = {"xanchor": "left" if mark.after else "right", "showarrow": False, "font": {"size": 10}}
        layout["annotations"].append({"text": _text(mark.text)} | place | side)


def _traces(series: Series) -> list[dict[str, Any]]:
    name = {"name": _text(series.name), "hovertemplate": "%{x:.4~g}, %{y:.4~g}"}
    if series.kind == "segments":
        return [name | _segments(series)]
    if series.kind == "points":
        return [name | _points(series), *_row_labels(series)]
    if series.kind == "rug":
        marker = {"symbol": "line-ns-open", "size": 6, "color": series.color, "opacity": 0.5}
        height = [0.0] * len(series.x)
        rug = {"type": "scatter", "mode": "markers", "x": _numbers(series.x), "y": height, "marker": marker}
        return [rug | {"hoverinfo": "skip"}]
    line = {"color": series.color, "width": 1 if series.faint else 2, "dash": _dash(series)}
    if series.kind == "step":
        line["shape"] = "hv"
    drawn = {
        "type": "scatter",
        "mode": "lines",
        "x": _numbers(series.x),
        "y": _numbers(series.y),
        "line": line,
    }
    return [name | drawn]


def _dash(series: Series) -> str:
    """The dashes of the printed chart, in pixels."""
    return ",".join(f"{2 * length}px" for length in series.dash) or "solid"


def _points(series: Series) -> dict[str, Any]:
    marker = {"color": series.color, "symbol": _SYMBOLS[series.symbol], "size": 6 if series.faint else 10}
    trace: dict[str, Any] = {
        "type": "scatter",
        "mode": "markers",
        "x": _numbers(series.x),
        "y": _numbers(series.y),
        "marker": marker | {"line": {"width": 1.5, "color": series.color}},
    }
    if series.low is not None and series.high is not None:
        x = np.asarray(series.x, float)
        above, below = np.asarray(series.high, float) - x, x - np.asarray(series.low, float)
        ends = {"array": _numbers(above), "arrayminus": _numbers(below), "color": series.color}
        trace["error_x"] = {"type": "data", "symmetric": False, "thickness": 2, "width": 0} | ends
    if series.texts:
        trace |= {"text": [_text(text) for text in series.texts], "hovertemplate": "%{text}"}
    return trace


def _row_labels(series: Series) -> list[dict[str, Any]]:
    """The texts of points that have a row each, right of the interval, as a trace of its own."""
    if not series.texts or series.high is None:
        return []
    label = {"type": "scatter", "mode": "text", "x": _numbers(series.high), "y": _numbers(series.y)}
    texts = [f"\u2002{_text(text)}" for text in series.texts]
    font = {"size": LABEL_SIZE}
    return [label | {"text": texts, "textposition": "middle right", "textfont": font, "hoverinfo": "skip"}]


def _labels(panel: Panel, suffix: str, height: float) -> list[dict[str, Any]]:
    """The texts of points anywhere in the panel (`height` pixels), each joined to its point by a line."""
    points = [
        (x, y, text, series.color)
        for series in panel.series
        if series.kind == "points" and series.texts and series.high is None
        for x, y, text in zip(series.x, series.y, series.texts, strict=True)
    ]
    if not points or panel.x_range is None or panel.y_range is None:
        return []
    across, up = (USUAL_WIDTH, panel.x_range, panel.x_log), (height, panel.y_range, panel.y_log)
    at = [(_pixels(x, *across) / PIXEL, _pixels(y, *up) / PIXEL) for x, y, _, _ in points]
    span = (0.0, USUAL_WIDTH / PIXEL)
    places = place_labels(at, [CHARACTER * len(text) for _, _, text, _ in points], span=span)
    return [
        {
            "text": _text(text),
            "x": _position(x, panel.x_log),
            "y": _position(y, panel.y_log),
            "xref": f"x{suffix}",
            "yref": f"y{suffix}",
            "ax": right * PIXEL,
            "ay": -(above + HEIGHT / 2) * PIXEL,
            "xanchor": "right" if right < 0 else "left",
            "yanchor": "middle",
            "font": {"size": LABEL_SIZE},
            "arrowhead": 0,
            "arrowwidth": 1,
            "arrowcolor": color,
            "standoff": 4,
        }
        for (x, y, text, color), (right, above) in zip(points, places, strict=True)
    ]


def _pixels(value: float, length: float, span: tuple[float, float], log: bool) -> float:
    """How far along an axis of that length the value stands."""
    low, high = (_position(end, log) for end in span)
    return (_position(value, log) - low) / (high - low) * length


def _segments(series: Series) -> dict[str, Any]:
    """Horizontal bars as one line that is lifted between them."""
    assert series.x_end is not None
    x: list[float | None] = []
    y: list[float | None] = []
    for begin, end, height in zip(
        _numbers(series.x), _numbers(series.x_end), _numbers(series.y), strict=True
    ):
        x += [begin, end, None]
        y += [height, height, None]
    return {
        "type": "scatter",
        "mode": "lines",
        "x": x,
        "y": y,
        "connectgaps": False,
        "opacity": 0.45 if series.faint else 1.0,
        "line": {"color": series.color, "width": 4},
        "hovertemplate": f"{_text(series.name)}: %{{x:.3f}} s, arrival %{{y}}",
    }


def _numbers(values: Any) -> list[float | None]:
    """Five significant digits are more than a screen shows; no NaN in JSON."""
    return [
        float(f"{value:.6g}") if np.isfinite(value) else None for value in np.asarray(values, float).tolist()
    ]


def _text(text: str) -> str:
    """plotly reads a little HTML in texts; names must not be read so."""
    return html.escape(text, quote=False)
