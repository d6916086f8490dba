"""The terminal that commands print tables and verdicts on."""

import os
from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.segment import Segment

from common.terminal import shown


class SafeConsole(Console):
    """As rich's, but what servers and files say cannot steer the terminal, and shows no secret."""

    def render(self, renderable: Any, options: Any = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=shown(segment.text))


def console_of(width: int) -> Console:
    """As wide as the terminal; `width` columns where there is none."""
    return SafeConsole(width=None if os.isatty(1) else width, highlight=False)
