"""Each command that a page shows is one: its target, verb, module and options are there today."""

import importlib.util
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from locust.argument_parser import get_parser

import loadgen.user  # noqa: F401 (its options are locust's, too)
from common.places import ROOT
from common.usage import UsageError
from tests.support.waiting import PATIENCE
from tokenswarm.__main__ import parse

PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "docs/decisions").glob("*.md")),
]
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
SHELL = ("", "sh", "console", "bash", "text")  # of a fence
PROGRAMS = ("make", "tokenswarm", "locust", "python", "python3", ".venv/bin/python", ".venv/bin/tokenswarm")
OTHERS = ("…", "...", "<")  # what a word begins with that stands for others


def shown(text: str) -> list[str]:
    """A page's fences line by line (with a prompt: what follows it), indented lines, words in backquotes."""
    prose = FENCED.sub("", text)
    lines = [line[4:] for line in prose.splitlines() if line.startswith("    ")]
    lines += re.findall(r"(?<!`)`([^`\n]+)`(?!`)", prose)
    for language, body in FENCED.findall(text):
        block = body.replace("\\\n", " ").splitlines() if language in SHELL else []
        prompted = [line[2:] for line in block if line.startswith("$ ")]
        lines += prompted or block
    return lines


def command(line: str) -> list[str]:
    """Its words but settings before it and what stands for others or may; none where it is none of ours."""
    try:
        words = shlex.split(re.sub(r"\[[^\]]*\]", "", line).strip(), comments=True)
    except ValueError:
        return []
    while words and re.match(r"[A-Z_]+=", words[0]):
        words = words[1:]
    piped = next((place for place, word in enumerate(words) if word in ("|", ">", "&&", "&")), len(words))
    words = words[:piped]
    if len(words) < 2 or words[0] not in PROGRAMS:
        return []
    return [word.rstrip(";,") for word in words if not word.startswith(OTHERS)]


COMMANDS = sorted(
    {(page.name, *words) for page in PAGES for line in shown(page.read_text()) if (words := command(line))}
)


def of(*programs: str) -> list[tuple[str, ...]]:
    """Those of a program, or of a module that `python -m` runs."""
    found = []
    for page, program, *words in COMMANDS:
        if program.endswith(("python", "python3")) and words[0] == "-m" and len(words) > 1:
            program, *words = words[1:]
        name = program.removeprefix(".venv/bin/")
        if (
            (name in programs)
            if programs
            else name not in ("make", "tokenswarm", "locust", "python", "python3")
        ):
            found.append((page, name, *words))
    return found


def words_of(shown: tuple[str, ...]) -> str:
    return " ".join(shown)


def test_the_pages_show_commands() -> None:
    assert min(len(of("make")), len(of("tokenswarm")), len(of("locust"))) > 3 and len(of()) > 3


@pytest.mark.parametrize("shown", of("make"), ids=words_of)
def test_make_knows_target_and_settings(shown: tuple[str, ...]) -> None:
    ended = subprocess.run(
        ["make", "-n", *shown[2:]], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE
    )
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize(
    "shown", [each for each in of("tokenswarm") if each[2] not in ("--help", "VERB")], ids=words_of
)
def test_tokenswarm_knows_verb_and_options(shown: tuple[str, ...]) -> None:
    try:
        parse(shown[2:])
    except UsageError as error:  # a sentence may name the verb alone, or "…" for what an option takes
        named = "arguments are required" in str(error) and not any("-" in word for word in shown[2:])
        assert named or re.search(r"^--\S+: expected .* argument", str(error)), error


@pytest.mark.parametrize("shown", of("locust"), ids=words_of)
def test_locust_knows_the_options(shown: tuple[str, ...]) -> None:
    words = [word for word in shown[2:] if word != "--help-all"]
    known = {name for action in get_parser()._actions for name in action.option_strings}
    assert {word.partition("=")[0] for word in words if word.startswith("-")} <= known
    assert all((ROOT / path).is_file() for flag, path in zip(words, words[1:], strict=False) if flag == "-f")


@pytest.mark.parametrize("shown", of(), ids=words_of)
def test_python_runs_the_module(shown: tuple[str, ...]) -> None:
    _, module, *words = shown
    spec = importlib.util.find_spec(module)
    assert spec and spec.origin
    source = Path(spec.origin)
    assert (source.parent / "__main__.py").is_file() or "__main__" in source.read_text(encoding="utf-8")
    assert all((ROOT / word).exists() for word in words if word.startswith("tests/") and "." not in word)
