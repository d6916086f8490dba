"""The installed command: without a clone it audits a file, with scenarios, variants and templates inside."""

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.places import ROOT
from common.version import VERSION
from tokenswarm.verbs import VERBS, Verb

BUILT_FROM = (
    "bench",
    "campaign",
    "common",
    "forecast",
    "loadgen",
    "locustfiles",
    "reports",
    "scenarios",
    "server",
    "tokenswarm",
)
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An environment with the wheel; its dependencies are those that are installed here."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    for name in BUILT_FROM:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "requirements.txt"):
        shutil.copy(ROOT / name, source)
    environment = folder / "env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    pip = [sys.executable, "-m", "pip", "--python", str(environment / "bin" / "python")]
    subprocess.run([*pip, "install", "--quiet", "--no-deps", str(source)], check=True)
    [packages] = environment.glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    yield environment / "bin" / "tokenswarm"


def test_an_installed_command_audits_a_file_without_a_clone(installed: Path, tmp_path: Path) -> None:
    shutil.copy(ROOT / "tests" / "data" / "vllm-bench-open.json", tmp_path)
    here = {
        name: value for name, value in os.environ.items() if not name.startswith(("TOKENSWARM", "PYTHONPATH"))
    }

    def said(*words: str) -> str:
        done = subprocess.run(
            [str(installed), *words], cwd=tmp_path, env=here, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert said("--version") == f"tokenswarm {VERSION}\n"
    assert "adds --max-num-seqs 8" in said("variants")
    modules = [verb.module for verb in VERBS.values() if isinstance(verb, Verb)]
    python = installed.with_name("python")
    load = f"import importlib; [importlib.import_module(name) for name in {modules}]"
    subprocess.run([str(python), "-c", load], cwd=tmp_path, env=here, check=True)  # each one is inside
    said("audit", "vllm-bench-open.json", "--name", "audited")
    report = tmp_path / "results" / "reports" / "audited"
    assert (report / "report.html").is_file() and "vllm-bench-open" in (report / "README.md").read_text()
    refused = subprocess.run(
        [str(installed), "server-setup", "--target", "cpu-tiny"],
        cwd=tmp_path,
        env=here | {"XDG_DATA_HOME": str(tmp_path / "data")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert refused.returncode == 2 and "run this in a clone" in refused.stderr
