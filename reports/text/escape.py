"""Texts from models, logs, prompts and file names, made safe for Markdown, for HTML, and for a terminal."""

import re
from urllib.parse import quote

from common.redact import redact
from common.terminal import is_order

_MARKDOWN = re.compile(r"[\\`*\[\]<>|$~&#]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
_LINE_START = re.compile(r"^(\s*)([-+=]|\d+[.)])(?=\s|$|[-=])")


def clean(text: object) -> str:
    """Without what a terminal obeys (control characters, directions of writing), and without what looks like
    a key or a header's value."""
    given = str(text)
    if given.isprintable():
        return redact(given)
    return redact("".join(" " if is_order(char) else char for char in given))


def inline(text: object) -> str:
    """Markdown inside a line or a table's cell: no markup, no HTML, no end of the cell."""
    line = " ".join(clean(text).split())
    return _MARKDOWN.sub(lambda found: "&amp;" if found.group() == "&" else f"\\{found.group()}", line)


def markdown(text: object) -> str:
    """As `inline`, also where a line begins: no list, no heading."""
    return _LINE_START.sub(lambda found: f"{found[1]}{found[2][:-1]}\\{found[2][-1]}", inline(text))


def markdown_code(text: str, language: str) -> str:
    """A fenced block whose fence is longer than any in the text."""
    body = clean(text).strip("\n")
    longest = max((len(run) for run in re.findall(r"`+", body)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{body}\n{fence}"


def link(path: str) -> str:
    """A relative address of a file beside the report; never one with a scheme or a host."""
    return quote("./" + clean(path).lstrip("/"), safe="/.-_~").replace(".//", "./")
