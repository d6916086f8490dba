"""tune: variants of known truth race; who is beaten drops out, the best is named; it resumes."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from campaign import looking
from campaign.load import Load
from campaign.series import run as run_series
from campaign.state import Campaign, Step
from common.usage import UsageError, seconds
from reports.runs.runs import load_run
from reports.verdict.judge import judge, write_summary
from tests.support.make_step import make_step
from tokenswarm.__main__ import parse

SCENARIO = """
rate: 6
duration: 15
warmup: 2
prompt_tokens: 50
output_tokens: 40
slo: {ttft: 0.5, tpot: 0.05, share: 0.9}
"""
TPOT = {"quick": 0.010, "middle": 0.013, "slow": 0.030}  # s; starts differ by 1 % (sd)


class Servers:
    """Stands for the runs: TPOT says how fast each is. `acts`: by the number of the run, from 1."""

    def __init__(self, before: int = 0, **acts: str) -> None:
        self.before = before  # so many runs
        self.made: list[str] = []
        self.reported: list[tuple[list[str], str]] = []
        self.acts = acts

    def run(self, load: Load, variant: str, folder: Path) -> int:
        self.made.append(variant)
        act = self.acts.get(f"run{len(self.made)}") or self.acts.get(variant)
        if act == "interrupted":
            return 130
        if act == "refused":
            (folder / "not_applied.json").write_text(json.dumps({"kind": act, "reason": "unknown flag"}))
            return 2
        number = self.before + len(self.made)
        pace = math.exp(0.01 * np.random.default_rng(number).standard_normal())
        shape: dict[str, Any] = {"jitter": 0.03, "ttft": 0.05 * pace, "noise_seed": number}
        shape["started_at"] = f"2026-01-01T00:{number:02d}:00+00:00"
        make_step(folder, load.with_options(seed=1), variant, tpot=TPOT[variant] * pace, **shape)
        write_summary(folder, judge(load_run(folder)))
        return 0

    def report(self, runs: list[str], baseline: str, name: str) -> int:
        self.reported.append((runs, baseline))
        return 0

    def tune(self, folder: Path, *words: str) -> int:
        (folder / "quick.yaml").write_text(SCENARIO)
        given = ["tune", "slow", "quick", "middle", "--scenario", str(folder / "quick.yaml"), *words]
        return run_series(parse([*given, "--host", "http://127.0.0.1:1"]), self.run, self.report)


@pytest.fixture(autouse=True)
def _results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKENSWARM_RESULTS", str(tmp_path / "results"))


def campaign(folder: Path) -> Campaign:
    [path] = folder.glob("results/campaigns/*/campaign.json")
    return Campaign.model_validate_json(path.read_text())


def test_who_is_beaten_drops_out_and_the_best_is_found_through_an_interrupt(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = Servers(run6="interrupted")
    assert first.tune(tmp_path) == 130 and not first.reported
    second = Servers(before=6)
    assert second.tune(tmp_path) == 0
    made = first.made[:-1] + second.made
    assert made[:3] == ["slow", "quick", "middle"]
    assert made.count("slow") < made.count("middle") <= made.count("quick") < 10, "and no more than needed"
    found = campaign(tmp_path)
    assert found.best == "quick" and found.stopped is not None
    assert found.stopped.startswith("quick is best by Latency (service) p50 (2 shown beaten; 95 % confidence")
    said = capsys.readouterr().err
    assert "slow is out after 1 repeat: " in said and " against quick" in said and found.stopped in said
    assert {step.state for step in found.steps if step.variant == "slow"} == {"done", "dropped"}
    [(runs, baseline)] = second.reported
    assert baseline == "quick" and len(runs) == len(made)


def test_a_budget_ends_it_before_the_repeat_that_would_exceed_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(0, 100_000, 50))  # each run takes 50 s
    monkeypatch.setattr("campaign.step.time.monotonic", lambda: float(next(clock)))
    runs = Servers()
    assert runs.tune(tmp_path, "--budget", "4m") == 0
    assert len(runs.made) == 3, "three took 150 s, and two more would take 100"
    assert "budget of 240 s" in str(campaign(tmp_path).stopped)


def test_a_variant_that_is_refused_does_not_end_the_race_though_it_is_first(tmp_path: Path) -> None:
    runs = Servers(slow="refused")
    assert runs.tune(tmp_path, "--repeats", "6") == 0
    assert runs.made.count("slow") == 1 and campaign(tmp_path).best == "quick"


def test_without_any_that_is_served_there_is_nothing_to_say(tmp_path: Path) -> None:
    runs = Servers(slow="refused", quick="refused", middle="refused")
    with pytest.raises(UsageError, match="no variant was served"):
        runs.tune(tmp_path)


def test_claims_are_shared_among_looks_and_pairs() -> None:
    request = {"race": {"by": "ttft_p50"}, "repeats": 10, "variants": ["a", "b", "c", "d"]}
    made = Campaign(name="x", request=request, started_at="", steps=[Step(variant="a", repeat=1)])
    assert looking.Looks(made).count == 10 * 6
    made.request = {"repeats": 3}
    assert looking.Looks(made).count == 20, "a comparison's, of which nothing is done yet"


@pytest.mark.parametrize(("text", "found"), [("90", 90), ("90s", 90), ("30m", 1800), ("1.5h", 5400)])
def test_a_budget_is_a_time(text: str, found: float) -> None:
    assert seconds(text) == found


@pytest.mark.parametrize("text", ["", "0", "m", "-5", "30 days"])
def test_what_is_no_time_is_named(text: str) -> None:
    with pytest.raises(UsageError, match="must be a time like 90s, 30m or 2h"):
        parse(["tune", "a", "b", f"--budget={text}"])
