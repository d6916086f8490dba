"""Runs of which one was stopped early are compared over the time that both have."""

import dataclasses

from bench.stopping import marks, pair
from reports.comparison.changes import change, settle
from reports.metrics.catalogue import ROW
from reports.runs.conditions import conditions
from reports.verdict.rules import measurement, server
from reports.verdict.verdict import Verdict

PAIR = 5  # of the bench's: the second server falls behind and is stopped


def test_a_stopped_run_turns_no_claim_of_the_whole_runs() -> None:
    stopped = 0
    for number in range(4):
        every, cut, before, after = pair(number)
        stopped += sum(one is not whole for whole, one in zip(every, cut, strict=True))
        assert after <= before
        was, now = marks(every), marks(cut)
        claimed = {name for name in was if {was[name], now[name]} <= {"better", "worse"}}
        assert all(was[name] == now[name] for name in claimed)
    assert stopped


def test_a_stopped_run_is_saturated_and_complete_and_has_the_conditions_of_a_whole_one() -> None:
    every, cut, *_ = pair(PAIR)
    early = next(one for whole, one in zip(every, cut, strict=True) if one is not whole)
    whole = next(whole for whole, one in zip(every, cut, strict=True) if one is not whole)
    assert not server.stopped_early(early).passed and server.stopped_early(whole).passed
    assert early.window_length < whole.window_length
    assert measurement.ran_to_the_end(early).passed
    assert server.stopped_early(early).verdict is Verdict.SATURATED
    assert conditions(early) == conditions(whole)


def test_both_sides_are_cut_to_the_time_that_both_have() -> None:
    every, cut, *_ = pair(PAIR)
    whole, early = every[0], next(one for w, one in zip(every, cut, strict=True) if one is not w)
    early = dataclasses.replace(
        early, manifest=early.manifest.model_copy(update={"variant": "B", "run": "B"})
    )
    verdicts = {whole.name: "VALID", early.name: "SATURATED"}
    found, _ = settle("A", "B", {"A": [whole], "B": [early]}, verdicts, 0.03)
    assert found.baseline[0].window == found.other[0].window == early.window
    assert f"was stopped after {early.window_length:.1f} s, SATURATED" in found.method.text
    assert change(ROW["unfinished"], found).reason.startswith("one run was stopped early")
