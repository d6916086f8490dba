"""The first screens of six reports: the decision is the title, and all of it is short."""

import re
from pathlib import Path

import pytest

from tests.support.first_screens import LINES, NAMES, make
from tests.support.prose import too_long

TITLES = {
    "good": r"Use optimized at 19\.8 req/s: TPOT p50 −\d+\.\d % and latency p\d\d −\d+\.\d %",
    "bad": r"Do not use optimized at 19\.8 req/s: it serves 8\.\d\d of 19\.77, baseline all of it",
    "both-drowned": r"Use neither at 19\.8 req/s: optimized serves 6\.\d\d of 19\.77, baseline 14\.\d\d; "
    r"baseline is the better of the two",
    "too-short": r"Do not use optimized at 20\.8 req/s: it serves 5\.\d\d of 20\.75, baseline all of it",
    "disturbed": r"No decision on optimized at 19\.8 req/s: the load generator fell behind "
    r"in the run of optimized",
    "audit": r"Do not use the claims of baseline and optimized: token throughput is claimed \+19\.7 %, "
    r"the records say −39\.1 %; 66 and 56 of 767 requests finished",
}


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("screens")
    for name in NAMES:
        make(name, folder / name)
    return {name: _readme(folder / name) for name in NAMES}


def _readme(folder: Path) -> str:
    return (folder / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", NAMES)
def test_the_title_is_the_decision(pages: dict[str, str], name: str) -> None:
    assert re.fullmatch(f"# {TITLES[name]}", pages[name].splitlines()[0].replace("\\", ""))


@pytest.mark.parametrize("name", NAMES)
def test_a_page_is_short_and_so_are_its_sentences(pages: dict[str, str], name: str) -> None:
    assert too_long(pages[name]) == []
    body = pages[name].split("## Appendix A")[0].split("## Result")[1]
    assert len(re.findall(r"\w[\w.,−%/'-]*", body)) <= 600
    more = 500 if name == "audit" else 0  # its table of 27 claims
    assert len(re.findall(r"\w[\w.,−%/'-]*", pages[name])) <= 2500 + more


@pytest.mark.parametrize("name", [name for name in NAMES if name != "audit"])
def test_forty_lines_hold_rows_confidence_setup_the_next_command_and_a_figure(
    pages: dict[str, str], name: str
) -> None:
    head = pages[name].split("## Why")[0].splitlines()
    assert len(head) <= LINES
    assert 1 <= sum(line.startswith("| ") for line in head) - 2 <= 6
    for part in ("**Confidence.**", "**Setup.**", "**Next.**", "```sh", "![Changes of each metric"):
        assert sum(line.startswith(part) for line in head) == 1, part
    for command in [line for line in head if line.startswith("make ")]:
        assert command.count("HOST=") == 1, "a setting is named once"


def test_what_disturbed_a_run_is_said_once(pages: dict[str, str]) -> None:
    head = "\n".join(pages["disturbed"].splitlines()[:LINES])
    assert head.count("the load generator fell behind") == 1
    assert "enough" not in head and "_share" not in head, "reasons are words and no names of rules"


def test_survivors_decide_nothing(pages: dict[str, str]) -> None:
    for name in ("bad", "both-drowned", "too-short"):
        assert "▲ better" not in pages[name], name
