"""The whole product on the real vLLM: two variants, their report; and an engine that dies mid-run."""

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
from loadgen.records.collect import known_arrivals
from reports.verdict.rule import Verdict
from tests.support import needs
from tests.support.waiting import PATIENCE, wait_until

pytestmark = [pytest.mark.vllm, needs.VLLM, pytest.mark.timeout(3000)]
SMALL = ["--target", "cpu-tiny", "--rps", "6", "--warmup", "1", "--drain", "120"]
WHOLE = {verdict.exit_code for verdict in Verdict if verdict is not Verdict.INVALID}  # however fast it was


def campaign(results: Path, *words: str, duration: str = "6") -> "subprocess.Popen[str]":
    """`tokenswarm …` with results of its own."""
    more = [*SMALL, "--duration", duration, "--port", str(free_port())]
    return subprocess.Popen(
        [sys.executable, "-m", "tokenswarm", *words, *more],
        cwd=ROOT,
        env={**os.environ, "TOKENSWARM_RESULTS": str(results)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run_of(results: Path, variant: str) -> Path:
    return next(path.parent for path in results.glob(f"*-{variant}/manifest.json"))


def test_two_variants_and_their_report(tmp_path: Path) -> None:
    for variant in ("baseline", "optimized"):
        process = campaign(tmp_path, "run", variant)
        _, said = process.communicate(timeout=1400)  # a start may take 1200
        assert process.returncode in WHOLE, said
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
    report = subprocess.run(
        [sys.executable, "-m", "tokenswarm", "report"],
        cwd=ROOT,
        env={**os.environ, "TOKENSWARM_RESULTS": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert report.returncode == 0, report.stderr
    text = (tmp_path / "latest" / "README.md").read_text()
    assert "--max-num-seqs 8" in text and "TTFT" in text and "Completed" in report.stdout
    assert json.loads((tmp_path / "latest" / "comparison.json").read_text())["baseline"] == "baseline"
    assert list((tmp_path / "latest" / "figures").glob("*.svg"))


def test_an_engine_that_dies_leaves_a_whole_record(tmp_path: Path) -> None:
    process = campaign(tmp_path, "run", "baseline", duration="40")  # not over when the engine is found

    def answered() -> bool:
        assert process.poll() is None, "ended early"
        return any(known_arrivals(draft.parent) for draft in tmp_path.glob("*-baseline/.manifest.json"))

    wait_until(answered, "the run never began", within=1400)
    family = psutil.Process(process.pid).children(recursive=True)
    next(each for each in family if "EngineCore" in " ".join([each.name(), *each.cmdline()])).kill()
    _, said = process.communicate(timeout=PATIENCE)
    folder = run_of(tmp_path, "baseline")
    records, manifest = (
        pd.read_parquet(folder / "requests.parquet"),
        json.loads((folder / "manifest.json").read_text()),
    )
    assert manifest["due"] == len(records) and set(records["status"]) == {"completed", "failed"}
    assert records.loc[records["status"] == "failed", "error"].notna().all()
    assert json.loads((folder / "summary.json").read_text())["verdict"] == "INVALID"
    assert "the server exited with code" in said and "during the run: " in said, said
    assert not [each for each in psutil.process_iter() if str(folder) in " ".join(_words(each))]


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []
