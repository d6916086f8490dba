"""The decision: what it never does, and what it says of run folders as the issue has seen them."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.synthetic import Shape, make_run
from reports.commands.assembly import assemble
from reports.document.decision import Decision
from reports.document.schema import Comparison
from reports.findings.decision import SLO, Evidence, Side, decide, rate_to_compare
from reports.runs.runs import load_run

MARKS = ("better", "worse", "no difference shown", "unstable", "not comparable")
NAMES = (SLO, "ttft_p99", "ttft_p50", "tpot_p50", "itl_p99", "latency_p50", "completed_rate")
rates = st.none() | st.floats(0, 1000, allow_nan=False)
TIMES = ("ttft_", "scheduled_", "tpot_", "itl_", "latency_")


@st.composite
def evidence(draw: st.DrawFn) -> Evidence:
    def side(name: str) -> Side:
        drowns = draw(st.booleans())
        return Side(name, draw(rates), draw(rates), draw(st.booleans()) and not drowns, drowns)

    better = draw(st.sets(st.sampled_from(NAMES)))
    worse = draw(st.sets(st.sampled_from(NAMES))) - better
    return Evidence(
        side("baseline"),
        side("variant"),
        draw(st.sampled_from(MARKS)),
        sorted(better),
        sorted(worse),
        draw(st.none() | st.just("broken")),
        draw(st.floats(0, 0.5)),
    )


@given(evidence())
def test_a_variant_that_serves_materially_less_is_never_preferred(found: Evidence) -> None:
    sides = {side.name: side for side in (found.baseline, found.variant)}
    chosen = decide(found)
    if chosen.preferred is None:
        return
    preferred = sides.pop(chosen.preferred)
    [other] = sides.values()
    if preferred.completed is not None and other.completed is not None:
        assert preferred.completed >= other.completed * (1 - found.minimum_effect)


@given(evidence())
def test_nothing_is_preferred_of_figures_that_cannot_be_used(found: Evidence) -> None:
    if found.unusable:
        assert decide(found).preferred is None and decide(found).kind == "cannot tell"


@given(evidence())
def test_the_rate_to_compare_at_is_one_that_both_serve(found: Evidence) -> None:
    rate = decide(found).compare_at
    if rate is not None:
        assert found.baseline.completed and found.variant.completed
        assert 0 < rate <= min(found.baseline.completed, found.variant.completed)


@given(evidence())
def test_changing_places_changes_the_side_and_not_the_winner(found: Evidence) -> None:
    turned = {"better": "worse", "worse": "better"}
    swapped = Evidence(
        found.variant,
        found.baseline,
        turned.get(found.rate, found.rate),
        found.worse,
        found.better,
        found.unusable,
        found.minimum_effect,
    )
    assert decide(found).preferred == decide(swapped).preferred


def test_the_rate_has_two_digits() -> None:
    assert rate_to_compare(Side("a", 20, 8.62), Side("b", 20, 20.1)) == 6.8
    assert rate_to_compare(Side("a", 20, 0.0), Side("b", 20, 20.1)) is None


def compared(tmp_path: Path, baseline: dict[str, Any], optimized: dict[str, Any]) -> Comparison:
    shape = Shape(rate=20, duration=60, warmup=5, drain=60, output=60, ttft=0.05, tpot=0.01, jitter=0.05)
    for number, (name, changes) in enumerate((("baseline", baseline), ("optimized", optimized))):
        make_run(tmp_path / name, shape, **{"variant": name, "noise_seed": number} | changes)
    runs = [load_run(tmp_path / name) for name in ("baseline", "optimized")]
    return assemble(runs, baseline="baseline", minimum_effect=0.03, name="n", command="c")


def said(found: Comparison) -> Decision:
    [decision] = found.decisions
    return decision


def marked(found: Comparison, mark: str) -> set[str]:
    return {metric.name for metric in found.metrics if metric.changes[0].mark == mark}


def test_a_short_run_that_collapses_is_called_so_and_only_its_p99_is_withheld(tmp_path: Path) -> None:
    """Row 1 of issue 13: 20 s and 417 arrivals were INVALID, 'conclude nothing'."""
    found = compared(tmp_path, {"duration": 20, "slots": 40}, {"duration": 20, "slots": 2, "drain": 20})
    verdicts = {run.variant: run.verdict for run in found.runs}
    assert verdicts == {"baseline": "TOO-SHORT", "optimized": "SATURATED"}
    decision = said(found)
    assert (decision.kind, decision.preferred) == ("serves less", "baseline")
    assert decision.title.startswith("Do not use optimized at ")
    assert "No p99 is given: " in decision.confidence and "459 needed" in decision.confidence
    assert {"output_token_throughput", "completed_rate", "completed"} <= marked(found, "worse")
    p99 = next(metric for metric in found.metrics if metric.name == "ttft_p99")
    assert [each.display for each in p99.readings] == ["not given"] * 2
    assert p99.changes[0].mark == "not comparable"
    assert "INVALID" not in decision.model_dump_json() and decision.disturbed is None


def test_of_two_that_drown_the_one_that_serves_more_is_preferred(tmp_path: Path) -> None:
    """Row 2: 4.4 against 18.9 req/s, and 'better with optimized: ITL p99'."""
    found = compared(
        tmp_path,
        {"slots": 12, "drain": 90},
        {"slots": 1, "tpot": 0.003, "drain": 30},
    )
    assert {run.verdict for run in found.runs} == {"SATURATED"}
    decision = said(found)
    assert (decision.kind, decision.preferred) == ("serves less", "baseline")
    assert decision.title.startswith("Use neither at ") and "baseline is the better" in decision.title
    assert decision.compare_at is not None
    needed = 1.2 * 459 / decision.compare_at
    durations = re.findall(rf"RPS={decision.compare_at:g} DURATION=(\d+)", decision.next.command or "")
    assert len(durations) == 2, "one of each variant, at one address"
    assert all(needed <= int(each) < needed + 10 for each in durations), "long enough for a p99 at that rate"
    assert not [name for name in marked(found, "better") if name.startswith(TIMES)]


def test_tokens_that_come_faster_to_survivors_are_no_win(tmp_path: Path) -> None:
    """Row 3: 'optimized wins: ITL p99' while 731 of 1,207 never finished."""
    found = compared(tmp_path, {"slots": 40}, {"slots": 3, "tpot": 0.005, "drain": 10})
    assert said(found).preferred == "baseline"
    assert not [each for each in found.insights if each.kind == "win"]
    itl = next(metric for metric in found.metrics if metric.name == "itl_p99")
    assert itl.changes[0].mark == "not comparable" and "first token" in itl.changes[0].reason


def test_tpot_is_of_those_that_got_a_first_token_and_counts_them(tmp_path: Path) -> None:
    """Row 4: n was 1,207, of whom 235 had never got a token."""
    found = compared(tmp_path, {"slots": 40}, {"slots": 3, "drain": 10})
    run = load_run(tmp_path / "optimized")
    first = int((run.judged & ~np.isnan(run.records.numbers("first_token"))).sum())
    tpot = next(metric for metric in found.metrics if metric.name == "tpot_p50")
    assert tpot.readings[1].count == first < tpot.readings[0].count
    assert tpot.changes[0].mark not in ("better", "worse")


@pytest.mark.parametrize(("more", "mark"), [(0.0009, "no difference shown"), (0.012, "worse")])
def test_a_change_too_small_to_be_felt_is_none(tmp_path: Path, more: float, mark: str) -> None:
    """Row 9: 'TTFT +0.9 ms: worse' of one unchanged server."""
    shape = {"ttft": 0.012, "jitter": 0.01}
    found = compared(tmp_path, shape, shape | {"ttft": 0.012 + more})
    ttft = next(metric for metric in found.metrics if metric.name == "ttft_p50")
    assert ttft.changes[0].mark == mark
    assert (said(found).kind == "no difference") is (mark == "no difference shown")


def test_a_faster_variant_that_serves_all_is_used(tmp_path: Path) -> None:
    decision = said(compared(tmp_path, {}, {"tpot": 0.005}))
    assert (decision.kind, decision.preferred, decision.compare_at) == ("better", "optimized", None)
    assert decision.title.startswith("Use optimized at ")


def test_one_that_serves_more_is_used_though_its_tokens_come_slower(tmp_path: Path) -> None:
    found = compared(tmp_path, {"slots": 3, "tpot": 0.005, "drain": 10}, {"slots": 60, "tpot": 0.012})
    assert (said(found).kind, said(found).preferred) == ("serves more", "optimized")
    assert not [name for name in marked(found, "worse") if name.startswith(("tpot", "itl"))]


def test_what_disturbed_the_measurement_is_a_sentence_of_its_own(tmp_path: Path) -> None:
    decision = said(compared(tmp_path, {}, {"dispatch_delay": 0.3}))
    assert (decision.kind, decision.preferred) == ("cannot tell", None)
    assert decision.title.endswith(": the load generator fell behind in the run of optimized")
    assert decision.disturbed is not None and "optimized is CLIENT-LIMITED. 99 % of " in decision.disturbed


def test_of_two_that_keep_up_a_rate_that_chance_moved_decides_nothing() -> None:
    """The rate of 30 s moves by which answers end inside of them."""
    baseline, variant = Side("a", 20.2, 20.9), Side("b", 20.2, 19.9)
    assert decide(Evidence(baseline, variant, "", better=["tpot_p50"])).preferred == "b"
    assert decide(Evidence(baseline, variant, "")).kind == "no difference"


def test_one_that_fell_behind_and_meets_the_slo_less_is_worse_though_its_rate_is_in_doubt() -> None:
    baseline = Side("a", 20.2, 20.9)
    variant = Side("b", 20.2, 19.6, keeps_up=False, drowns=True)
    found = decide(Evidence(baseline, variant, "", worse=["slo_attainment", "ttft_p50"]))
    assert (found.kind, found.preferred) == ("worse", "a")
    assert decide(Evidence(baseline, variant, "", better=["tpot_p50"])).kind == "unclear"
