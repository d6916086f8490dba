"""The one renderer: a chart as SVG with hover texts, readable on a light and on a dark page.

A file for README.md holds the whole chart; report.html holds the same drawings, one for each panel of a row,
so that they stand below each other on a phone. The same chart gives the same bytes.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from reports.charts.chart import Chart, Floats, Mark, Panel, Series, log_ticks, plain
from reports.charts.labels import ANYWHERE, BESIDE, HEIGHT, place_labels

# One set of colours for files and page; report.css has the page's own for a light and a dark page.
LIGHT = {"ink": "#1f2430", "soft": "#596273", "line": "#e3e6ea", "paper": "#ffffff"}
DARK = {"ink": "#e8eaed", "soft": "#a4adba", "line": "#2d333d", "paper": "#12161c"}
RULES = """
.chart { font: 12px system-ui, "Segoe UI", "DejaVu Sans", Verdana, sans-serif; }
.chart text { fill: var(--ink); }
.chart .soft { fill: var(--soft); font-size: 11px; }
.chart .title { font-weight: 600; }
.chart .grid { stroke: var(--line); stroke-width: 1; }
.chart .shade { fill: var(--ink); fill-opacity: .1; }
.chart .axis { stroke: var(--soft); stroke-width: 1; fill: none; }
.chart .mark { stroke: var(--soft); stroke-width: 1; stroke-dasharray: 3 3; }
.chart .paper { fill: var(--paper); }
.chart .hover { fill: transparent; stroke: none; }
.chart .hover:hover { fill: var(--ink); fill-opacity: .35; }
"""
WIDE, NARROW, INCH = 960, 640, 96  # pixels: of a whole chart, of one beside text, of an inch of height
CHARACTER = 6.4  # pixels: width of a character, on average
SMALL = 5.9  # the same of a small one
LEFT, RIGHT, TOP, BELOW = 54, 14, 22, 40  # pixels around the axes
LINE = 16  # pixels: height of a line of text
PIXEL = 4 / 3  # pixels in a point, in which labels are placed
TICKS = 5  # about as many on a linear axis
HOVERS = 60  # places of a line that tell their value


@dataclass(frozen=True)
class _Axis:
    """A range in the data's unit on a span of pixels."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def at(self, value: float) -> float:
        """The pixel of a value."""
        low, high, value = (math.log10(each) if self.log else each for each in (self.low, self.high, value))
        return self.start + (value - low) / (high - low) * (self.end - self.start)

    def many(self, values: Sequence[float] | Floats) -> Floats:
        """The pixels of values; NaN where a logarithm has none."""
        with np.errstate(divide="ignore", invalid="ignore"):
            given = np.asarray(values, float)
            given, ends = (
                (np.log10(given), np.log10([self.low, self.high]))
                if self.log
                else (given, np.array([self.low, self.high]))
            )
        found: Floats = self.start + (given - ends[0]) / (ends[1] - ends[0]) * (self.end - self.start)
        return np.where(np.isfinite(found), found, np.nan)


def draw(chart: Chart) -> bytes:
    """The chart as an SVG file."""
    parts = drawings(chart, WIDE)
    column = chart.layout == "column"
    width = WIDE if column else sum(part.width for part in parts)
    height = sum(part.height for part in parts) if column else max(part.height for part in parts)
    body, x, y = [], 0.0, 0.0
    for part in parts:
        body.append(f'<g transform="translate({_n(x)} {_n(y)})">{part.body}</g>')
        x, y = (x, y + part.height) if column else (x + part.width, y)
    style = f"svg{{{_variables(LIGHT)}}}{RULES}@media(prefers-color-scheme:dark){{svg{{{_variables(DARK)}}}}}"
    size = f'width="{_n(width)}" height="{_n(height)}" viewBox="0 0 {_n(width)} {_n(height)}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="chart" {size} role="img"><style>{style}</style>'
        f'<title>{escape(chart.alt)}</title><rect class="paper" width="100%" height="100%"/>'
        f"{''.join(body)}</svg>\n"
    ).encode()


def inline(chart: Chart) -> list[str]:
    """The drawings for a page: one for each panel of a row, one for a whole column."""
    alone = WIDE if chart.layout == "column" or not chart.panels[0].y_names else NARROW
    parts = drawings(chart, alone if chart.layout == "column" or len(chart.panels) == 1 else 460)
    if chart.layout == "column":
        body, y = "", 0.0
        for part in parts:
            body += f'<g transform="translate(0 {_n(y)})">{part.body}</g>'
            y += part.height
        parts = [Drawing(parts[0].width, y, body)]
    return [
        f'<svg class="chart" viewBox="0 0 {_n(part.width)} {_n(part.height)}" role="img" '
        f'aria-label="{escape(chart.alt)}" style="max-width:{_n(part.width)}px">{part.body}</svg>'
        for part in parts
    ]


@dataclass(frozen=True)
class Drawing:
    """One panel, drawn. Sizes in pixels."""

    width: float
    height: float
    body: str


def drawings(chart: Chart, width: float) -> list[Drawing]:
    """Each panel by itself. `width`: of the chart in a file (a row shares it), of one panel in a page."""
    column = chart.layout == "column"
    share = width if column or width < WIDE else width / len(chart.panels)
    heads = [_head(panel, share) for panel in chart.panels]
    above = max(TOP + LINE * len(lines) for lines in heads)  # panels of a row stay in line
    found = []
    for panel, lines in zip(chart.panels, heads, strict=True):
        last = not column or panel is chart.panels[-1]
        top = TOP + LINE * len(lines) if column else above
        height = chart.height * INCH + (top - TOP) + (0 if last else LINE - BELOW)
        found.append(Drawing(share, height, _panel(panel, share, height, top, last, lines)))
    return found


def _panel(panel: Panel, width: float, height: float, top: float, last: bool, head: list[str]) -> str:
    left = _left(panel)
    x_span, y_span = _spans(panel)
    x = _Axis(*x_span, left, width - RIGHT, panel.x_log)
    bottom = height - (BELOW if last else LINE)
    y = _Axis(*y_span, bottom, top, panel.y_log) if not panel.y_names else _Axis(*y_span, bottom, top)
    out = [f'<text class="title" x="{8 if panel.y_names else left}" y="15">{_text(panel.title)}</text>']
    out += head
    out += _shades(panel, x, top, bottom)
    out += _grid(panel, x, y, last)
    for mark in panel.marks:
        out += _mark(mark, x, top, bottom, -3 if panel.y_names else 9)
    for series in panel.series:
        out += _SERIES[series.kind](series, x, y)
    out += _labels(panel, x, y, width)
    return "".join(out)


def _left(panel: Panel) -> float:
    if not panel.y_names:
        return LEFT
    return 14 + CHARACTER * max(len(name) for name in panel.y_names)


def _head(panel: Panel, width: float) -> list[str]:
    """The lines below the title: its series named in their colours, and its note."""
    keys = [series for series in panel.series if series.legend and series.name]
    left, lines = (8.0 if panel.y_names else LEFT), []
    if len(keys) > 1:
        x, row = left, 0
        text = ""
        for key in keys:
            long = 26 + CHARACTER * len(key.name) + 14
            if x + long > width and x > left:
                lines.append(text)
                text, x, row = "", left, row + 1
            at = 15 + LINE * (row + 1)
            text += _sample(key, x, at - 4)
            text += f'<text x="{_n(x + 24)}" y="{at}">{_text(key.name)}</text>'
            x += long
        lines.append(text)
    if panel.note:
        at = 15 + LINE * (len(lines) + 1)
        lines.append(f'<text class="soft" x="{_n(left)}" y="{at}">{_text(panel.note)}</text>')
    return lines


def _sample(series: Series, x: float, y: float) -> str:
    if series.kind == "points":
        shown = "dot" if series.symbol in ("above", "below") else series.symbol  # arrows are of single values
        return _symbol(shown, x + 9, y, 4.5, series.color)
    return f'<path d="M{_n(x)} {_n(y)}h18" {_pen(series)}/>'


def _spans(panel: Panel) -> tuple[tuple[float, float], tuple[float, float]]:
    x, y = panel.x_range, panel.y_range
    if panel.y_names:
        y = (len(panel.y_names) - 0.4, -0.6)
    drawn = [series for series in panel.series if len(series.x)]
    if x is None:
        x = _fitted([np.asarray(each, float) for series in drawn for each in _xs(series)], panel.x_log)
    if y is None:
        heights = [np.asarray(series.y, float) for series in drawn if series.kind != "rug"]
        y = _fitted(heights, panel.y_log)
    return x, y


def _xs(series: Series) -> Iterator[Sequence[float] | Floats]:
    yield series.x
    for more in (series.x_end, series.low, series.high):
        if more is not None:
            yield more


def _fitted(values: Sequence[Floats], log: bool) -> tuple[float, float]:
    every = np.concatenate([each.ravel() for each in values]) if values else np.zeros(0)
    every = every[np.isfinite(every) & ((every > 0) | (not log))]
    if not len(every):
        return (1.0, 10.0) if log else (0.0, 1.0)
    low, high = float(every.min()), float(every.max())
    if log:
        return low / 1.1, high * 1.1 if high > low else low * 2
    room = 0.04 * (high - low) or max(abs(high), 1.0) * 0.1
    return low - room, high + room


def _grid(panel: Panel, x: _Axis, y: _Axis, last: bool) -> list[str]:
    out, baseline = [], y.start
    for at, text in panel.x_ticks or _ticks(x):
        if not x.low <= at <= x.high:
            continue
        across = _n(x.at(at))
        out.append(f'<path class="grid" d="M{across} {_n(y.end)}V{_n(baseline)}"/>')
        if last:
            out.append(_soft(text, across, baseline + 15, "middle"))
    if panel.y_names:
        out += [
            f'<text x="{_n(x.start - 8)}" y="{_n(y.at(row) + 4)}" text-anchor="end">{_text(name)}</text>'
            for row, name in enumerate(panel.y_names)
        ]
    else:
        for at, text in _ticks(y):
            place = y.at(at)
            out.append(f'<path class="grid" d="M{_n(x.start)} {_n(place)}H{_n(x.end)}"/>')
            out.append(_soft(text, _n(x.start - 6), place + 4, "end"))
    out.append(f'<path class="axis" d="M{_n(x.start)} {_n(y.end)}V{_n(baseline)}H{_n(x.end)}"/>')
    if last and panel.x_label:
        out.append(_soft(panel.x_label, _n((x.start + x.end) / 2), baseline + 32, "middle"))
    if panel.y_label:
        middle = (y.start + y.end) / 2
        turned = f'transform="rotate(-90 12 {_n(middle)})"'
        out.append(
            f'<text class="soft" x="12" y="{_n(middle)}" text-anchor="middle" {turned}>'
            f"{_text(panel.y_label)}</text>"
        )
    return out


def _ticks(axis: _Axis) -> list[tuple[float, str]]:
    low, high = sorted((axis.low, axis.high))
    if axis.log:
        found = log_ticks(low, high)
        room = abs(axis.end - axis.start) / 34
        while len(found) > max(room, 2):
            found = found[::2]
        return found
    step = 10.0 ** math.floor(math.log10((high - low) / TICKS))
    step *= next(times for times in (1, 2, 5, 10) if (high - low) / (step * times) <= TICKS + 1)
    numbers = range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)
    return [(step * number, plain(float(f"{step * number:.10g}"))) for number in numbers]


def _shades(panel: Panel, x: _Axis, top: float, bottom: float) -> list[str]:
    out = []
    for begin, end in panel.shaded:
        low, high = (x.at(min(max(each, x.low), x.high)) for each in (begin, end))
        told = f"<title>disturbed by others: {begin:.0f} to {end:.0f} s</title>"
        out.append(
            f'<path class="shade" d="M{_n(low)} {_n(top)}H{_n(high)}V{_n(bottom)}H{_n(low)}Z">{told}</path>'
        )
    return out


def _mark(mark: Mark, x: _Axis, top: float, bottom: float, lower: float) -> list[str]:
    """A vertical line and its text, whose lower edge is `lower` pixels below the plot's top."""
    if not x.low <= mark.at <= x.high:
        return []
    at = x.at(mark.at)
    out = [f'<path class="mark" d="M{_n(at)} {_n(top)}V{_n(bottom)}"/>']
    if mark.text:
        side = (4, "start") if mark.after else (-4, "end")
        out.append(_soft(mark.text, _n(at + side[0]), top + lower, side[1]))
    return out


def _lines(series: Series, x: _Axis, y: _Axis) -> list[str]:
    places = np.column_stack([x.many(series.x), y.many(series.y)])
    places[:, 1] = np.clip(places[:, 1], min(y.start, y.end) - 2, max(y.start, y.end) + 2)
    pieces, pen_down = [], False
    before = math.nan
    for at, up in places.tolist():
        if math.isnan(at) or math.isnan(up):
            pen_down = False
            continue
        if not pen_down:
            pieces.append(f"M{_n(at)} {_n(up)}")
        elif series.kind == "step":
            pieces.append(f"H{_n(at)}" + (f"V{_n(up)}" if up != before else ""))
        else:
            pieces.append(f"L{_n(at)} {_n(up)}")
        pen_down, before = True, up
    out = [f'<path d="{"".join(pieces)}" {_pen(series)}/>']
    step = max(1, -(-len(places) // HOVERS))
    for place, real_x, real_y in list(zip(places.tolist(), series.x, series.y, strict=True))[::step]:
        if not any(map(math.isnan, place)):
            told = f"{series.name}: {_value(real_x)}, {_value(real_y)}"
            out.append(_hover(place[0], place[1], told))
    return out


def _points(series: Series, x: _Axis, y: _Axis) -> list[str]:
    out, places = [], list(zip(x.many(series.x).tolist(), y.many(series.y).tolist(), strict=True))
    if series.low is not None and series.high is not None:
        lows, highs = x.many(series.low), x.many(series.high)
        for (_, up), low, high in zip(places, lows.tolist(), highs.tolist(), strict=True):
            ends = [min(max(end, x.start), x.end) for end in (low, high) if not math.isnan(end)]
            if len(ends) == 2 and not math.isnan(up):
                line = f"M{_n(ends[0])} {_n(up)}H{_n(ends[1])}"
                out.append(f'<path d="{line}" stroke="{series.color}" stroke-width="2.6" fill="none"/>')
    texts = series.texts or [
        f"{series.name}: {_value(a)}, {_value(b)}" for a, b in zip(series.x, series.y, strict=True)
    ]
    size = 3.0 if series.faint else 5.0
    for (at, up), text in zip(places, texts, strict=True):
        if not (math.isnan(at) or math.isnan(up)):
            out.append(_symbol(series.symbol, at, up, size, series.color, text))
    return out


def _symbol(kind: str, x: float, y: float, size: float, color: str, told: str = "") -> str:
    title = f"<title>{_text(told)}</title>" if told else ""
    if kind in ("above", "below"):  # beyond what is drawn: to the right, to the left
        way = 1 if kind == "above" else -1
        back, tip = x - way * size, x + way * 1.4 * size
        path = f"M{_n(back)} {_n(y - size)}L{_n(tip)} {_n(y)}L{_n(back)} {_n(y + size)}Z"
        return f'<path class="{kind}" d="{path}" fill="{color}">{title}</path>'
    if kind == "cross":
        path = f"M{_n(x - size)} {_n(y - size)}l{2 * size} {2 * size}m0 {-2 * size}l{-2 * size} {2 * size}"
        return f'<path d="{path}" stroke="{color}" stroke-width="1.6" fill="none">{title}</path>'
    fill = 'class="paper"' if kind == "ring" else f'fill="{color}"'
    pen = f'{fill} stroke="{color}" stroke-width="1.6"'
    return f'<circle cx="{_n(x)}" cy="{_n(y)}" r="{size}" {pen}>{title}</circle>'


def _segments(series: Series, x: _Axis, y: _Axis) -> list[str]:
    assert series.x_end is not None
    begins, ends, heights = x.many(series.x), x.many(series.x_end), y.many(series.y)
    out = []
    told = zip(
        begins.tolist(), ends.tolist(), heights.tolist(), series.x, series.x_end, series.y, strict=True
    )
    for begin, end, up, start, stop, number in told:
        if not any(map(math.isnan, (begin, end, up))):
            text = f"{series.name}, arrival {number:g}: {start:.3f} to {stop:.3f} s"
            fade = ' stroke-opacity="0.4"' if series.faint else ""
            out.append(
                f'<path d="M{_n(begin)} {_n(up)}H{_n(end)}" stroke="{series.color}" stroke-width="3.4"{fade}>'
                f"<title>{_text(text)}</title></path>"
            )
    return out


def _rug(series: Series, x: _Axis, y: _Axis) -> list[str]:
    tall = 0.05 * abs(y.end - y.start)
    ticks = "".join(f"M{_n(at)} {_n(y.start)}v{_n(-tall)}" for at in x.many(series.x).tolist())
    return [f'<path d="{ticks}" stroke="{series.color}" stroke-width="0.6" stroke-opacity="0.6"/>']


def _labels(panel: Panel, x: _Axis, y: _Axis, width: float) -> list[str]:
    """The texts of points beside them; a line in the point's colour joins those that stand apart."""
    points = [
        (x.at(at), y.at(up), text, series.color)
        for series in panel.series
        if series.kind == "points" and series.texts
        for at, up, text in zip(series.high or series.x, series.y, series.texts, strict=True)
    ]
    at = [(min(px, x.end) / PIXEL, -py / PIXEL) for px, py, _, _ in points]
    widths = [SMALL * len(text) / PIXEL for _, _, text, _ in points]
    options = BESIDE if panel.y_names else ANYWHERE
    places = place_labels(at, widths, options, (0.0, width / PIXEL))
    out = []
    for (px, py, text, color), (right, up) in zip(points, places, strict=True):
        tx, ty = min(px, x.end) + right * PIXEL, py - (up + HEIGHT * 0.15) * PIXEL
        if not panel.y_names:
            middle = ty - 0.3 * HEIGHT * PIXEL
            out.append(
                f'<path d="M{_n(px)} {_n(py)}L{_n(tx)} {_n(middle)}" stroke="{color}" stroke-width="1"/>'
            )
        anchor = "end" if right < 0 else "start"
        out.append(_soft(text, _n(tx), ty, anchor))
    return out


def _pen(series: Series) -> str:
    dash = (
        f' stroke-dasharray="{" ".join(_n(1.5 * length) for length in series.dash)}"' if series.dash else ""
    )
    wide, fade = ("1.1", ' stroke-opacity="0.6"') if series.faint else ("2", "")
    return f'fill="none" stroke="{series.color}" stroke-width="{wide}"{fade}{dash}'


def _hover(x: float, y: float, told: str) -> str:
    return f'<circle class="hover" cx="{_n(x)}" cy="{_n(y)}" r="6"><title>{_text(told)}</title></circle>'


def _soft(text: str, x: str, y: float, anchor: str) -> str:
    return f'<text class="soft" x="{x}" y="{_n(y)}" text-anchor="{anchor}">{_text(text)}</text>'


def _variables(colors: dict[str, str]) -> str:
    return "".join(f"--{name}:{color};" for name, color in colors.items())


def _value(value: float) -> str:
    return f"{float(value):.4g}"


def _n(value: float) -> str:
    """A tenth of a pixel is finer than a screen."""
    return f"{value:.1f}".removesuffix(".0")


def _text(text: str) -> str:
    return escape(text, quote=False)


_Draw = Callable[[Series, _Axis, _Axis], list[str]]
_SERIES: dict[str, _Draw] = {
    "line": _lines,
    "step": _lines,
    "points": _points,
    "segments": _segments,
    "rug": _rug,
}
