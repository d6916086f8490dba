"""docs/contributing.md by its word: one of each kind is added to a copy of the tree, its commands are run."""

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from common.places import ROOT
from loadgen.workload.arrivals.poisson import Poisson
from loadgen.workload.scenario import Dataset

PAGE = (ROOT / "docs" / "contributing.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"```(\w+)\n(.*?)```\n", re.DOTALL)
PLACE = re.compile(r"(at the end of|new file)\s+`([^`]+)`")
PYTEST = ".venv/bin/python -m pytest "
PYTHON = ".venv/bin/python "
ADDED = {  # the name of what the page adds, as a test's parameter or in what a command prints
    "A metric": "[decode_time]",
    "An arrival process": "[uniform]",
    "A kind of API": "[classify]",
    "A dataset format": "[lines]",
    "A rule": "[finish_reasons]",
    "A section of the report": "[Appendix F: seeds]",
    "An audited file format": "[Stopwatch]",
    "A scenario": "[lunch]",
    "A variant": "[batch-48-",
    "A target": "l4-qwen2.5-7b]",
    "A locustfile": "[greetings]",
}


@dataclass(frozen=True)
class Kind:
    """What the page says of one kind."""

    files: list[tuple[bool, str, str]]  # (new, path, text)
    commands: list[str]
    prose: int  # lines


def kinds() -> dict[str, Kind]:
    found = {}
    for text in PAGE.split("\n## ")[1:]:
        title, _, rest = text.partition("\n")
        places = [(words == "new file", path) for words, path in PLACE.findall(BLOCK.sub("", rest))]
        blocks = [(language, body) for language, body in BLOCK.findall(rest) if language != "sh"]
        commands = [
            line for language, body in BLOCK.findall(rest) if language == "sh" for line in body.splitlines()
        ]
        files = [(new, path, body) for (new, path), (_, body) in zip(places, blocks, strict=True)]
        found[title] = Kind(files, commands, sum(bool(line) for line in BLOCK.sub("", rest).splitlines()))
    return found


def test_what_a_scenario_is_said_to_hold_has_the_scenarios_keys() -> None:
    found = re.findall(r"`(arrivals|dataset): \{(\w+): \w+", PAGE)
    assert sorted(found) == [("arrivals", "process"), ("dataset", "format")]
    assert "process" in Poisson.model_fields and "format" in Dataset.model_fields


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the tree with all that the page adds."""
    copy = tmp_path_factory.mktemp("copy") / "tokenswarm"
    others = shutil.ignore_patterns(
        ".*", "results", "__pycache__", "images", "example", "build", "end_to_end"
    )
    shutil.copytree(ROOT, copy, ignore=others)
    for kind in kinds().values():
        for new, path, text in kind.files:
            file = copy / path
            assert file.exists() != new, f"{path} is {'' if file.exists() else 'not '}there"
            file.write_text(
                text if new else f"{file.read_text(encoding='utf-8')}\n\n{text}", encoding="utf-8"
            )
    return copy


def run(tree: Path, command: str) -> str:
    words = [sys.executable, *command.removeprefix(PYTHON).split()]
    done = subprocess.run(words, cwd=tree, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
    return done.stdout


def test_each_kind_says_its_file_and_its_command_in_a_few_lines() -> None:
    assert kinds().keys() == ADDED.keys()
    for title, kind in kinds().items():
        assert kind.files and kind.commands and kind.prose <= 6, title
        assert all(command.startswith(PYTHON) for command in kind.commands), title


@pytest.mark.timeout(900)  # three processes on a machine that is shared
def test_what_the_page_adds_is_there(tree: Path) -> None:
    """Each command is run once; those of pytest together, since all else of it is its start."""
    asked = list(dict.fromkeys(line for kind in kinds().values() for line in kind.commands))
    tests = [line.removeprefix(PYTEST) for line in asked if line.startswith(PYTEST)]
    for line in asked:
        if not line.startswith(PYTEST):
            run(tree, line)
    seen = run(tree, f"{PYTEST}-rp -p no:cacheprovider {' '.join(tests)}")
    for title, name in ADDED.items():
        assert re.search(rf"PASSED .*{re.escape(name)}", seen), f"{title}: no test has seen {name}"
