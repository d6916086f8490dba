"""What a section of a report is: a function that makes its blocks, registered by its title."""

from collections.abc import Callable, Mapping

from common.registry import Registry
from reports.charts.chart import Chart
from reports.document.schema import Comparison
from reports.pages.blocks import Block

Charts = Mapping[str, Chart]  # by name
Builder = Callable[[Comparison, Charts], list[Block]]

SECTIONS: Registry[Builder] = Registry("section")


def section(title: str) -> Callable[[Builder], Builder]:
    """A decorator: the function makes the section of this title; one without blocks is left out."""
    return SECTIONS.register(title)
