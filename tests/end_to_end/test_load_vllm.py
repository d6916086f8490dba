"""The whole product on the real vLLM: two variants and their report."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import psutil
import pytest

from common.places import ROOT
from common.ports import free_port
from reports.verdict.rule import Verdict
from tests.support import needs
from tests.support.waiting import PATIENCE

pytestmark = [pytest.mark.vllm, needs.VLLM, pytest.mark.timeout(3000)]
SMALL = ["--target", "cpu-tiny", "--rps", "6", "--duration", "6", "--warmup", "1", "--drain", "120"]
WHOLE = {verdict.exit_code for verdict in Verdict if verdict is not Verdict.INVALID}  # however fast it was


def tokenswarm(results: Path, *words: str, timeout: float) -> "subprocess.CompletedProcess[str]":
    """`tokenswarm …` with results of its own, to its end."""
    return subprocess.run(
        [sys.executable, "-m", "tokenswarm", *words],
        cwd=ROOT,
        env={**os.environ, "TOKENSWARM_RESULTS": str(results)},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def run_of(results: Path, variant: str) -> Path:
    return next(path.parent for path in results.glob(f"*-{variant}/manifest.json"))


def test_two_variants_and_their_report(tmp_path: Path) -> None:
    for variant in ("baseline", "optimized"):
        words = ["run", variant, *SMALL, "--port", str(free_port())]
        ended = tokenswarm(tmp_path, *words, timeout=1400)  # a start may take 1200
        assert ended.returncode in WHOLE, ended.stderr
        kept = str(run_of(tmp_path, variant))
        assert not [each for each in psutil.process_iter() if kept in " ".join(_words(each))]
    records = {
        name: pd.read_parquet(run_of(tmp_path, name) / "requests.parquet")
        for name in ("baseline", "optimized")
    }
    asked = ["arrival", "due", "prompt_asked", "output_asked"]
    pd.testing.assert_frame_equal(records["baseline"][asked], records["optimized"][asked])
    for name, found in records.items():
        folder = run_of(tmp_path, name)
        done = found[found["status"] == "completed"]
        assert len(done) > 25 and (done["output_tokens"] == done["output_asked"]).all()
        assert (done["prompt_tokens"] == done["prompt_asked"]).all(), "prompts have the asked length, exactly"
        rules = {rule["rule"]: rule for rule in json.loads((folder / "summary.json").read_text())["rules"]}
        for rule in (
            "accounting",
            "server_output_tokens",
            "server_prompt_tokens",
            "server_ttft",
            "prefix_cache_hits",
        ):
            assert rules[rule]["checked"] and rules[rule]["passed"], rules[rule]
        server = json.loads((folder / "manifest.json").read_text())["server"]
        assert ("--max-num-seqs 8" in server["command_line"]) == (name == "optimized")
        metrics = set(pd.read_parquet(folder / "server_metrics.parquet")["name"])
        assert {"vllm:num_requests_running", "vllm:estimated_flops_per_gpu_total"} <= metrics
        assert (folder / "server.log").stat().st_size > 1000
    report = tokenswarm(tmp_path, "report", timeout=PATIENCE)
    assert report.returncode == 0, report.stderr
    text = (tmp_path / "latest" / "README.md").read_text()
    assert "--max-num-seqs 8" in text and "TTFT" in text and "Completed" in report.stdout
    assert json.loads((tmp_path / "latest" / "comparison.json").read_text())["baseline"] == "baseline"
    assert list((tmp_path / "latest" / "figures").glob("*.svg"))


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []
