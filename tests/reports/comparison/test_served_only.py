"""TPOT of those who were served: the same arrivals, conditional, and never a claim."""

from pathlib import Path

import pytest

from bench.synthetic import Shape, make_run
from reports.commands.assembly import assemble
from reports.comparison.served_only import served_tpot
from reports.runs.runs import Run, load_run

SHAPE = Shape(rate=20, duration=30, warmup=2, drain=4, output=40, ttft=0.02, tpot=0.02, scenario_name="s")


def pair(folder: Path, **optimized: object) -> list[Run]:
    make_run(folder / "1-baseline", SHAPE, variant="baseline")
    make_run(folder / "2-optimized", SHAPE, **({"variant": "optimized", "noise_seed": 2} | optimized))
    return [load_run(folder / name) for name in ("1-baseline", "2-optimized")]


def test_the_same_arrivals_are_held_against_each_other(tmp_path: Path) -> None:
    """A variant with tokens twice as fast, and a queue in which most never start."""
    runs = pair(tmp_path, tpot=0.01, slots=3)
    found = served_tpot(*runs)
    assert found is not None
    assert (found.before, found.after) == (pytest.approx(0.02, rel=0.02), pytest.approx(0.01, rel=0.02))
    without = [int((run.records.codes("status")[0][run.judged] > 0).sum()) for run in runs]
    assert found.unserved[0] == 0 and found.unserved[1] > 0.5 * found.due >= 0.5 * without[1]
    assert found.count == found.due - found.unserved[1]


def test_it_is_an_insight_with_its_condition_and_no_claim(tmp_path: Path) -> None:
    runs = pair(tmp_path, tpot=0.01, slots=3)
    report = assemble(runs, baseline="baseline", minimum_effect=0.03, name="n", command="c")
    tpot = next(metric for metric in report.metrics if metric.name == "tpot_p50").changes[0]
    assert tpot.mark == "not comparable", "over all arrivals nothing can be said"
    line = next(each for each in report.insights if each.kind == "served")
    for said in ("TPOT p50 was 20.0 ms with baseline and 10.0 ms with optimized (−50.0 %)", "no claim"):
        assert said in line.text
    assert "never got a token" in line.text and "0 with baseline" not in line.text
    assert "TPOT" not in report.decisions[0].title


def test_where_all_were_served_or_others_came_there_is_none(tmp_path: Path) -> None:
    assert served_tpot(*pair(tmp_path / "all", tpot=0.01)) is None
    assert served_tpot(*pair(tmp_path / "others", tpot=0.01, slots=3, seed=9)) is None
    assert served_tpot(*pair(tmp_path / "none", tpot=0.01, hung_share=1.0)) is None
