"""What is claimed of a pair: marks, reasons, displays."""

import dataclasses
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from bench.synthetic import Shape, make_run, simulate
from bench.verdict import CHAT_MEDIUM, recorded, run_of, shape_of
from reports.comparison import resampling
from reports.comparison.claims import Estimate, Setting, _queue_drift, claim, estimate
from reports.comparison.pairs import by_time, pair_up
from reports.document.metric import Change
from reports.metrics import catalogue
from reports.metrics.catalogue import HEADLINE, ROWS
from reports.metrics.request_metrics import Figure
from reports.runs.runs import Run, load_run
from reports.statistics import intervals
from reports.statistics.intervals import Blocks
from reports.text import formatting
from reports.verdict import validity
from tests.support.compared_pairs import compare_pairs

ROW = {row.name: row for row in ROWS}
BOUNDED = ("ttft_p99", "tpot_p99", "latency_p99")  # where more than 1 % are unfinished
SETTING = Setting("A", "B", 0.03, None, ())

# Issue 4: these 16 figures must give these changes.
FIGURES = [
    ("output_token_throughput", 168.8, 202.6, "+20.0 %", "better"),
    ("completed_rate", 19.28, 19.31, "+0.2 %", "no difference shown"),
    ("ttft_p50", 0.669, 16.387, "+2,350 %", "worse"),
    ("ttft_p99", 31.002, 35.659, "+15.0 %", "worse"),
    ("tpot_p50", 0.2317, 0.0357, "−84.6 %", "better"),
    ("tpot_p99", 0.2829, 0.0425, "−85.0 %", "better"),
    ("latency_p50", 26.013, 18.149, "−30.2 %", "better"),
    ("latency_p99", 36.219, 35.994, "−0.6 %", "no difference shown"),
]


def of(value: float | None, bound: float | None = None) -> Figure:
    return Figure(value, "s", 100, "", bound is not None, bound)


def claimed(name: str, found: Estimate, setting: Setting = SETTING, **changes: object) -> Change:
    return claim(ROW[name], found, [[of(1.0)], [of(1.0)]], dataclasses.replace(setting, **changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(("name", "before", "after", "shown", "mark"), FIGURES)
def test_the_figures_of_the_issue(name: str, before: float, after: float, shown: str, mark: str) -> None:
    change = intervals.change(before, after)
    found = Estimate(
        change, change - 0.01, change + 0.01, difference=after - before, apart=abs(change) > 0.01
    )
    result = claimed(name, found)
    assert (result.display, result.mark) == (shown, mark)
    assert result.change == pytest.approx(change)


def test_a_claim_needs_the_interval_and_the_size() -> None:
    large_but_loose = Estimate(0.2, -0.1, 0.5, difference=1.0, apart=False)
    sure_but_small = Estimate(0.02, 0.01, 0.03, difference=1.0, apart=True)
    assert claimed("ttft_p50", large_but_loose).mark == "no difference shown"
    assert claimed("ttft_p50", sure_but_small).mark == "no difference shown"
    assert "3 %" in claimed("ttft_p50", sure_but_small).reason
    assert claimed("ttft_p50", sure_but_small, minimum_effect=0.01).mark == "worse"


def test_repeats_that_disagree_are_unstable_but_a_clear_change_is_still_claimed() -> None:
    loose = [[of(1.0), of(1.2)], [of(1.1), of(1.1)]]
    unclear = Estimate(0.0, -0.2, 0.2, difference=0.001, apart=False)
    clear = Estimate(5.0, 4.0, 6.0, difference=5.0, apart=True)
    assert claim(ROW["ttft_p50"], unclear, loose, SETTING).mark == "unstable"
    assert "20.0 %" in claim(ROW["ttft_p50"], unclear, loose, SETTING).reason
    assert claim(ROW["ttft_p50"], clear, loose, SETTING).mark == "worse"


def test_saturation_warns_of_latencies_only() -> None:
    found = Estimate(-0.5, -0.6, -0.4, difference=-1.0, apart=True)
    assert "B ran SATURATED" in (claimed("latency_p50", found, saturated=("B",)).warning or "")
    assert claimed("output_token_throughput", found, saturated=("B",)).warning is None
    assert claimed("latency_p50", found).warning is None


def test_what_cannot_be_compared_is_not() -> None:
    found = Estimate(-0.5, -0.6, -0.4, difference=-1.0, apart=True)
    change = claimed("latency_p50", found, incomparable="run X has rate 5 instead of 20", saturated=("A",))
    assert (change.mark, change.reason, change.warning) == (
        "not comparable",
        "run X has rate 5 instead of 20",
        None,
    )
    assert claimed("offered_rate", found).mark == "not comparable"


def test_beyond_the_data_of_one_side() -> None:
    over = Estimate(4.0, 2.0, None, at_least=True, difference=4.0, apart=True)
    change = claimed("ttft_p99", over)
    assert (change.mark, change.change, change.display) == ("worse", None, "> +400.0 %")
    assert change.display_interval == "above +200.0 %"
    under = dataclasses.replace(over, change=-0.5, low=-0.6)
    assert claimed("ttft_p99", under).mark == "not comparable"
    gone = Estimate(-0.9, None, -0.8, at_most=True, difference=-1.0, apart=True)
    assert (claimed("ttft_p99", gone).mark, claimed("ttft_p99", gone).display) == ("better", "< −90.0 %")


def test_from_nothing_to_something_has_no_percentage() -> None:
    change = claimed("failed", Estimate(None, difference=12.0, apart=True))
    assert (change.mark, change.change, change.display) == ("worse", None, "from 0 to 12")


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [(0.2317, "ms", "231.7"), (16.387, "ms", "16,387"), (19.276, "req/s", "19.28"), (0.9876, "%", "98.8")]
    + [(12.0, "", "12"), (168.84, "tok/s", "168.8"), (None, "ms", "n/a")]
    + [(0.00084, "ms", "0.840"), (0.009996, "ms", "10.0"), (0.00808, "ms", "8.08"), (0.0, "ms", "0.0")]
    + [(-0.00034, "ms", "−0.340"), (3.12e-5, "ms", "0.031")],
)
def test_numbers(value: float | None, unit: str, shown: str) -> None:
    assert formatting.number(value, unit) == shown


def test_bounds_in_words() -> None:
    assert formatting.number(None, "ms", 60.0) == "> 60,000"
    assert formatting.number(None, "ms", 0.0) == "n/a", "above 0 says nothing"
    assert formatting.number(-0.2587, "ms") == "−258.7"
    assert formatting.percent(-0.0001) == "0.0 %"
    assert formatting.span(-0.011, 0.02) == "−1.1 to +2.0 %"


@pytest.mark.parametrize(
    ("change", "shown"),
    [(23.5, "+2,350 %"), (98.9, "+9,890 %"), (99.0, "×100"), (599.6, "×601"), (12344.0, "×12,300")],
)
def test_a_change_of_a_hundred_times_is_shown_as_a_ratio(change: float, shown: str) -> None:
    assert formatting.percent(change) == shown


def test_an_interval_that_ends_so_high_is_of_ratios() -> None:
    assert formatting.span(188.0, 888.0) == "×189 to ×889"
    assert formatting.span(3.255, 110.0) == "×4.25 to ×111"
    assert formatting.span(-0.9, 110.0) == "×0.1 to ×111"


def test_estimates_of_repeats() -> None:
    """Welch on logarithms, and the ratio of the means."""
    sides = []
    for side in range(2):
        slow = dataclasses.replace(CHAT_MEDIUM, tpot=0.02 + 0.004 * side)
        noisy = [dataclasses.replace(slow, noise_seed=10 * side + n) for n in range(3)]
        sides.append([run_of(shape, f"{side}{n}") for n, shape in enumerate(noisy)])
    found = estimate(ROW["tpot_p50"], sides[0], sides[1], None)
    assert found.change == pytest.approx(0.2, abs=0.04)
    assert found.low is not None and found.high is not None and found.change is not None
    assert 0.1 < found.low < found.change < found.high < 0.3
    assert found.apart


@pytest.mark.parametrize(
    ("before", "after", "mark"),
    [
        ((0, 0), (1, 1), "no difference shown"),
        ((1, 1), (2, 2), "no difference shown"),
        ((2, 2), (0, 0), "no difference shown"),
        ((0, 0), (12, 12), "worse"),
        ((40, 44), (10, 12), "better"),
    ],
)
def test_a_failure_more_or_less_is_chance(
    monkeypatch: pytest.MonkeyPatch, before: tuple[int, int], after: tuple[int, int], mark: str
) -> None:
    figures = [[Figure(float(count), "requests", 1200, "") for count in side] for side in (before, after)]
    runs = [[run_of(Shape(duration=1, variant=name), name) for _ in "12"] for name in "AB"]
    known = dict(zip(map(id, sum(runs, [])), sum(figures, []), strict=True))
    monkeypatch.setattr(catalogue, "figure", lambda run, row: known[id(run)])
    found = estimate(ROW["failed"], runs[0], runs[1], None)
    assert claim(ROW["failed"], found, figures, SETTING).mark == mark


def test_a_count_matters_by_its_share_of_the_arrivals() -> None:
    found = Estimate(1.0, 0.5, 1.5, difference=10.0, apart=True)
    of_due = {
        due: [[Figure(10.0, "requests", due, "")], [Figure(20.0, "requests", due, "")]]
        for due in (2000, 20000)
    }
    assert claim(ROW["failed"], found, of_due[2000], SETTING).mark == "worse"
    few = claim(ROW["failed"], found, of_due[20000], SETTING)
    assert (few.mark, few.reason) == ("no difference shown", "smaller than 0.1 % of the arrivals")


def test_a_percentile_that_is_only_known_to_be_above_0_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """TPOT of a run in which most requests never got a token."""
    figures = {"served": of(0.0112), "starved": of(None, 0.0)}
    monkeypatch.setattr(catalogue, "figure", lambda run, row: figures[run])
    for pair in (("served", "starved"), ("starved", "served")):
        one, two = ([figures[name]] for name in pair)
        found = estimate(ROW["tpot_p50"], [pair[0]], [pair[1]], None)  # type: ignore[list-item]
        change = claim(ROW["tpot_p50"], found, [one, two], SETTING)
        assert (change.mark, change.display, change.display_interval) == ("not comparable", "n/a", "n/a")
        assert change.reason == "beyond the data of one of the two: too few requests finished"


def test_a_pair_with_one_schedule_is_paired_and_another_is_not() -> None:
    first = run_of(CHAT_MEDIUM, "a")
    method, blocks = by_time(first, run_of(dataclasses.replace(CHAT_MEDIUM, noise_seed=5), "b"))
    assert method.kind == "paired blocks of time" and blocks[0] is blocks[1]
    method, blocks = by_time(first, run_of(dataclasses.replace(CHAT_MEDIUM, seed=5), "b"))
    assert method.kind == "unpaired blocks of time" and blocks[0] is not blocks[1]
    assert "not paired" in method.text


def test_blocks_that_are_no_whole_seconds_leave_a_steady_flow_steady(tmp_path: Path) -> None:
    """Tokens are counted by the second: of a block of 3.3 s 3 or 4 would be taken for a fifth of chance."""
    steady = Shape(rate=20, duration=20, warmup=2, arrivals="constant")
    for name, seed in (("one", 1), ("two", 2)):
        make_run(tmp_path / name, dataclasses.replace(steady, seed=seed))
    one, two = (load_run(tmp_path / name) for name in ("one", "two"))
    method, blocks = by_time(one, two)
    found = estimate(ROW["output_token_throughput"], [one], [two], blocks)
    assert method.block_s is not None and method.block_s % 1 > 0.1
    assert found.low is not None and found.high is not None and found.high - found.low < 0.08


def test_blocks_are_longer_where_the_server_drifts_longer() -> None:
    def length(wobble: float, wobble_time: float) -> float:
        quick = dataclasses.replace(
            CHAT_MEDIUM, wobble=wobble, wobble_time=wobble_time, output=20, output_sd=0
        )
        one, two = (run_of(dataclasses.replace(quick, noise_seed=n), str(n)) for n in (1, 2))
        return resampling.block_length(one, two)

    assert length(0.0, 1.0) < 2 < length(0.2, 8.0)


def test_blocks_are_as_long_as_a_queue_takes_to_come_and_go() -> None:
    """Near the capacity the number in flight wanders longer than what lies above a percentile."""
    near = dataclasses.replace(CHAT_MEDIUM, slots=62)
    lengths = []
    for seed in range(4):
        pair = [run_of(dataclasses.replace(near, seed=seed, noise_seed=2 * seed + n), str(n)) for n in (0, 1)]
        lengths.append(resampling.block_length(pair[0], pair[1]))
    assert min(lengths) > 12, "5 s from the percentiles alone, in one of the four"


def test_a_queue_that_comes_and_goes_is_no_difference_by_itself() -> None:
    """At 98 % of the capacity a window of a minute may see it only once."""
    marks = compare_pairs(dataclasses.replace(CHAT_MEDIUM, slots=62), 1.0, 20).marks
    waits = [name for name in marks if ROW[name].waits]
    assert len(waits) == 8
    assert sum(marks[name]["better"] + marks[name]["worse"] for name in waits) <= 0.05 * 20 * len(waits)


def test_the_widening_for_a_queue_is_told_and_is_for_waits_alone() -> None:
    near = dataclasses.replace(CHAT_MEDIUM, slots=62, seed=1)
    one, two = (run_of(dataclasses.replace(near, noise_seed=n), str(n)) for n in (1, 2))
    method, (blocks, _) = by_time(one, two)
    plain = dataclasses.replace(blocks, together=1.0)
    assert blocks.together > 1 and "A queue came and went" in method.text

    def reach(name: str, drawn: Blocks) -> float:
        found = estimate(ROW[name], [one], [two], (drawn, drawn))
        assert found.low is not None and found.high is not None
        return found.high - found.low

    assert reach("ttft_p50", blocks) > 1.1 * reach("ttft_p50", plain)
    assert reach("tpot_p50", blocks) == reach("tpot_p50", plain)
    free, same = (run_of(dataclasses.replace(CHAT_MEDIUM, noise_seed=n), str(n)) for n in (1, 2))
    method, (blocks, _) = by_time(free, same)
    assert blocks.together == 1 and "A queue" not in method.text


def test_a_p99_that_one_burst_made_is_one_look() -> None:
    """Its interval is wider than of one as high whose requests came all over the window."""
    rng = np.random.default_rng(1)
    drawn = intervals.draw_blocks(60.0, 5.0, 1)
    assert resampling.clustering(run_of(CHAT_MEDIUM, "even"), ROW["ttft_p99"], drawn) < 3
    truth = simulate(CHAT_MEDIUM)
    burst = (truth.due > 40) & (truth.due < 43)
    later = np.where(burst, rng.uniform(1, 2, len(truth.due)), 0.0)
    moved = dataclasses.replace(
        truth, first_token=truth.first_token + later, last_token=truth.last_token + later
    )
    run = recorded(CHAT_MEDIUM, moved, "burst")
    assert resampling.clustering(run, ROW["ttft_p99"], drawn) == pytest.approx(12)
    assert resampling.clustering(run, ROW["ttft_p50"], drawn) < 1.5
    assert resampling.clustering(run, ROW["completed_rate"], drawn) == 1


def test_verdicts_are_calibrated() -> None:
    """A few of the pairs of `make bench-verdict`."""
    same, slow = compare_pairs(CHAT_MEDIUM, 1.0, 15), compare_pairs(CHAT_MEDIUM, 1.05, 15)
    assert same.quiet >= 14
    assert all(slow.marks[name]["worse"] >= 12 for name in HEADLINE)
    assert slow.marks["tpot_p50"]["better"] == 0


@pytest.mark.parametrize("slots", [58, 45])
def test_the_wait_in_a_growing_queue_is_no_difference_by_itself(slots: int) -> None:
    """What chance does to the served rate adds up in a queue: one run is one sample of it."""
    overloaded = dataclasses.replace(CHAT_MEDIUM, slots=slots)
    same, slow = compare_pairs(overloaded, 1.0, 10), compare_pairs(overloaded, 1.2, 10)
    assert same.quiet >= 9
    assert slow.marks["ttft_p50"]["worse"] >= 9


def test_how_many_are_left_when_a_queue_has_grown_is_claimed_beyond_the_chance_in_the_served_rate() -> None:
    overloaded = dataclasses.replace(CHAT_MEDIUM, slots=45, drain=5)
    marks: dict[float, list[str]] = {1.0: [], 1.2: []}
    for slower, found in marks.items():
        slow = dataclasses.replace(overloaded, tpot=overloaded.tpot * slower, ttft=overloaded.ttft * slower)
        for seed in range(5):
            one = run_of(dataclasses.replace(overloaded, seed=seed, variant="A", noise_seed=2 * seed), "a")
            two = run_of(dataclasses.replace(slow, seed=seed, variant="B", noise_seed=2 * seed + 1), "b")
            blocks = by_time(one, two, growing=True)[1]
            for name in ("unfinished", "completed"):
                figures = [[catalogue.figure(run, ROW[name])] for run in (one, two)]
                change = estimate(ROW[name], [one], [two], blocks, growing=("A", "B"))
                found.append(claim(ROW[name], change, figures, SETTING).mark)
    assert marks == {1.0: ["no difference shown"] * 10, 1.2: ["worse"] * 10}


def test_whoever_is_left_at_the_end_of_an_overload_is_claimed() -> None:
    """They all came late in the window: that is how a queue grows, and not chance."""
    keeps_up = run_of(dataclasses.replace(CHAT_MEDIUM, slots=None, variant="A"), "a")
    falls_behind = run_of(
        dataclasses.replace(CHAT_MEDIUM, slots=25, drain=45, variant="B", noise_seed=2), "b"
    )
    blocks = by_time(keeps_up, falls_behind, growing=True)[1]
    waits = [estimate(ROW[name], [keeps_up], [falls_behind], blocks, growing=("B",)) for name in BOUNDED]
    assert all(each.at_least and each.low and each.change and each.low <= each.change for each in waits)
    for name, mark in (("unfinished", "worse"), ("completed", "worse"), ("slo_attainment", "worse")):
        row = ROW[name]
        figures = [[catalogue.figure(run, row)] for run in (keeps_up, falls_behind)]
        found = estimate(row, [keeps_up], [falls_behind], blocks, growing=("B",))
        assert claim(row, found, figures, SETTING).mark == mark, name
    assert 0.1 < catalogue.figure(falls_behind, ROW["unfinished"]).value / 1200 < 0.4  # type: ignore[operator]


def test_a_shape_like_a_recorded_run() -> None:
    shape = dataclasses.replace(
        CHAT_MEDIUM, duration=600, wobble=0.05, wobble_time=4.0, slots=None, output=30, output_sd=5
    )
    found = shape_of(run_of(shape, "recorded"))
    assert found.wobble == pytest.approx(0.05, rel=0.4)
    assert 1.5 < found.wobble_time < 10
    assert found.jitter == pytest.approx(0.05, rel=0.3)
    assert (found.rate, found.tpot) == (pytest.approx(20, rel=0.1), pytest.approx(0.02, rel=0.1))


def refused(folder: Path, shape: Shape) -> Run:
    """A run of the variant `optimized` in which those that fail are turned away at once."""
    make_run(folder, shape, variant="optimized", noise_seed=2)
    path = folder / "requests.parquet"
    table = pq.read_table(path)
    at = table.schema.get_field_index("http_status")
    status = pc.if_else(pc.equal(table["http_status"], 500), pa.scalar(429, pa.int16()), table["http_status"])
    pq.write_table(table.set_column(at, table.schema.field(at), status), path)
    return load_run(folder)


@pytest.mark.parametrize(("slots", "grew"), [(60, ()), (7, ("optimized",))])
def test_only_where_a_queue_grew_do_the_intervals_hold_what_chance_does_to_it(
    tmp_path: Path, slots: int, grew: tuple[str, ...]
) -> None:
    """A run of which 3 % are refused is SATURATED, too, but nobody waits in it."""
    make_run(tmp_path / "one")
    one = load_run(tmp_path / "one")
    two = refused(tmp_path / "two", Shape(slots=slots, failed_share=0.03))
    verdicts = {run.name: validity.verdict(validity.check(run)).label for run in (one, two)}
    assert verdicts == {"one": "VALID", "two": "SATURATED"}
    pair = pair_up("baseline", "optimized", {"baseline": [one], "optimized": [two]}, verdicts, 0.03)
    assert pair.setting.saturated == ("optimized",) and pair.setting.growing == grew
    assert ("A queue grew" in pair.method.text) is bool(grew)
    found = estimate(ROW["ttft_p50"], [one], [two], pair.blocks, growing=pair.setting.growing)
    assert found.low is not None and found.high is not None and found.change is not None
    assert (found.high - found.low < 0.05 * (1 + found.change)) is not bool(grew)


def test_the_refused_do_not_count_as_offered_to_a_queue() -> None:
    shape = dataclasses.replace(CHAT_MEDIUM, slots=50)
    truth, rng = simulate(shape), np.random.default_rng(1)
    due = 65 * rng.random(400)  # turned away at once, beside those that the server takes
    more = dataclasses.replace(
        truth,
        due=np.append(truth.due, due),
        sent=np.append(truth.sent, due),
        first_token=np.append(truth.first_token, np.full(400, np.inf)),
        last_token=np.append(truth.last_token, due + 0.003),
        tokens=np.append(truth.tokens, np.full(400, 150)),
        status=np.append(truth.status, np.ones(400, np.int8)),
    )
    drawn = intervals.draw_blocks(60.0, 3.0, 1)
    drift = [_queue_drift(recorded(shape, each, "x"), drawn) for each in (truth, more)]
    assert np.std(np.log(drift[0])) > 0.05 and np.allclose(drift[0], drift[1])
