"""Sentences of README, docs and the example reports have at most 25 words."""

from pathlib import Path

import pytest

from common.places import ROOT
from tests.support.prose import sentences, too_long

REPORTS = sorted((ROOT / "docs" / "example").rglob("README.md"))
# Measured again before long; a report of an earlier version has no appendices.
PAGES = [
    path
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    if path not in REPORTS or "Appendix A" in path.read_text(encoding="utf-8")
]


def test_sentences_end_where_a_reader_ends_them() -> None:
    text = """# A heading of any length

One. Two `a. b` words
go on! (Three?) See [a
page](b.md).

- four
- five: 0.5 ms

| a table | says. nothing |

```
code. code
```
"""
    assert sentences(text) == [
        "One.",
        "Two code words go on!",
        "(Three?",
        "See a page.",
        "four",
        "five: 0.5 ms",
    ]
    assert too_long("one " * 26 + ".") and not too_long("one " * 25 + ".")


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_sentence_of_a_page_is_too_long(path: Path) -> None:
    assert too_long(path.read_text(encoding="utf-8")) == []
