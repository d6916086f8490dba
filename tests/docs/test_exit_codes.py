"""The table of docs/measure.md holds every exit code, with the code's own meaning."""

import re

import pytest

from campaign.load import INTERRUPTED
from common import terminal
from common.places import ROOT
from common.usage import USAGE, exit_code
from reports.gate.gate import EXIT_CODE
from reports.verdict.rule import Verdict

TABLE = (
    (ROOT / "docs" / "measure.md")
    .read_text(encoding="utf-8")
    .partition("| exit code |")[2]
    .partition("\n\n")[0]
)
ROWS = {first.strip(): rest for first, rest in re.findall(r"^\|([\d, ]+)\|(.*)$", TABLE, re.MULTILINE)}


def unread() -> int:
    raise BrokenPipeError


def test_each_verdict_has_its_code() -> None:
    for verdict in Verdict:
        assert ROWS[str(verdict.exit_code)].strip().startswith(f"{verdict.label}: "), verdict


def test_the_others_are_there_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "write_nowhere", lambda descriptor: None)
    ended = ", ".join(map(str, INTERRUPTED))
    others = {"1", str(USAGE), str(EXIT_CODE), ended, str(exit_code(unread))}
    assert ROWS.keys() == {str(verdict.exit_code) for verdict in Verdict} | others
