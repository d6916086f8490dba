"""`compare --side-by-side`: what is refused, what resumes, and both servers at once against a stand-in."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from campaign import side_by_side
from campaign.load import Load
from campaign.looking import Looks
from campaign.series import run as run_series
from common.places import ROOT
from common.ports import free_port
from common.results import READY
from common.usage import UsageError
from loadgen.host import processes
from reports.comparison import side_by_side as compared
from reports.runs.runs import load_run
from server import cores, places
from server.places import Place
from tests.support import fakevllm, marked
from tests.support.waiting import PATIENCE, wait_until
from tokenswarm.__main__ import parse

WORDS = ("compare", "baseline", "optimized", "--side-by-side", "--repeats", "2")


class Pairs:
    """Stands for the runs of each repeat; `acts`: what the first, second, ... of them does."""

    def __init__(self, **acts: str) -> None:
        self.made: list[list[Place]] = []
        self.reported: list[list[str]] = []
        self.acts = acts

    def run(
        self, load: Load, variants: Sequence[str], folders: Sequence[Path], where: Sequence[Place]
    ) -> list[int]:
        self.made.append(list(where))
        act = self.acts.get(f"pair{len(self.made)}")
        for folder in folders[: 1 if act in ("half", "dies") else 2]:
            (folder / "manifest.json").write_text(json.dumps({"ended": "complete"}))
            (folder / "summary.json").write_text(json.dumps({"verdict": "VALID"}))
        if act == "dies":
            told = {"kind": "start_failed", "reason": "out of memory"}
            (folders[1] / "not_applied.json").write_text(json.dumps(told))
        return [130, 130] if act in ("half", "late") else [2] if act == "dies" else [0, 0]

    def order(self, *words: str) -> int:
        def report(runs: list[str], baseline: str, name: str) -> int:
            self.reported.append(runs)
            return 0

        return run_series(parse([*words, "--target", "cpu-tiny"]), reporter=report, pair_runner=self.run)


@pytest.fixture(autouse=True)
def _machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKENSWARM_RESULTS", str(tmp_path / "results"))
    monkeypatch.setattr(Looks, "end_before", lambda *_: False)  # runs that are made up cannot be read
    monkeypatch.setattr(cores, "siblings", lambda cpus: [[0, 4], [1, 5], [2, 6]])
    monkeypatch.setattr(side_by_side.health, "require_free", lambda port: None)


def test_both_run_at_once_and_change_places(capsys: pytest.CaptureFixture[str]) -> None:
    pairs = Pairs()
    assert pairs.order(*WORDS) == 0
    assert [[each.cores for each in pair] for pair in pairs.made] == [[(0, 4), (1, 5)], [(1, 5), (0, 4)]]
    assert {tuple(each.port for each in pair) for pair in pairs.made} == {(8000, 8001)}
    [runs] = pairs.reported
    assert len(set(runs)) == 4
    told = "repeat 2 of 2, side by side: baseline on core 1, 5; optimized on core 0, 4"
    assert told in capsys.readouterr().err


@pytest.mark.parametrize("act", ["half", "late", "dies"])
def test_a_repeat_is_made_whole_or_again(act: str, capsys: pytest.CaptureFixture[str]) -> None:
    first = Pairs(pair2=act)
    assert first.order(*WORDS) == (2 if act == "dies" else 130) and not first.reported
    told = "repeat 2 of 2: optimized did not start: out of memory"
    assert (told in capsys.readouterr().err) == (act == "dies")
    second = Pairs()
    assert second.order(*WORDS) == 0
    assert len(second.made) == (0 if act == "late" else 1), "what is whole is not made again"
    assert len(set(second.reported[0])) == 4


def test_a_repeat_of_which_one_run_is_gone_is_made_again(tmp_path: Path) -> None:
    assert Pairs(pair2="half").order(*WORDS) == 130
    [path] = tmp_path.glob("results/campaigns/*/campaign.json")
    gone = json.loads(path.read_text())["steps"][1]["run"]
    (tmp_path / "results" / gone / "manifest.json").unlink()
    second = Pairs()
    assert second.order(*WORDS) == 0 and len(second.made) == 2


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--host", "http://127.0.0.1:1"), "--host is one server, and it takes two"),
        (("batch-8",), "takes two variants, and 3 are named"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_made(
    words: tuple[str, ...], why: str, tmp_path: Path
) -> None:
    pairs = Pairs()
    with pytest.raises(UsageError, match=why) as refused:
        pairs.order(*WORDS[:3], *words, *WORDS[3:])
    assert "\n" not in str(refused.value) and not pairs.made and not (tmp_path / "results").exists()


def test_one_core_or_too_little_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch, pytest.raises(UsageError, match="two cores or more"):
        patch.setattr(cores, "siblings", lambda cpus: [[0, 1]])
        Pairs().order(*WORDS)
    monkeypatch.setattr(places, "PROCESSES", 1e6)
    with pytest.raises(UsageError, match="GiB of memory, and .* are free; lower VLLM_CPU_KVCACHE_SPACE"):
        Pairs().order(*WORDS)


TARGET = """purpose: a test
kind: cpu
model: some/model
flags: []
environment: {VLLM_CPU_KVCACHE_SPACE: "1", HOW: "0.002"}
hardware: T4
dtype: float32
start_within_s: 60
"""
SERVES = f"""import os, runpy, sys
if "--help=all" in sys.argv:
    print("--model --port")
elif os.environ["HOW"] == "dies":
    sys.exit("ValueError: no such thing")
else:
    port = sys.argv[sys.argv.index("--port") + 1]
    sys.argv[1:] = ["bench", "metronome", "--port", port, "--tpot", os.environ["HOW"], "--ttft", "0.01"]
    sys.path.insert(0, {str(ROOT)!r})
    runpy.run_module("tokenswarm", run_name="__main__")
"""


class Compare:
    """`tokenswarm compare --side-by-side` as a process, its servers metronomes."""

    def __init__(self, folder: Path, second: str = "0.004", duration: int = 4) -> None:
        python = fakevllm.install(folder / "fake")
        (folder / "fake/vllm/entrypoints/openai/api_server.py").write_text(SERVES)
        (folder / "target.yaml").write_text(TARGET)
        (folder / "one.yaml").write_text("changes: nothing\nexpected: nothing\n")
        (folder / "two.yaml").write_text(f'changes: a\nexpected: b\nenvironment: {{HOW: "{second}"}}\n')
        self.results, self.mark = folder / "results", str(folder)
        words = ["compare", str(folder / "one.yaml"), str(folder / "two.yaml"), "--side-by-side"]
        words += ["--repeats", "1", "--target", str(folder / "target.yaml"), "--port", str(free_port())]
        words += ["--rps", "20", "--duration", str(duration), "--warmup", "1", "--drain", "3"]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tokenswarm", *words, "--output-tokens", "10", "--keep-going"],
            cwd=ROOT,
            env=marked.environment(folder, python, self.mark),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def end(self) -> tuple[int, str]:
        out, _ = self.process.communicate(timeout=PATIENCE)
        wait_until(lambda: not self.running(), "still running")
        return self.process.returncode, out

    def running(self) -> list[int]:
        return marked.running(self.mark)


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one core")
def test_both_begin_at_one_moment_and_neither_is_a_stranger(tmp_path: Path) -> None:
    code, said = Compare(tmp_path).end()
    assert code == 0, said
    folders = sorted((tmp_path / "results").glob("*-one")) + sorted((tmp_path / "results").glob("*-two"))
    one, two = map(load_run, folders)
    assert one.manifest.beside and two.manifest.beside
    assert (one.manifest.beside.run, two.manifest.beside.run) == (two.name, one.name)
    assert abs(one.manifest.beside.zero - two.manifest.beside.zero) < 0.5
    assert not any((folder / READY).exists() for folder in folders)
    assert compared.in_pairs([one], [two]) and not compared.in_pairs([two], [one, two])
    for run in (one, two):
        cpu = {
            who: run.machine.increase("host:cpu_seconds_total", 0, 4, machine="master", who=who) or 0.0
            for who in ("client", "partner", "others")
        }
        assert cpu["client"] > 0 and cpu["partner"] > 0
    [document] = (tmp_path / "results/reports").glob("*/comparison.json")
    [method] = json.loads(document.read_text())["methods"]
    assert method["kind"] == "paired blocks of time"
    assert "Both ran at once on this machine and began" in method["text"]


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one core")
def test_a_server_that_does_not_start_ends_the_other(tmp_path: Path) -> None:
    code, said = Compare(tmp_path, second="dies").end()
    assert code == 2, said
    assert "two ended before both could begin, so one is ended, too" in said
    assert "repeat 1 of 1: two did not start: " in said and "Traceback" not in said
    assert not list((tmp_path / "results").glob("*-one")), "nothing was measured"


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one core")
def test_ctrl_c_ends_both(tmp_path: Path) -> None:
    compare = Compare(tmp_path, duration=60)
    wait_until(lambda: len(list(compare.results.glob(f"*/{READY}"))) == 2, "not ready")
    time.sleep(3)
    compare.process.send_signal(signal.SIGINT)
    code, said = compare.end()
    assert code == 130 and "the same command goes on from there" in said and "Traceback" not in said
    ended = [json.loads(path.read_text())["ended"] for path in compare.results.glob("*/manifest.json")]
    assert ended == ["interrupted"] * 2
    assert processes.table().keys().isdisjoint({compare.process.pid})
