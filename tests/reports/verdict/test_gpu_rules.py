"""What is said of the server's GPUs: who else computed there, heat, errors, and what two runs differ in."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bench.synthetic import Shape, make_run
from loadgen.records.record import METRICS_SCHEMA
from reports.commands.assembly import assemble
from reports.comparison.gpus import differences
from reports.document.metric import Metric
from reports.metrics import gpus
from reports.runs.runs import Run, load_run
from reports.verdict.rule import Rule, Verdict
from reports.verdict.validity import check, verdict

SHAPE = Shape(rate=8, duration=20, warmup=2, drain=5, output=10)
Series = dict[str, float | list[float]]  # name and labels as JSON behind it; its values, each second


def with_gpu(folder: Path, series: Series, variant: str = "baseline") -> Run:
    """A run whose server's GPU told this in each second of it."""
    make_run(folder, SHAPE, variant=variant)
    rows = []
    for name, values in series.items():
        named, _, labels = name.partition(" ")
        each = values if isinstance(values, list) else 40 * [values]
        text = json.dumps({"gpu": "0", **json.loads(labels or "{}")})
        rows += [(second - 1.0, f"gpu:{named}", text, value) for second, value in enumerate(each)]
    path = folder / "server_metrics.parquet"
    columns = [list(column) for column in zip(*rows, strict=True)]
    fresh = pa.table(
        [pa.array(c).cast(f.type) for c, f in zip(columns, METRICS_SCHEMA, strict=True)],
        schema=METRICS_SCHEMA,
    )
    pq.write_table(pa.concat_tables([pq.read_table(path).cast(METRICS_SCHEMA), fresh]), path)
    return load_run(folder)


def rules(run: Run) -> dict[str, Rule]:
    return {rule.rule: rule for rule in check(run)}


def test_without_a_gpu_nothing_is_said_of_one(tmp_path: Path) -> None:
    make_run(tmp_path, SHAPE)
    assert not [name for name in rules(load_run(tmp_path)) if "gpu" in name]


STRANGER = {'processes {"who": "server"}': 1.0, 'other_memory_bytes {"process": "trainer"}': 5e9}
USED = 'other_utilization_ratio {"process": "trainer"}'


@pytest.mark.parametrize(("used", "disturbed"), [(0.4, True), (0.02, False)])
def test_another_that_computes_on_the_card_disturbs_a_run(
    used: float, disturbed: bool, tmp_path: Path
) -> None:
    found = rules(with_gpu(tmp_path, {**STRANGER, USED: used}))
    assert found["others_on_gpu"].passed is not disturbed
    assert f"trainer held 5 GB of GPU 0 and used {100 * used:.0f} %" in found["others_on_gpu"].text
    assert (verdict(list(found.values())) is Verdict.DISTURBED) is disturbed


def test_another_of_which_only_the_memory_is_known_is_a_warning(tmp_path: Path) -> None:
    found = rules(with_gpu(tmp_path, {**STRANGER}))["others_on_gpu"]
    assert not found.passed and found.verdict is Verdict.VALID and "is not told" in found.text


def test_where_the_servers_own_process_is_not_seen_nobody_else_is(tmp_path: Path) -> None:
    found = rules(with_gpu(tmp_path, {"throttle_reasons": 0.0}))["others_on_gpu"]
    assert not found.checked and found.passed


@pytest.mark.parametrize(
    ("reasons", "passed"), [(0x0, True), (0x1 | 0x4, True), (0x20, False), (0x40, False)]
)
def test_heat_is_a_warning_and_the_power_limit_is_not(reasons: int, passed: bool, tmp_path: Path) -> None:
    found = rules(with_gpu(tmp_path, {"throttle_reasons": float(reasons), "sm_clock_hertz": 1.98e9}))
    assert found["gpu_throttled"].passed is passed and "1,980 MHz" in found["gpu_throttled"].text


def test_errors_of_the_card_are_named(tmp_path: Path) -> None:
    series: Series = {
        'ecc_errors_total {"kind": "uncorrected"}': [3.0] * 10 + [5.0] * 30,
        'ecc_errors_total {"kind": "corrected"}': [0.0] * 10 + [9.0] * 30,
        'xid_errors_total {"xid": "79"}': 1.0,
    }
    run = with_gpu(tmp_path, series)
    found = rules(run)["gpu_errors"]
    assert found.figure == 2 and not found.passed, "what stood before the run is not the run's"
    assert gpus.errors(run) == {"uncorrected memory error of GPU 0": 2.0}


def test_clocks_that_differ_are_named_and_heat_in_one_run_forbids_claims(tmp_path: Path) -> None:
    def run(name: str, **series: float) -> Run:
        return with_gpu(tmp_path / name, {**series}, name)

    cool = run("cool", throttle_reasons=0.0, sm_clock_hertz=1.98e9, utilization_ratio=0.9)
    limited = run("limited", throttle_reasons=4.0, sm_clock_hertz=1.5e9, utilization_ratio=0.9)
    hot = run("hot", throttle_reasons=32.0, sm_clock_hertz=1.5e9, utilization_ratio=0.9)
    assert differences([cool], [cool], 0.05) == []
    [clock] = differences([cool], [limited], 0.05)
    assert clock.comparable and clock.values == {"cool": "1,980 MHz", "limited": "1,500 MHz"}
    [heat] = differences([cool], [hot], 0.05)
    assert not heat.comparable and "100 % of the readings (hot)" in heat.text


def test_energy_is_compared_with_an_interval_and_only_where_it_is_known(tmp_path: Path) -> None:
    runs = [
        with_gpu(tmp_path / name, {"energy_joules_total": [watts * t for t in range(40)]}, name)
        for name, watts in (("frugal", 150.0), ("hungry", 300.0))
    ]
    found = {metric.name: metric for metric in compared(runs, "frugal")}
    for name in ("energy_per_token", "energy_per_good_request"):
        [change] = found[name].changes
        assert (change.mark, change.change) == ("worse", pytest.approx(1.0)), name
        assert change.low is not None and change.high is not None and change.low < 1 < change.high, name
    make_run(tmp_path / "cpu", SHAPE, variant="cpu")
    assert not [each for each in compared([load_run(tmp_path / "cpu")], "cpu") if "energy" in each.name]


def compared(runs: list[Run], baseline: str) -> list[Metric]:
    return assemble(runs, baseline=baseline, minimum_effect=0.05, name="", command="").metrics
