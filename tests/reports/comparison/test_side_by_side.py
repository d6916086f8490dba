"""Runs that went at once on one machine: paired, said, and with nothing taken out that meets both."""

from pathlib import Path

import pytest

from bench.synthetic import Shape, edit_manifest, make_run
from reports.comparison import changes, pairs, side_by_side
from reports.comparison.pairs import Pair, pair_up
from reports.findings import make_command
from reports.metrics.catalogue import ROW
from reports.runs.runs import Run, load_run

SMALL = Shape(rate=20, duration=10, warmup=1, drain=10, output=20, output_sd=8, jitter=0.05)


def made(folder: Path, count: int, together: bool = True, apart: float = 0.0) -> tuple[list[Run], list[Run]]:
    """So many repeats of two variants; the machine grows slower by 5 % each time. `apart`: s between their
    starts."""
    sides: tuple[list[Run], list[Run]] = [], []
    for repeat in range(count):
        for at, variant in enumerate("AB"):
            where = folder / f"{repeat}-{variant}"
            tpot = SMALL.tpot * 1.05**repeat * (1.04 if at else 1.0)
            when = f"2026-01-01T00:0{repeat}:0{at}+00:00"
            make_run(where, SMALL, tpot=tpot, noise_seed=2 * repeat + at, variant=variant, started_at=when)
            if together:
                beside = {"run": f"{repeat}-{'BA'[at]}", "zero": 100.0 * repeat + apart * at}
                edit_manifest(where, beside=beside)
            sides[at].append(load_run(where))
    return sides


def paired(before: list[Run], after: list[Run]) -> Pair:
    verdicts = {run.name: "VALID" for run in (*before, *after)}
    return pair_up("A", "B", {"A": before, "B": after}, verdicts, 0.03)


def test_repeats_are_compared_in_pairs_and_no_drift_is_taken_out(tmp_path: Path) -> None:
    at_once, in_turn = paired(*made(tmp_path / "at-once", 4)), paired(*made(tmp_path, 4, together=False))
    assert at_once.method.kind == "runs in pairs" and not at_once.drifts
    assert "differences between runs that went side by side (4 and 4 runs)" in at_once.method.text
    assert "drifted" not in at_once.method.text
    assert in_turn.method.kind == "runs" and in_turn.drifts and "drifted" in in_turn.method.text


def test_one_repeat_has_the_same_blocks_of_time_and_the_term_of_its_starts(tmp_path: Path) -> None:
    found = paired(*made(tmp_path, 1, apart=0.002))
    assert found.method.kind == "paired blocks of time" and found.spread is not None
    assert found.blocks is not None and found.blocks[0] is found.blocks[1]
    assert "Both ran at once on this machine and began 2.0 ms apart; the same arrival" in found.method.text


def test_how_far_apart_arrivals_left_is_told(tmp_path: Path) -> None:
    told = side_by_side.text(*made(tmp_path, 2, apart=0.5))
    left = float(told.partition("within ")[2].partition(" ms")[0])
    assert left == pytest.approx(500, abs=5)


def test_runs_that_lost_the_one_beside_them_are_two_groups(tmp_path: Path) -> None:
    before, after = made(tmp_path, 3)
    assert not side_by_side.in_pairs(before, after[1:]) and not side_by_side.in_pairs(before, after[::-1])
    assert pairs.by_runs(before, after[1:]).kind == "runs"
    assert side_by_side.text(before, after[1:]) == ""


def test_what_moves_both_alike_leaves_the_change_known(tmp_path: Path) -> None:
    """Each repeat is 5 % slower than the one before, and the variant 4 % slower than the baseline in each."""
    pace = ROW["tpot_p50"]
    at_once = changes.change(pace, paired(*made(tmp_path / "at-once", 3)))
    turns = changes.change(pace, paired(*made(tmp_path, 3, together=False)))
    assert at_once.mark == "worse" and at_once.low is not None and at_once.low > 0.03
    assert None not in (turns.low, turns.high, at_once.high)
    assert (turns.high or 0) - (turns.low or 0) > (at_once.high or 0) - at_once.low


def test_the_next_comparison_is_side_by_side_too(tmp_path: Path) -> None:
    [run], _ = made(tmp_path, 1)
    again = make_command.conditions(run)
    assert "SIDE_BY_SIDE=1" in make_command._with("make compare REPEATS=5", again)
    assert "SIDE_BY_SIDE=1" not in make_command._with("make baseline optimized", again)
