"""Every rule fails on the fault it is for, and passes on a healthy run."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from reports.runs import load_run
from reports.validity import Rule, Verdict, check, verdict
from tests.make_runs import edit_manifest, make_run


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
    assert all(rule.checked for rule in found.values())
    assert verdict(list(found.values())) is Verdict.VALID


SHAPES: dict[str, tuple[dict[str, Any], str]] = {
    "late": ({"send_lag": 0.004}, "send_lag_p99"),
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
    assert "late_share" in failed(tmp_path) and "send_lag_p99" not in failed(tmp_path)


def test_requests_that_leave_after_the_window_are_found(tmp_path: Path) -> None:
    make_run(tmp_path)
    change_column(tmp_path, "sent", lambda c: pc.if_else(pc.greater(c, 62.0), 80.0, c))
    assert "offered_rate" in failed(tmp_path)


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
        and "+2.00 ms network and client" in found.text
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
        "server_output_tokens",
        "server_prompt_tokens",
        "server_ttft",
        "server_latency",
        "prefix_cache_hits",
    }
    assert skipped == names and failed(tmp_path) == set()


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


def test_the_worst_verdict_wins() -> None:
    def rule(kind: Verdict, passed: bool) -> Rule:
        return Rule("r", kind, passed, 1.0, 0.0, "", "", "")

    kinds = [Verdict.SATURATED, Verdict.CLIENT_LIMITED, Verdict.INVALID]
    assert verdict([rule(kind, True) for kind in kinds]) is Verdict.VALID
    for number, kind in enumerate(kinds):
        assert verdict([rule(each, False) for each in kinds[: number + 1]]) is kind
    assert [kind.exit_code for kind in Verdict] == [0, 3, 4, 5]


def test_every_rule_says_what_to_do(tmp_path: Path) -> None:
    make_run(tmp_path, slots=7, send_lag=0.01, failed_share=0.03, lanes=3, lost_lane=1)
    for rule in rules(tmp_path).values():
        assert rule.text and (rule.passed or (rule.advice and rule.bound is not None))
    json.dumps([rule.figure for rule in rules(tmp_path).values()])


def test_a_run_without_records(tmp_path: Path) -> None:
    make_run(tmp_path, duration=2)
    pq.write_table(pq.read_table(tmp_path / "requests.parquet")[:0], tmp_path / "requests.parquet")
    assert {"accounting", "enough_requests", "failed_share"} <= failed(tmp_path)
