"""Nothing that a server, a file or a user says can steer a terminal or stand as markup in a report."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table
from rich.text import Text

from common import terminal
from common.usage import UsageError, exit_code
from reports.text import escape
from reports.text.console import SafeConsole

CONTROL = [*map(chr, range(32)), *map(chr, range(127, 160))]
ORDERS = [char for char in CONTROL if char not in "\n\t"]
ORDERS += [chr(code) for code in (0x200E, 0x200F, 0x2028, 0x2029, 0x202A, 0x202D, 0x202E, 0x2066, 0x2069)]
ORDERS += ["\ufeff", "\ud800", "\udfff", "\ue000", "\U000e0041"]


def of_line(text: str, capsys: pytest.CaptureFixture[str]) -> str:
    terminal.say(text)
    return capsys.readouterr().err.removesuffix("\n")


def of_error(text: str, capsys: pytest.CaptureFixture[str]) -> str:
    def fail() -> int:
        raise UsageError(text)

    assert exit_code(fail) == 2
    return capsys.readouterr().err.removesuffix("\n")


def of_table(text: str, capsys: pytest.CaptureFixture[str]) -> str:
    table = Table(title=Text(text))
    table.add_column(Text(text))
    table.add_row(Text(text))
    console = SafeConsole(file=io.StringIO(), width=80)
    console.print(table)
    return console.file.getvalue()  # type: ignore[attr-defined]


def of_markup(text: str, capsys: pytest.CaptureFixture[str]) -> str:
    return escape.inline(text)


PLACES = {"a line": of_line, "an error": of_error, "a table": of_table, "a report": of_markup}


@pytest.mark.parametrize("order", ORDERS, ids=lambda order: f"U+{ord(order):04X}")
@pytest.mark.parametrize("place", PLACES)
def test_no_order_reaches_a_terminal(place: str, order: str, capsys: pytest.CaptureFixture[str]) -> None:
    said = PLACES[place](f"m{order}[2Jodel", capsys)
    assert order not in said.replace("\r\n", "\n") and "odel" in said


@given(text=st.text(max_size=60))
def test_whatever_is_shown_is_printable(text: str) -> None:
    shown = terminal.shown(text)
    assert not set(shown) & set(ORDERS) and not any(map(terminal.is_order, shown))
