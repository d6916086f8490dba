"""What one start of each leaves open, where it is known from, and what that does to a claim."""

import dataclasses
import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.synthetic import Shape, edit_manifest, make_run
from bench.verdict import CHAT_MEDIUM, Design, Situation, campaigns, claims_of, run_of, sides
from reports.comparison import changes, starts
from reports.comparison.claims import level
from reports.comparison.starts import PRIOR
from reports.metrics.catalogue import ROW
from reports.runs.index import index
from reports.runs.runs import load_run
from reports.statistics.intervals import Interval

SMALL = Shape(rate=20, duration=10, warmup=1, drain=10, output=20, output_sd=8, jitter=0.05)
SPANS = st.tuples(st.floats(-5, 5), st.floats(0, 5), st.floats(0, 5))


@given(SPANS, st.floats(0, 5), st.floats(0, 5))
def test_a_margin_only_ever_widens(span: tuple[float, float, float], below: float, above: float) -> None:
    middle, down, up = span
    bare = Interval(middle - down, middle + up)
    found = bare.with_margin(middle, below, above)
    assert found.low <= bare.low + 1e-9 and found.high >= bare.high - 1e-9
    assert middle - found.low <= down + below + 1e-9 and found.high - middle <= up + above + 1e-9
    assert bare.with_margin(middle, 0, 0).low == pytest.approx(bare.low)


def test_of_one_start_each_only_what_exceeds_the_starts_is_claimed() -> None:
    """Four starts of one kernel differed by 22 %: 20 % of one start each are no finding, 100 % are."""
    alone, several = Design(1, 20), Design(3, 20)
    usual = Situation("usual", SMALL)
    tpot = [ROW["tpot_p50"]]
    [small] = claims_of(*sides(usual, alone, 1, 1.2), tpot)
    assert small.mark == "no difference shown" and small.more_runs_s == 15
    assert small.more_runs is not None and 3 <= small.more_runs <= 30
    assert f"not decidable from one start each: about {small.more_runs} of 15 s each" in small.reason
    [large] = claims_of(*sides(usual, alone, 1, 2.0), tpot)
    assert (large.mark, large.more_runs_s) == ("worse", None)
    [shown] = claims_of(*sides(usual, several, 1, 1.2), tpot)
    assert shown.mark == "worse"


def test_repeats_and_one_process_need_no_prior(monkeypatch: pytest.MonkeyPatch) -> None:
    one, two, three = (run_of(dataclasses.replace(SMALL, noise_seed=n), str(n)) for n in range(3))
    assert starts.spread([one], [two]) is PRIOR
    assert starts.spread([one, three], [two]) is None
    monkeypatch.setattr(starts, "same_process", lambda *runs: True)
    assert starts.spread([one], [two]) is None


def test_runs_of_one_start_are_no_repeats_of_it() -> None:
    runs = [run_of(dataclasses.replace(SMALL, noise_seed=n), str(n)) for n in range(4)]
    launched = [
        dataclasses.replace(run, manifest=run.manifest.model_copy(update={"server": {"started_at": when}}))
        for run, when in zip(runs, "1122", strict=True)
    ]
    assert starts.starts(launched) == 2 and starts.starts(runs) == 4
    assert starts.spread(launched[:2], launched[2:]) is PRIOR


def test_the_history_goes_before_the_prior(tmp_path: Path) -> None:
    paces = (0.0100, 0.0101, 0.0099, 0.0102, 0.0098)
    for number, pace in enumerate(paces):
        folder, hour = tmp_path / f"{number}", f"2026-01-01T0{number}:00:00+00:00"
        make_run(folder, SMALL, variant="baseline", tpot=pace, started_at=hour)
        edit_manifest(folder, server={"started_at": hour})
        summary = {"verdict": "VALID", "metrics": {"tpot_p50": {"value": pace}}}
        (folder / "summary.json").write_text(json.dumps(summary))
    make_run(tmp_path / "other", SMALL, variant="optimized", started_at="2026-01-01T09:00:00+00:00")
    runs = [load_run(tmp_path / name) for name in ("4", "other")]
    found = starts.spread(runs[:1], runs[1:], index(tmp_path)[0])
    assert found is not None and (found.freedom, found.source) == (4, "as 5 starts of these variants did")
    assert 0.01 < found.sd < 0.025
    few = [entry for entry in index(tmp_path)[0] if entry.run in ("3", "4", "other")]
    assert starts.spread(runs[:1], runs[1:], few) is PRIOR


def test_what_follows_the_pace() -> None:
    steady = run_of(SMALL, "steady")
    near = run_of(dataclasses.replace(CHAT_MEDIUM, slots=62), "near")
    drowned = run_of(dataclasses.replace(CHAT_MEDIUM, slots=40), "drowned")

    def up(name: str, run: object = steady, grew: bool = False) -> float:
        return starts.reach(run, ROW[name], 0.1, grew, ROW[name].of_slo).up  # type: ignore[arg-type]

    assert up("tpot_p50") == pytest.approx(0.1)
    assert up("ttft_p50") == pytest.approx(0.1, abs=0.05), "nobody waits"
    assert up("ttft_p99", near) > 0.2, "near the capacity a wait grows by more than what it takes to serve"
    assert up("completed_rate") == 0, "the load decides it"
    assert up("completed_rate", drowned, True) == pytest.approx(0.1)
    assert up("slo_attainment") == pytest.approx(0, abs=0.01)
    assert 0 <= up("slo_attainment", drowned, True) <= 1


def test_a_drift_over_the_runs_is_taken_out_and_told() -> None:
    runs = sides(Situation("drifts", SMALL, drift=0.2), Design(3, 20), 2, 1.05)
    pair, _ = changes.settle(
        "A", "B", {"A": runs[0], "B": runs[1]}, {run.name: "VALID" for side in runs for run in side}, 0.03
    )
    assert pair.drifts and "is taken out of the changes" in pair.method.text
    found = changes.change(ROW["tpot_p50"], pair)
    assert found.mark == "worse" and found.change == pytest.approx(0.05, abs=0.015)
    in_a_row = [
        dataclasses.replace(run, manifest=run.manifest.model_copy(update={"started_at": f"{side}{number}"}))
        for side, group in enumerate(runs)
        for number, run in enumerate(group)
    ]
    groups = {"A": in_a_row[:3], "B": in_a_row[3:]}
    pair, _ = changes.settle("A", "B", groups, {run.name: "VALID" for run in in_a_row}, 0.03)
    assert not pair.drifts and "do not take turns" in pair.method.text


def test_looks_share_the_false_claims() -> None:
    assert level() == pytest.approx(1 - 0.05 / 3) and 1 - level(4) == pytest.approx((1 - level()) / 4)


def test_campaigns_of_the_bench() -> None:
    found = campaigns(Situation("starts", SMALL, starts=0.05), Design(2, 10), 3)
    assert (found.false, found.wrong, found.campaigns) == (0, 0, 3)
    assert found.needed is None or math.isfinite(found.needed)
