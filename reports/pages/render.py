"""Write a report's pages: README.md with figures/*.svg, and report.html, one file that needs no network.

Both come from the same blocks (`pages.sections`) and the same charts (`charts.figures`). The same runs
give the same bytes, but for `written_at`.
"""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from textwrap import shorten
from unicodedata import east_asian_width

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from common.results import write_whole
from reports.charts import figures, svg
from reports.charts.chart import Chart
from reports.document.schema import Comparison
from reports.pages import first_screen, sections
from reports.pages.blocks import Section, Table, Tiles, row
from reports.runs.runs import Run
from reports.text import escape

LONGEST = 80  # characters of a text in a chart
TEMPLATES = Path(__file__).resolve().parent / "templates"


def render(comparison: Comparison, runs: Sequence[Run], out_dir: Path) -> None:
    """Write README.md, report.html and figures/ into `out_dir`, which is made when it is not there.

    Files are replaced whole; figures of an older report in the same folder are removed.
    """
    charts = {chart.name: cleaned(chart) for chart in figures.charts(comparison, runs)}
    found = sections.sections(comparison, charts)
    out_dir.mkdir(parents=True, exist_ok=True)
    _write_figures(charts, out_dir / "figures")
    heading = first_screen.title(comparison)
    write_whole(out_dir / "README.md", readme(heading, found))
    write_whole(out_dir / "report.html", page(heading, comparison, found, charts))


def cleaned(chart: Chart) -> Chart:
    """The chart with every text made fit for a file (see `escape.clean`)."""

    def clean(text: str) -> str:
        return shorten(escape.clean(text), LONGEST, placeholder="…")

    panels = [
        replace(
            panel,
            title=clean(panel.title),
            note=clean(panel.note),
            y_names=None if panel.y_names is None else [clean(name) for name in panel.y_names],
            series=[
                replace(
                    series, name=clean(series.name), texts=series.texts and [clean(t) for t in series.texts]
                )
                for series in panel.series
            ],
        )
        for panel in chart.panels
    ]
    return replace(chart, alt=clean(chart.alt), panels=panels)


def readme(heading: str, found: Sequence[Section]) -> str:
    """The report in Markdown, for GitHub and for a terminal."""
    return _environment(autoescape=False).get_template("README.md.j2").render(title=heading, sections=found)


def page(heading: str, comparison: Comparison, found: Sequence[Section], charts: dict[str, Chart]) -> str:
    """The report as one HTML file with its script, styles and data inside."""
    return (
        _environment(autoescape=True)
        .get_template("report.html.j2")
        .render(
            title=heading,
            sections=found,
            copied=readme(heading, found[:1]),
            drawings={name: [Markup(each) for each in svg.inline(chart)] for name, chart in charts.items()},
            style=Markup((TEMPLATES / "report.css").read_text(encoding="utf-8") + svg.RULES),
            script=Markup((TEMPLATES / "report.js").read_text(encoding="utf-8")),
        )
    )


def _together(text: str) -> str:
    """Words that stand in one line: a figure and its unit, a mark."""
    return (
        text.replace(" to ", "\0").replace(" ", "\N{NO-BREAK SPACE}").replace("\0", " to\N{NO-BREAK SPACE}")
    )


def markdown_tiles(tiles: Tiles) -> str:
    """The first screen's rows as a table."""
    rows = [
        row(f"{each.label}, {each.unit}" if each.unit else each.label, each.before)
        + (row(each.after, each.change, each.interval, each.mark) if tiles.variant else [])
        for each in tiles.items
    ]
    more = [tiles.variant, "change", f"{tiles.confidence} interval", ""] if tiles.variant else []
    return markdown_table(Table("", ["", tiles.baseline, *more], rows, frozenset({1, 2, 3, 4})))


def markdown_table(table: Table) -> str:
    """A table that is aligned in a terminal too."""
    lines = [[escape.inline(name) for name in table.columns]]
    lines += [[escape.inline(cell.text) for cell in cells] for cells in table.rows]
    widths = [max(3, *(_width(line[place]) for line in lines)) for place in range(len(table.columns))]
    widths = [min(width, 60) for width in widths]  # a long last cell need not push out all the others
    rule = [
        "-" * (width - 1) + ":" if place in table.right else "-" * width for place, width in enumerate(widths)
    ]
    lines.insert(1, rule)
    return "\n".join("| " + " | ".join(_padded(line, widths, table)) + " |" for line in lines)


def _padded(line: list[str], widths: list[int], table: Table) -> list[str]:
    padded = []
    for place, (text, width) in enumerate(zip(line, widths, strict=True)):
        gap = " " * max(0, width - _width(text))
        padded.append(gap + text if place in table.right else text + gap)
    return padded


def _width(text: str) -> int:
    """Columns of a terminal."""
    return sum(2 if east_asian_width(char) in "WF" else 1 for char in text)


@cache
def _environment(autoescape: bool) -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=autoescape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "clean": escape.clean,
        "fenced": escape.markdown_code,
        "link": escape.link,
        "md": escape.markdown,
        "table": markdown_table,
        "tiles": markdown_tiles,
        "together": _together,
    }
    return environment


def _write_figures(charts: dict[str, Chart], folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, chart in charts.items():
        (folder / f"{name}.svg").write_bytes(svg.draw(chart))
