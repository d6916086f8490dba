"""The scripts of docs/ci.md, run as they stand against a server on a timetable."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import yaml

from bench.process import metronome
from common.places import ROOT
from reports.gate.gate import EXIT_CODE
from tests.support.waiting import PATIENCE

PAGE = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
GITHUB, GITLAB = (yaml.safe_load(block.split("```")[0]) for block in PAGE.split("```yaml\n")[1:])
SCENARIO = """
rate: 20
duration: 3
warmup: 0.5
drain: 5
prompt_tokens: 8
output_tokens: 4
slo: {ttft: %s, share: 0.9}
"""


KEPT_FROM_THE_CORES = {"CLIENT-LIMITED", "INVALID"}  # as on a machine that others keep busy


def script(
    lines: list[str], folder: Path, url: str, slo: float, more: str = ""
) -> subprocess.CompletedProcess[str]:
    """The lines as a plain script in a folder that has the environment of this tree."""
    scenario = folder / "quick.yaml"
    scenario.write_text(SCENARIO % slo)
    command = folder / ".venv" / "bin" / "tokenswarm"
    command.parent.mkdir(parents=True)
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -P -m tokenswarm "$@"\n')
    command.chmod(0o755)
    environment: dict[str, Any] = {
        "PYTHONPATH": str(ROOT),
        "LOAD": f"--host {url} --scenario {scenario} {more}",
        "GITHUB_STEP_SUMMARY": str(folder / "summary.md"),
        "TOKENSWARM_RESULTS": str(folder / "results"),
    }
    text = "\n".join(["set -e", *lines])
    return subprocess.run(
        ["bash", "-c", text],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


def verdicts(folder: Path) -> set[str]:
    """Of the runs that a script has made."""
    found = (folder / "results").glob("*/summary.json")
    return {json.loads(path.read_text())["verdict"] for path in found}


def test_the_examples_scripts_fail_and_pass(tmp_path: Path) -> None:
    compare = [step["run"] for step in GITHUB["jobs"]["gate"]["steps"] if "tokenswarm" in step.get("run", "")]
    for name in ("fails", "passes"):
        (tmp_path / name).mkdir()
    with metronome("--ttft", "0.02", "--tpot", "0.005") as server:
        failed = script(compare, tmp_path / "fails", server.url, 0.005, "--repeats 1")
        passed = script(GITLAB["performance"]["script"], tmp_path / "passes", server.url, 0.5)
    assert failed.returncode == EXIT_CODE, failed.stderr
    suite = ElementTree.parse(tmp_path / "fails" / "gate.xml").getroot()[0]
    if KEPT_FROM_THE_CORES.isdisjoint(verdicts(tmp_path / "fails")):
        assert "Gate failed: optimized, SLO: " in (tmp_path / "fails" / "summary.md").read_text()
        assert suite.attrib["failures"] == "1" and suite.find("./testcase[@name='SLO']/failure") is not None
    else:
        assert suite.attrib["errors"] == "1", "it cannot tell, and fails, too"
    (verdict,) = verdicts(tmp_path / "passes")
    useless = verdict in KEPT_FROM_THE_CORES
    assert passed.returncode == (EXIT_CODE if useless else 0), passed.stderr
    said = f"the run is {verdict}" if useless else "there are 0 earlier runs of its kind"
    assert said in (tmp_path / "passes" / "gate.md").read_text()
