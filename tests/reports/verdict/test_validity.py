"""Every rule fails on the fault it is for, and passes on a healthy run."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from bench.synthetic import edit_manifest, make_run
from reports.runs.runs import load_run
from reports.verdict.rule import Rule, Verdict
from reports.verdict.validity import check, verdict


def rules(folder: Path) -> dict[str, Rule]:
    return {rule.rule: rule for rule in check(load_run(folder))}


def failed(folder: Path) -> set[str]:
    return {name for name, rule in rules(folder).items() if not rule.passed}


def change_column(folder: Path, name: str, change: Any) -> None:
    table = pq.read_table(folder / "requests.parquet")
    at = table.schema.get_field_index(name)
    pq.write_table(
        table.set_column(at, table.schema.field(at), change(table[name])), folder / "requests.parquet"
    )


def scale_counter(folder: Path, prefix: str, factor: float) -> None:
    path = folder / "server_metrics.parquet"
    table = pq.read_table(path)
    chosen = pc.starts_with(table["name"], prefix)
    value = pc.if_else(chosen, pc.multiply(table["value"], factor), table["value"])
    pq.write_table(table.set_column(3, "value", value), path)


def test_no_rule_gives_a_host_s_name_away(tmp_path: Path) -> None:
    """Reports get committed and sent around; the manifest keeps no more of the host than a hash."""
    make_run(tmp_path, lanes=2, lost_lane=1)
    path = tmp_path / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    for lane in manifest["lanes"]:
        lane |= {"worker": f"secret-host_{lane['lane']}", "batches_sent": None}
        lane |= {"stall_p99_ms": 1.0, "cpu_s": 1.0, "wall_s": 9.0, "clock_rtt_s": 0.001}
        lane |= {"peak_in_flight": 3, "open_files_limit": 1000}
    path.write_text(json.dumps(manifest), encoding="utf-8")
    texts = {name: rule.text for name, rule in rules(tmp_path).items()}
    assert not any("secret-host" in text for text in texts.values())
    for name in ("clocks", "loop_stall_p99", "worker_cpu", "open_files", "batches_lost", "lanes_lost"):
        assert "worker 0" in texts[name] or "worker 1" in texts[name], name


@pytest.mark.parametrize("seed", range(3))
def test_a_healthy_run_is_valid(tmp_path: Path, seed: int) -> None:
    make_run(tmp_path, seed=seed, noise_seed=seed, jitter=0.2, output_sd=20.0, slots=14, lanes=2)
    found = rules(tmp_path)
    assert {name for name, rule in found.items() if not rule.passed} == set()
    assert {name for name, rule in found.items() if not rule.checked} == {"engines_alike"}
    assert verdict(list(found.values())) is Verdict.VALID


SHAPES: dict[str, tuple[dict[str, Any], str]] = {
    "late": ({"dispatch_delay": 0.004}, "dispatch_delay_p99"),
    "overload": ({"slots": 7}, "backlog"),
    "hung": ({"hung_share": 0.03}, "unfinished_share"),
    "failing": ({"failed_share": 0.03}, "failed_share"),
    "dead worker": ({"lanes": 3, "lost_lane": 1}, "lanes_lost"),
    "cached": ({"prefix_hits": 0.5}, "prefix_cache_hits"),
    "short": ({"duration": 15.0}, "enough_requests"),
    "cold": ({"cold": 1.0, "cold_time": 8.0}, "warmup_long_enough"),
}


@pytest.mark.parametrize("fault", SHAPES)
def test_a_faulty_load_or_server_is_found(tmp_path: Path, fault: str) -> None:
    shape, rule = SHAPES[fault]
    make_run(tmp_path, **shape)
    assert rule in failed(tmp_path)


MANIFESTS: dict[str, tuple[dict[str, Any], str]] = {
    "stalls": ({"lanes": {"stall_p99_ms": 25.0}}, "loop_stall_p99"),
    "busy": ({"lanes": {"cpu_s": 64.0}}, "worker_cpu"),
    "files": ({"lanes": {"open_files_limit": 40}}, "open_files"),
    "batch": ({"lanes": {"batches_received": 19}}, "batches_lost"),
    "silent": ({"lanes": {"batches_sent": None}}, "batches_lost"),
    "lane": ({"lanes": {"lost": True}}, "lanes_lost"),
    "lane counts": ({"lanes": {"records": 17}}, "accounting"),
    "due": ({"due": 17}, "accounting"),
    "clock": ({"lanes": {"clock_drift_s": -0.06}}, "clocks"),
    "cut": ({"ended": "interrupted", "drained_at": 30.0}, "ran_to_the_end"),
}


@pytest.mark.parametrize("fault", MANIFESTS)
def test_a_fault_in_the_manifest_is_found(tmp_path: Path, fault: str) -> None:
    changes, rule = MANIFESTS[fault]
    make_run(tmp_path)
    edit_manifest(tmp_path, **changes)
    assert rule in failed(tmp_path)


def test_an_interrupt_of_the_drain_leaves_the_window_whole(tmp_path: Path) -> None:
    make_run(tmp_path)
    edit_manifest(tmp_path, ended="interrupted")
    assert failed(tmp_path) == set()


def test_a_share_of_very_late_sends_is_found(tmp_path: Path) -> None:
    make_run(tmp_path)
    change_column(
        tmp_path,
        "sent",
        lambda c: pa.array([t + 0.0605 if i % 300 == 5 else t for i, t in enumerate(c.to_pylist())]),
    )
    assert "late_share" in failed(tmp_path) and "dispatch_delay_p99" not in failed(tmp_path)


def test_requests_that_leave_after_the_window_are_found(tmp_path: Path) -> None:
    make_run(tmp_path)
    change_column(tmp_path, "sent", lambda c: pc.if_else(pc.greater(c, 62.0), 80.0, c))
    assert "unsent_share" in failed(tmp_path)


Edit = Callable[[pd.DataFrame], None]
# 1,200 arrivals are judged; the mean TTFT is 50.5 ms.
EVEN: dict[str, Any] = {"arrivals": "constant", "dispatch_delay": 0.0}


def edit_records(folder: Path, edit: Edit) -> None:
    """Change the flat columns of the window's records, in the order in which they were due."""
    path = folder / "requests.parquet"
    table = pq.read_table(path)
    frame = table.select([name for name in table.schema.names if not name.startswith("chunk_")]).to_pandas()
    judged = frame[frame["due"] >= 5.0].copy()
    edit(judged)
    frame.loc[judged.index] = judged
    names = ("due", "sent", "first_token", "last_token", "end", "status", "http_status", "workload")
    for name in (*names, "held", "cancel_after", "output_tokens"):
        at = table.schema.get_field_index(name)
        values = pa.array(frame[name], from_pandas=True).cast(table.schema.field(at).type)
        table = table.set_column(at, table.schema.field(at), values)
    pq.write_table(table, path)


def leave(after: float, last: int) -> Edit:
    """The last requests leave so many seconds after they are due."""

    def edit(records: pd.DataFrame) -> None:
        records.loc[records.index[-last:], "sent"] = records["due"].iloc[-last:] + after

    return edit


def end_as(status: str, count: int, http_status: int = 200, workload: str = "chat", of: int = 1200) -> Edit:
    """So many requests end like this; they belong to a workload of so many."""

    def edit(records: pd.DataFrame) -> None:
        records.loc[records.index[:of], "workload"] = workload
        records.loc[records.index[:count], "status"] = status
        records.loc[records.index[:count], "http_status"] = http_status

    return edit


def slow_start(factor: float) -> Edit:
    """The first tenth of the window waits longer for its first token."""

    def edit(records: pd.DataFrame) -> None:
        first = records.index[:120]
        ttft = records.loc[first, "first_token"] - records.loc[first, "sent"]
        records.loc[first, "first_token"] = records.loc[first, "sent"] + ttft * factor

    return edit


RECORD_BOUNDS: dict[str, tuple[str, Edit, Edit]] = {  # rule, just within its bound, just beyond
    "p99 of the lag": ("dispatch_delay_p99", leave(0.0049, 1200), leave(0.0051, 1200)),
    "lag of one in a thousand": ("late_share", leave(0.06, 1), leave(0.06, 2)),
    "left after the window": ("unsent_share", leave(70.0, 12), leave(70.0, 13)),
    "unfinished": ("unfinished_share", end_as("unfinished", 12), end_as("unfinished", 13)),
    "failed": ("failed_share", end_as("failed", 12, 500), end_as("failed", 13, 500)),
    "refused": ("refused_share", end_as("failed", 12, 429), end_as("failed", 13, 429)),
    "requests": ("enough_requests", end_as("failed", 741, 500), end_as("failed", 742, 500)),
    "unfinished ones say how long at least": (
        "enough_requests",
        end_as("unfinished", 1199),
        end_as("unfinished", 1200),  # none completed: slow, or broken?
    ),
    "refused ones do too": ("enough_requests", end_as("failed", 1199, 429), end_as("failed", 1200, 429)),
    "warm-up": ("warmup_long_enough", slow_start(1.19), slow_start(1.21)),
    "one workload starves": (
        "unfinished_share",
        end_as("unfinished", 2, workload="rare", of=20),  # 10 %, but of so few that it may be chance
        end_as("unfinished", 3, workload="rare", of=20),
    ),
    "one workload fails": (
        "failed_share",
        end_as("failed", 2, 500, workload="rare", of=20),
        end_as("failed", 3, 500, workload="rare", of=20),
    ),
}


@pytest.mark.parametrize("bound", RECORD_BOUNDS)
def test_a_bound_on_records_holds_on_both_sides(tmp_path: Path, bound: str) -> None:
    rule, within, beyond = RECORD_BOUNDS[bound]
    for place, edit, passes in ((tmp_path / "within", within, True), (tmp_path / "beyond", beyond, False)):
        make_run(place, **EVEN)
        edit_records(place, edit)
        found = rules(place)[rule]
        assert found.checked and found.passed is passes, found
    assert found.advice and found.figure is not None and found.bound is not None


SHAPE_BOUNDS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "server_ttft": ({"network": -0.0009}, {"network": -0.0011}),
    "outside_server": ({"network": 0.0119}, {"network": 0.0121}),
    "server_latency": ({"network": -0.0042}, {"network": -0.0045}),  # 1 % of 440 ms
    "prefix_cache_hits": ({"prefix_hits": 0.0099}, {"prefix_hits": 0.0101}),
}


@pytest.mark.parametrize("rule", SHAPE_BOUNDS)
def test_a_bound_against_the_server_holds_on_both_sides(tmp_path: Path, rule: str) -> None:
    for number, (shape, passes) in enumerate(zip(SHAPE_BOUNDS[rule], (True, False), strict=True)):
        make_run(tmp_path / str(number), **EVEN, **shape)
        found = rules(tmp_path / str(number))[rule]
        assert found.checked and found.passed is passes, found


MANIFEST_BOUNDS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "loop_stall_p99": ({"lanes": {"stall_p99_ms": 9.9}}, {"lanes": {"stall_p99_ms": 10.1}}),
    "worker_cpu": ({"lanes": {"cpu_s": 51.9}}, {"lanes": {"cpu_s": 52.1}}),  # of 65 s
    "shared_cores": ({"lanes": {"cpu_s": 32.4}}, {"lanes": {"cpu_s": 32.6}}),  # of 65 s on 2 cores
    "open_files": ({"lanes": {"open_files_limit": 45}}, {"lanes": {"open_files_limit": 44}}),  # peak: 40
    "network_loss": ({"lanes": {"segments_lost": 100}}, {"lanes": {"segments_lost": 101}}),  # of 20,000
    "clocks": ({"lanes": {"clock_rtt_s": 0.099}}, {"lanes": {"clock_rtt_s": 0.101}}),
    "batches_lost": ({"lanes": {"batches_received": 20}}, {"lanes": {"batches_received": 19}}),
    "accounting": ({"due": 1300, "scheduled": 1300}, {"due": 1299, "scheduled": 1300}),
    "ran_to_the_end": (
        {"ended": "interrupted", "drained_at": 65.0},
        {"ended": "interrupted", "drained_at": 64.9},
    ),
}


@pytest.mark.parametrize("rule", MANIFEST_BOUNDS)
def test_a_bound_on_the_manifest_holds_on_both_sides(tmp_path: Path, rule: str) -> None:
    make_run(tmp_path, **EVEN)
    for changes, passes in zip(MANIFEST_BOUNDS[rule], (True, False), strict=True):
        edit_manifest(tmp_path, **changes)
        found = rules(tmp_path)[rule]
        assert found.checked and found.passed is passes, found


def test_a_load_that_lacks_what_was_scheduled_does_not_reconcile(tmp_path: Path) -> None:
    """A worker that leaves in good order takes its later arrivals with it: every count agrees but one."""
    make_run(tmp_path, **EVEN)
    edit_manifest(tmp_path, scheduled=1301)
    found = rules(tmp_path)["accounting"]
    assert not found.passed and "due 1300 (1300 of 1301 scheduled)" in found.text
    edit_manifest(tmp_path, scheduled=20)  # of a closed loop: one for each client
    assert rules(tmp_path)["accounting"].passed


def test_workers_on_another_machine_take_nothing_from_the_server(tmp_path: Path) -> None:
    make_run(tmp_path)
    edit_manifest(tmp_path, lanes={"cpu_s": 45.0, "beside_server": False})
    assert not rules(tmp_path)["shared_cores"].checked
    make_run(tmp_path / "four", lanes=4)
    edit_manifest(tmp_path / "four", lanes={"cpu_s": 13.0})  # 20 % of a core each, 40 % of the machine
    found = rules(tmp_path / "four")
    assert found["worker_cpu"].passed and not found["shared_cores"].passed
    assert "4 workers used 0.80 of the 2 cores" in found["shared_cores"].text


def test_a_server_that_began_anew_is_found(tmp_path: Path) -> None:
    """Its counters start from 0: what they gained can be told all the same, so that all else may agree."""
    make_run(tmp_path)
    path = tmp_path / "server_metrics.parquet"
    table = pq.read_table(path)
    late = pc.and_(pc.greater(table["t"], 30.5), pc.ends_with(table["name"], "_total"))
    before = {
        name: value
        for t, name, value in zip(*(table[each].to_pylist() for each in ("t", "name", "value")), strict=True)
        if t == 30.0
    }
    values = [
        value - before[name] if since else value
        for name, value, since in zip(
            *(c.to_pylist() for c in (table["name"], table["value"], late)), strict=True
        )
    ]
    pq.write_table(table.set_column(3, "value", pa.array(values)), path)
    found = rules(tmp_path)
    assert found["server_output_tokens"].passed, "the gain is whole"
    assert not found["server_restarted"].passed and "fell 1 times" in found["server_restarted"].text


def test_a_double_arrival_is_found(tmp_path: Path) -> None:
    make_run(tmp_path)
    change_column(tmp_path, "arrival", lambda c: pa.array([0, *c.to_pylist()[:-1]], pa.int32()))
    assert "accounting" in failed(tmp_path)


@pytest.mark.parametrize("name", ["sent", "first_byte", "first_token", "last_token", "end"])
def test_stamps_out_of_order_are_found(tmp_path: Path, name: str) -> None:
    make_run(tmp_path, duration=30)
    change_column(tmp_path, name, lambda c: pc.subtract(c, 1.0))
    found = rules(tmp_path)["times_in_order"]
    assert not found.passed and f"{name} before" in found.text


@pytest.mark.parametrize(
    ("counter", "rule"),
    [
        ("vllm:generation_tokens_total", "server_output_tokens"),
        ("vllm:prompt_tokens_total", "server_prompt_tokens"),
    ],
)
@pytest.mark.parametrize(("factor", "passed"), [(1.005, True), (1.05, False), (0.95, False)])
def test_counts_that_differ_from_the_servers(
    tmp_path: Path, counter: str, rule: str, factor: float, passed: bool
) -> None:
    make_run(tmp_path)
    scale_counter(tmp_path, counter, factor)
    assert rules(tmp_path)[rule].passed is passed


def test_what_the_server_made_for_broken_requests_is_allowed(tmp_path: Path) -> None:
    make_run(tmp_path, broken_share=0.2, drain=0.0, slots=9, rate=30.0)
    found = rules(tmp_path)
    assert found["server_output_tokens"].passed and "did not complete" in found["server_output_tokens"].text
    assert found["server_prompt_tokens"].passed
    scale_counter(tmp_path, "vllm:generation_tokens_total", 3.0)  # more than was ever asked
    assert not rules(tmp_path)["server_output_tokens"].passed


@pytest.mark.parametrize(
    ("histogram", "rule"),
    [
        ("vllm:time_to_first_token_seconds", "server_ttft"),
        ("vllm:e2e_request_latency_seconds", "server_latency"),
    ],
)
def test_a_servers_mean_above_ours_is_found(tmp_path: Path, histogram: str, rule: str) -> None:
    make_run(tmp_path, network=0.002)
    found = rules(tmp_path)[rule]
    assert (
        found.passed
        and found.figure == pytest.approx(-0.002, abs=1e-6)
        and "+2 ms network and client" in found.text
    )
    scale_counter(tmp_path, f"{histogram}_sum", 1.1)
    assert not rules(tmp_path)[rule].passed


def test_prompts_that_may_repeat_may_hit_the_cache(tmp_path: Path) -> None:
    make_run(tmp_path, prefix_hits=0.5)
    edit_manifest(tmp_path, prompts={"unique": False})
    found = rules(tmp_path)["prefix_cache_hits"]
    assert found.passed and not found.checked


def test_without_server_metrics_the_rules_say_so(tmp_path: Path) -> None:
    make_run(tmp_path)
    (tmp_path / "server_metrics.parquet").unlink()
    skipped = {name for name, rule in rules(tmp_path).items() if not rule.checked}
    names = {
        "server_restarted",
        "server_output_tokens",
        "server_prompt_tokens",
        "server_ttft",
        "server_latency",
        "prefix_cache_hits",
        "engines_alike",
        "outside_server",
    }
    assert skipped == names and failed(tmp_path) == set()


def hold(seconds: float, count: int) -> Edit:
    """`max_concurrency` held some requests back for so long: they were due so much earlier."""

    def edit(records: pd.DataFrame) -> None:
        records["held"] = 0.0
        rows = records.index[50 : 50 + count]
        records.loc[rows, "held"] = seconds
        records.loc[rows, "due"] -= seconds

    return edit


def test_what_the_cap_held_back_is_the_clients_queue_and_no_delay(tmp_path: Path) -> None:
    make_run(tmp_path)
    edit_records(tmp_path, hold(0.04, 30))
    found = rules(tmp_path)
    assert failed(tmp_path) == {"client_queue"} and found["client_queue"].verdict is Verdict.VALID
    assert (
        "held back 30 of" in found["client_queue"].text and "for 0.04 s (p50)" in found["client_queue"].text
    )


@pytest.mark.parametrize(("made", "fails"), [(60.0, set()), (300.0, {"cancelled"})])
def test_what_the_server_did_about_cancelled_requests_is_said(
    tmp_path: Path, made: float, fails: set[str]
) -> None:
    make_run(tmp_path)
    path = tmp_path / "server_metrics.parquet"
    table = pq.read_table(path)
    more = pc.and_(pc.starts_with(table["name"], "vllm:generation_tokens"), pc.greater(table["t"], 30.0))
    value = pc.add(table["value"], pc.if_else(more, made - 480, 0.0))
    pq.write_table(table.set_column(3, "value", value), path)

    def cancel(records: pd.DataFrame) -> None:
        records["cancel_after"] = np.nan
        rows = records.index[:12]
        records.loc[rows, "cancel_after"] = 1.0
        records.loc[rows, "output_tokens"] = 0
        records.loc[rows, "status"] = "unfinished"

    edit_records(tmp_path, cancel)
    assert failed(tmp_path) == fails
    said = f"had not ended by then; of the 480 tokens that they lacked the server made {made:.0f}"
    assert said in rules(tmp_path)["cancelled"].text


def test_scrapes_that_end_early_are_not_compared(tmp_path: Path) -> None:
    make_run(tmp_path)
    path = tmp_path / "server_metrics.parquet"
    table = pq.read_table(path)
    pq.write_table(table.filter(pc.less(table["t"], 40.0)), path)
    assert not rules(tmp_path)["server_output_tokens"].checked


@pytest.mark.parametrize(
    ("status", "rule"), [(429, "refused_share"), (503, "refused_share"), (500, "failed_share")]
)
def test_who_is_to_blame_for_failures(tmp_path: Path, status: int, rule: str) -> None:
    make_run(tmp_path, failed_share=0.05)
    change_column(
        tmp_path, "http_status", lambda c: pc.if_else(pc.equal(c, 500), pa.scalar(status, pa.int16()), c)
    )
    assert failed(tmp_path) == {rule}


def test_a_saturated_run_is_not_blamed_on_its_warm_up(tmp_path: Path) -> None:
    make_run(tmp_path, slots=7)
    found = rules(tmp_path)
    assert verdict(list(found.values())) is Verdict.SATURATED
    assert (found["warmup_long_enough"].figure or 0) < -0.2


def test_a_saturated_run_is_not_blamed_on_its_warm_up_by_its_few_survivors(tmp_path: Path) -> None:
    """Of those due late only whoever was lucky got a first token; the others still wait at the end."""
    make_run(tmp_path, slots=7)

    def edit(records: pd.DataFrame) -> None:
        late = (records["due"] >= 12) & (records.index % 4 > 0)
        records.loc[late, ["first_byte", "first_token", "last_token"]] = np.nan
        records.loc[late, "status"] = "unfinished"
        records.loc[late, "end"] = 100.0
        early = records["due"] < 12
        records.loc[early, "first_token"] = records["sent"][early] + 8.0
        lucky = ~late & ~early
        records.loc[lucky, "first_token"] = records["sent"][lucky] + 4.0

    edit_records(tmp_path, edit)
    assert rules(tmp_path)["warmup_long_enough"].passed


def slower(factor: Callable[[np.ndarray], np.ndarray]) -> Edit:
    """Every time of a request, by its place in the window (0 to 1)."""

    def edit(records: pd.DataFrame) -> None:
        by = factor(np.clip((records["due"] - 5) / 60, 0, 1).to_numpy())
        for name in ("first_token", "last_token", "end"):
            records[name] = records["sent"] + (records[name] - records["sent"]) * by

    return edit


@pytest.mark.parametrize("seconds", [3.0, 5.0, 18.0, 30.0])
def test_a_slow_beginning_is_found_be_it_short_or_long(tmp_path: Path, seconds: float) -> None:
    make_run(tmp_path, jitter=0.15, wobble=0.02)
    edit_records(tmp_path, slower(lambda place: np.where(place < seconds / 60, 2.0, 1.0)))
    found = rules(tmp_path)["warmup_long_enough"]
    assert not found.passed and found.figure == pytest.approx(1.0, abs=0.25)
    assert "warm up longer" in found.advice


@pytest.mark.parametrize("to", [1.6, 0.5])
def test_a_drift_over_the_whole_window_is_no_warm_up_but_its_size_is_told(tmp_path: Path, to: float) -> None:
    make_run(tmp_path, jitter=0.05)
    edit_records(tmp_path, slower(lambda place: 1 + (to - 1) * place))
    found = rules(tmp_path)["warmup_long_enough"]
    assert found.passed and abs(found.figure or 0) > 0.2
    assert found.text.endswith("but does not stand out from how the rest varies or drifts")


def test_a_planned_step_is_no_warm_up(tmp_path: Path) -> None:
    """Twice the time in the second half: that is what the load asks for."""
    make_run(tmp_path, jitter=0.05)
    edit_records(tmp_path, slower(lambda place: np.where(place < 0.5, 1.0, 2.0)))
    assert not rules(tmp_path)["warmup_long_enough"].passed
    stages = [{"rate": 20, "duration": 30}, {"rate": 20, "duration": 30}]
    scenario = {"duration": 60.0, "arrivals": {"process": "stages", "stages": stages}}
    edit_manifest(tmp_path, scenario=scenario)
    found = rules(tmp_path)["warmup_long_enough"]
    assert found.checked and found.passed
    edit_manifest(
        tmp_path, scenario=scenario | {"arrivals": {"stages": [{"rate": 10, "to": 30, "duration": 60}]}}
    )
    assert not rules(tmp_path)["warmup_long_enough"].checked


def test_an_engine_that_is_slower_than_the_other_is_named(tmp_path: Path) -> None:
    make_run(tmp_path)
    assert not rules(tmp_path)["engines_alike"].checked
    path = tmp_path / "server_metrics.parquet"
    table = pq.read_table(path)
    chosen = table.filter(pc.starts_with(table["name"], "vllm:e2e_request_latency_seconds"))
    slower = pc.if_else(
        pc.ends_with(chosen["name"], "_sum"), pc.multiply(chosen["value"], 2), chosen["value"]
    )
    labels = pc.replace_substring_regex(chosen["labels"], r"^\{", '{"engine": "1", ').to_pylist()
    labels = [text.replace(", }", "}") for text in labels]
    other = chosen.set_column(2, chosen.schema.field(2), pa.array(labels)).set_column(
        3, chosen.schema.field(3), slower
    )
    pq.write_table(pa.concat_tables([table, other.cast(table.schema)]), path)
    rule = rules(tmp_path)["engines_alike"]
    assert (
        not rule.passed
        and rule.figure == pytest.approx(2)
        and rule.text.startswith("of 2 engines engine 1 took")
    )


def test_the_worst_verdict_wins() -> None:
    def rule(kind: Verdict, passed: bool) -> Rule:
        return Rule("r", kind, passed, 1.0, 0.0, "", "", "")

    kinds = list(Verdict)[1:]
    assert verdict([rule(kind, True) for kind in kinds]) is Verdict.VALID
    for number, kind in enumerate(kinds):
        assert verdict([rule(each, False) for each in kinds[: number + 1]]) is kind
    assert [kind.exit_code for kind in Verdict] == [0, 6, 3, 4, 8, 5]


def test_every_rule_says_what_to_do(tmp_path: Path) -> None:
    make_run(tmp_path, slots=7, dispatch_delay=0.01, failed_share=0.03, lanes=3, lost_lane=1)
    for rule in rules(tmp_path).values():
        assert rule.text and (rule.passed or (rule.advice and rule.bound is not None))
    json.dumps([rule.figure for rule in rules(tmp_path).values()])


@pytest.mark.parametrize(
    ("process", "said"),
    [
        ("poisson", r"run longer \(--duration \d+\), or at a higher rate"),
        ("closed-loop", r"run longer \(--duration \d+\)"),
        ("trace", r"replay a longer trace \(of \d+ s\)"),
    ],
)
def test_more_requests_are_asked_for_as_the_load_can_give_them(
    tmp_path: Path, process: str, said: str
) -> None:
    make_run(tmp_path, duration=15.0)
    scenario = json.loads((tmp_path / "manifest.json").read_text())["scenario"]
    edit_manifest(tmp_path, scenario=scenario | {"arrivals": {"process": process}})
    assert re.fullmatch(said, rules(tmp_path)["enough_requests"].advice)


def test_where_nothing_completed_the_errors_come_first(tmp_path: Path) -> None:
    make_run(tmp_path, failed_share=1.0)
    assert rules(tmp_path)["enough_requests"].advice.startswith("see the errors")


def test_a_run_without_records(tmp_path: Path) -> None:
    make_run(tmp_path, duration=2)
    pq.write_table(pq.read_table(tmp_path / "requests.parquet")[:0], tmp_path / "requests.parquet")
    assert {"accounting", "enough_requests", "failed_share"} <= failed(tmp_path)


def test_later_turns_do_not_stand_in_for_scheduled_arrivals(tmp_path: Path) -> None:
    make_run(tmp_path)
    count = pq.read_metadata(tmp_path / "requests.parquet").num_rows
    turns = pa.array([int(k % 3 == 2) for k in range(count)], pa.int16())
    change_column(tmp_path, "turn", lambda _: turns)
    begun = turns.to_pylist().count(0)
    edit_manifest(tmp_path, scheduled=begun)
    assert rules(tmp_path)["accounting"].passed
    edit_manifest(tmp_path, scheduled=begun + 7)
    found = rules(tmp_path)["accounting"]
    assert (found.passed, found.figure) == (False, 7)
    assert f"({begun} of {begun + 7} scheduled)" in found.text


@pytest.mark.parametrize(
    ("rule", "silent"),
    [("clocks", {"clock_rtt_s": None}), ("loop_stall_p99", {"stall_p99_ms": None})],
)
def test_a_lane_that_lived_and_says_nothing_is_not_passed_over(
    tmp_path: Path, rule: str, silent: dict[str, None]
) -> None:
    make_run(tmp_path, lanes=3)
    lanes = json.loads((tmp_path / "manifest.json").read_text(encoding="utf-8"))["lanes"]
    lanes[1] |= silent
    write_lanes(tmp_path, lanes)
    assert not rules(tmp_path)[rule].passed and "worker 1" in rules(tmp_path)[rule].text
    lanes[1]["lost"] = True
    write_lanes(tmp_path, lanes)
    assert rules(tmp_path)[rule].passed
    edit_manifest(tmp_path, lanes=silent)
    assert not rules(tmp_path)[rule].checked


def write_lanes(folder: Path, lanes: list[dict[str, Any]]) -> None:
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8")) | {"lanes": lanes}
    path.write_text(json.dumps(manifest), encoding="utf-8")


def test_a_cache_before_the_metrics_is_not_taken_for_a_stranger(tmp_path: Path) -> None:
    make_run(tmp_path)
    scale_counter(tmp_path, "vllm:generation_tokens_total", 0.0)
    assert "server_output_tokens" in failed(tmp_path)
    path = tmp_path / "server_metrics.parquet"
    table = pq.read_table(path)
    cached = pa.table([[1.0], ["scrape:age_seconds"], ["{}"], [87.0]], schema=table.schema)
    pq.write_table(pa.concat_tables([table, cached]), path)
    rule = rules(tmp_path)["server_output_tokens"]
    assert not rule.checked and rule.text.startswith("a cache answered for /metrics (up to 87 s old)")


@pytest.mark.parametrize(("after", "told"), [(60.1, True), (61.0, False)])
def test_answers_that_break_off_after_a_round_time_are_a_gateway_s(
    after: float, told: bool, tmp_path: Path
) -> None:
    make_run(tmp_path, broken_share=0.05, drain=90.0)
    status = pq.read_table(tmp_path / "requests.parquet")["status"]
    cut = pc.equal(status, "failed")
    sent = pq.read_table(tmp_path / "requests.parquet")["sent"]
    change_column(tmp_path, "http_status", lambda old: pc.if_else(cut, pa.scalar(200, pa.int16()), old))
    change_column(tmp_path, "end", lambda old: pc.if_else(cut, pc.add(sent, after), old))
    rule = rules(tmp_path)["gateway_timeout"]
    assert rule.passed is not told
    token = pq.read_table(tmp_path / "requests.parquet")["last_token"]
    change_column(tmp_path, "end", lambda old: pc.if_else(cut, pc.add(pc.coalesce(token, sent), after), old))
    assert rules(tmp_path)["gateway_timeout"].passed is not told, "counted from the last token on"
    assert not told or ("after 60 s" in rule.text and "proxy_read_timeout" in rule.advice)


@pytest.mark.parametrize(
    ("error", "status", "blamed"),
    [
        ("HTTP 504: 504 Gateway Time-out nginx/1.22.1", 504, "refused_share"),
        (
            "HTTP 503: 503 Service Unavailable No server is available to handle this request.",
            503,
            "failed_share",
        ),
    ],
)
def test_a_gateways_own_words_are_understood(error: str, status: int, blamed: str, tmp_path: Path) -> None:
    make_run(tmp_path, failed_share=0.1)
    bad = pc.equal(pq.read_table(tmp_path / "requests.parquet")["status"], "failed")
    change_column(tmp_path, "http_status", lambda old: pc.if_else(bad, pa.scalar(status, pa.int16()), old))
    change_column(tmp_path, "error", lambda old: pc.if_else(bad, error, old))
    assert failed(tmp_path) & {"refused_share", "failed_share"} == {blamed}


def test_a_server_that_stood_still_was_not_warming_up(tmp_path: Path) -> None:
    """Whoever streamed then is slow in all, so the beginning stands out; but it is no beginning."""
    make_run(tmp_path, rate=60, duration=20, warmup=0, output=150, tpot=0.02)

    def held(times: float | None) -> float | None:
        return times if times is None or times < 6.0 else times + 4.0

    for name in ("first_token", "last_token", "end"):
        change_column(tmp_path, name, lambda old: pa.array([held(each) for each in old.to_pylist()]))
    lists = [
        [held(each) for each in times]
        for times in pq.read_table(tmp_path / "requests.parquet")["chunk_times"].to_pylist()
    ]
    change_column(tmp_path, "chunk_times", lambda old: pa.array(lists, old.type))
    rule = rules(tmp_path)["warmup_long_enough"]
    assert rule.passed and not rule.checked and "no token came to anyone from 6 to 10 s" in rule.text, rule
