"""The command: every verb explains itself on one screen, and a mistake is one line."""

import importlib
import shlex
import subprocess
import sys
from collections.abc import Iterator

import pytest

from common import version
from common.places import ROOT
from common.usage import UsageError
from tests.support.waiting import PATIENCE
from tokenswarm.__main__ import main, parse, parser_of, run
from tokenswarm.verbs import BENCHES, TOKENSWARM, VERBS, Group, Verb

SCREEN = (80, 24)  # columns, lines


def verbs(group: Group = TOKENSWARM, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Verb]]:
    """Every verb with its names."""
    for name, each in group.verbs.items():
        if isinstance(each, Group):
            yield from verbs(each, (*path, name))
        else:
            yield (*path, name), each


ALL = dict(verbs())


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_each_verb_explains_itself_on_one_screen(
    path: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(SCREEN[0]))
    lines = parser_of(("tokenswarm", *path), ALL[path]).format_help().splitlines()
    assert len(lines) < SCREEN[1] and max(map(len, lines)) <= SCREEN[0]
    assert lines[0].startswith(f"usage: tokenswarm {' '.join(path)}")
    assert lines[-1].startswith(f"example: tokenswarm {' '.join(path)}")


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_each_example_is_a_command_that_parses(path: tuple[str, ...]) -> None:
    given = parse([*path, *shlex.split(ALL[path].example)])
    assert given.verb == path[-1]
    assert callable(importlib.import_module(ALL[path].module).run)


@pytest.mark.parametrize("words", [[], ["--help"], ["help"], ["bench", "--help"]])
def test_a_group_lists_its_verbs_on_one_screen(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= SCREEN[1] and max(map(len, lines)) <= SCREEN[0]
    listed = [line.split()[0] for line in lines[1:]]
    assert listed == list(BENCHES if "bench" in words else VERBS)


def test_a_verb_that_there_is_not_is_one_line_that_lists_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["comprae", "baseline"]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    assert "no verb 'comprae' (do you mean compare?); there are: run, compare, sweep, " in err
    with pytest.raises(UsageError, match="--rps: a verb comes first"):
        run(["--rps", "5"])
    with pytest.raises(UsageError, match="no verb 'acuracy' .*there are: accuracy, calibrate"):
        run(["bench", "acuracy"])


def test_words_after_two_dashes_belong_to_the_verb_that_takes_them() -> None:
    given = parse(["serve", "baseline", "--", "echo", "--port", "--", "1"])
    assert (given.port, given.words) == (8000, ["echo", "--port", "--", "1"])
    with pytest.raises(UsageError):
        parse(["judge", "a", "--", "b"])


def test_help_and_version_import_nothing_heavy() -> None:
    code = (
        "import sys; from tokenswarm.__main__ import main; main(sys.argv[1:]); "
        "print(sorted(sys.modules.keys() & {'numpy', 'pandas', 'locust', 'gevent', 'pydantic', 'rich'}))"
    )
    for word in ("--help", "--version", "no-such-verb"):
        words = [sys.executable, "-c", code, word]
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False)
        assert done.stdout.splitlines()[-1] == "[]", done.stderr


def test_the_version_names_the_commit_in_a_clone(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    said = capsys.readouterr().out
    assert said == f"tokenswarm {version.version()}\n"
    assert version.named("1f8690a1b2c3") == f"{version.VERSION}+1f8690a1b2c3"
    assert version.named(None) == version.named("") == version.VERSION


def test_outside_a_clone_no_other_projects_commit_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(version, "IN_CLONE", False)
    assert version.version() == version.VERSION


def test_bash_completes_verbs_options_and_names() -> None:
    words = [sys.executable, "-m", "tokenswarm", "completion", "bash"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=True)
    ask = 'COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _shtab_tokenswarm; echo "${COMPREPLY[*]}"'

    def offered(*typed: str) -> list[str]:
        shell = ["bash", "-c", f"{done.stdout}\n{ask}", "bash", *typed]
        said = subprocess.run(shell, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=True)
        return said.stdout.split()

    assert offered("tokenswarm", "ser") == ["serve", "server-setup"]
    assert {"batch-16", "batch-32", "batch-8"} <= set(offered("tokenswarm", "run", "batch-"))
    assert offered("tokenswarm", "run", "baseline", "--slo-t") == ["--slo-ttft", "--slo-tpot"]
    assert "rag-small" in offered("tokenswarm", "run", "baseline", "--scenario", "rag")
    assert "calibrate" in offered("tokenswarm", "bench", "")


def test_a_worker_says_whom_it_waits_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The master's words are in tests/end_to_end/test_endings.py."""
    ran: list[list[str]] = []
    monkeypatch.setenv("TOKENSWARM_RESULTS", "results")
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("os.execv", lambda _, words: ran.append(words))
    importlib.import_module("tokenswarm.commands.worker").run(parse(["worker", "--master", "192.0.2.20"]))
    said = "waiting for the master on 192.0.2.20: it starts the load, and this ends with it\n"
    assert capsys.readouterr().err.endswith(said)
    assert ran[0][-3:] == ["--worker", "--master-host", "192.0.2.20"]
