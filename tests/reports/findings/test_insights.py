"""The texts: they say what the figures say, and only that."""

import dataclasses
from typing import Any

import pytest

from bench.synthetic import Shape, make_run
from reports.commands.assembly import assemble
from reports.document.decision import Recommendation
from reports.document.lookup import Facts
from reports.document.metric import Change
from reports.document.run import ServerSide, Stall
from reports.findings import insights, make_command, recommend
from reports.runs.runs import load_run

SHAPE = Shape(rate=30, duration=20, warmup=2, drain=10, output=10, ttft=0.04, tpot=0.01)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Facts:
    """Facts of two equal variants; tests replace what they are about."""
    folder = tmp_path_factory.mktemp("runs")
    for number, name in enumerate(("baseline", "optimized")):
        make_run(folder / name, SHAPE, variant=name, noise_seed=number)
    runs = [load_run(folder / name) for name in ("baseline", "optimized")]
    found = assemble(runs, baseline="baseline", minimum_effect=0.03, name="n", command="c")
    metrics = {metric.name: metric for metric in found.metrics}
    return Facts("baseline", 0.03, metrics, found.variants, found.runs, found.slo)


def marked(facts: Facts, verdicts: dict[str, str] | None = None, **marks: str) -> Facts:
    """The facts with other marks (by metric) and verdicts (by variant)."""
    metrics = dict(facts.metrics)
    for name, mark in marks.items():
        change = (
            metrics[name].changes[0].model_copy(update={"mark": mark, "display": "+50.0 %", "change": 0.5})
        )
        metrics[name] = metrics[name].model_copy(update={"changes": [change]})
    runs = [
        run.model_copy(update={"verdict": (verdicts or {}).get(run.variant, "VALID")}) for run in facts.runs
    ]
    return dataclasses.replace(facts, metrics=metrics, runs=runs)


def served(facts: Facts, baseline: dict[str, float], optimized: dict[str, float]) -> Facts:
    sides = {"baseline": ServerSide(**baseline), "optimized": ServerSide(**optimized)}
    runs = [run.model_copy(update={"server": sides[run.variant]}) for run in facts.runs]
    return dataclasses.replace(facts, runs=runs)


def commanded(facts: Facts, line: str) -> Facts:
    variants = [variant.model_copy(update={"command_line": line}) for variant in facts.variants]
    return dataclasses.replace(facts, variants=variants)


def commands(facts: Facts) -> list[str | None]:
    return [each.command for each in recommend.recommendations(facts)]


def test_why_ttft_names_the_largest_part(plain: Facts) -> None:
    before = {
        "queue_mean": 0.01,
        "prefill_mean": 0.03,
        "dispatch_delay_mean": 0.001,
        "running_mean": 18.0,
        "waiting_mean": 0.0,
    }
    after = {
        "queue_mean": 5.01,
        "prefill_mean": 0.02,
        "dispatch_delay_mean": 0.001,
        "running_mean": 7.9,
        "waiting_mean": 40.0,
    }
    found = insights.why_ttft(marked(served(plain, before, after), ttft_p50="worse"), "optimized")
    assert found is not None
    assert "queue 10.0 to 5,010 ms" in found.text
    assert "The queue makes up 100 % of the rise of 4,990 ms" in found.text
    assert "7.9 and 40.0 with optimized" in found.text
    assert found.figures["queue_mean_change"] == pytest.approx(5.0)


def test_parts_of_other_requests_than_the_mean_are_not_known(plain: Facts) -> None:
    """Row 11 of issue 13: a mean over 326 requests, and parts that hold the 198 finished ones only."""
    before = {"queue_mean": 0.01, "prefill_mean": 0.03, "parts_count": 600.0, "first_tokens": 600}
    after = {"queue_mean": 0.87, "prefill_mean": 0.04, "parts_count": 198.0, "first_tokens": 326}
    found = insights.why_ttft(marked(served(plain, before, after), ttft_p50="worse"), "optimized")
    assert found is not None
    assert "The parts of TTFT are not known" in found.text and "198 requests" in found.text
    assert "326 got a first token" in found.text and "makes up" not in found.text
    same = after | {"parts_count": 326.0}
    found = insights.why_ttft(marked(served(plain, before, same), ttft_p50="worse"), "optimized")
    assert found is not None and "Queue 10.0 to 870.0 ms" in found.text


def test_why_ttft_explains_only_a_change_that_is_claimed(plain: Facts) -> None:
    before, after = {"queue_mean": 0.01, "prefill_mean": 0.03}, {"queue_mean": 0.012, "prefill_mean": 0.03}
    quiet = "no difference shown"
    facts = marked(
        served(plain, before, after),
        ttft_p50=quiet,
        ttft_p99=quiet,
        scheduled_ttft_p50=quiet,
        scheduled_ttft_p99=quiet,
    )
    assert insights.why_ttft(facts, "optimized") is None


def test_why_ttft_blames_no_part_where_the_servers_own_are_unknown(plain: Facts) -> None:
    sides = ({"network_mean": 0.5, "running_mean": 8.0, "waiting_mean": wait} for wait in (1.0, 300.0))
    facts = marked(
        served(plain, *(side | {"dispatch_delay_mean": 0.001} for side in sides)), ttft_p50="worse"
    )
    found = insights.why_ttft(facts, "optimized")
    assert found is not None and "makes up" not in found.text and "300.0 with optimized" in found.text


def test_a_stall_is_named_with_the_clients_own(plain: Facts) -> None:
    stall = Stall(start=22.0, end=26.0, streaming=8)
    runs = [
        run.model_copy(update={"stalls": [stall] if run.variant == "optimized" else []}) for run in plain.runs
    ]
    found = [each.text for each in insights.insights(dataclasses.replace(plain, runs=runs))]
    (text,) = [each for each in found if "no token came" in each]
    assert "for at least 4 s (22 to 26 s) no token came, though 8 answers" in text
    assert "the loop of" in text and "stalled" in text and "repeats" in text


def test_why_ttft_needs_the_servers_figures(plain: Facts) -> None:
    assert insights.why_ttft(served(plain, {}, {}), "optimized") is None


def test_why_tpot_blames_the_batch_only_where_it_fits(plain: Facts) -> None:
    before = {"running_mean": 18.0, "running_max": 30.0, "bytes_per_step": 2e8, "waiting_mean": 0.0}
    after = {"running_mean": 7.0, "running_max": 8.0, "bytes_per_step": 1e8, "waiting_mean": 40.0}
    facts = marked(served(plain, before, after), tpot_p50="better")
    found = insights.why_tpot(served(facts, before, after), "optimized")
    assert found is not None
    assert "moved per step 200 MB to 100 MB" in found.text and "batch is held smaller" in found.text
    quicker = insights.why_tpot(served(facts, before, after | {"waiting_mean": 0.0}), "optimized")
    assert quicker is not None and "does not explain it" in quicker.text, "a faster step empties the batch"
    found = insights.why_tpot(served(facts, after, before), "optimized")
    assert found is not None and "does not explain it" in found.text


def test_a_smaller_batch_that_moves_the_same_bytes_is_named(plain: Facts) -> None:
    """A 7B model on an H100: 14.8 GB a step at a batch of 34, 14.3 GB at 8."""
    before = {"running_mean": 34.0, "bytes_per_step": 14.8e9, "waiting_mean": 0.0}
    after = {"running_mean": 7.9, "bytes_per_step": 14.3e9, "waiting_mean": 537.0}
    facts = marked(served(plain, before, after), tpot_p50="not comparable", tpot_p99="not comparable")
    found = insights.why_tpot(served(facts, before, after), "optimized")
    assert found is not None and "moved per step 14.8 GB to 14.3 GB" in found.text
    assert "fewer requests share the same cost" in found.text
    halved = insights.why_tpot(served(facts, before, after | {"bytes_per_step": 7e9}), "optimized")
    assert halved is None, "no change is claimed, and there is none to explain"


def test_a_tpot_that_is_not_known_is_excluded(plain: Facts) -> None:
    row = plain.metrics["tpot_p50"]
    unknown = [row.readings[0], row.readings[1].model_copy(update={"value": None, "display": "n/a"})]
    metrics = dict(plain.metrics) | {"tpot_p50": row.model_copy(update={"readings": unknown})}
    facts = served(dataclasses.replace(plain, metrics=metrics), {"running_mean": 34.0}, {"running_mean": 7.9})
    found = insights.why_tpot(marked(facts, tpot_p99="better"), "optimized")
    assert found is not None and "n/a" not in found.text and "34.0 to 7.9" in found.text


def test_a_full_batch_with_a_queue_asks_for_a_sweep(plain: Facts) -> None:
    facts = commanded(served(plain, {"running_max": 8.0, "waiting_mean": 20.0}, {}), "vllm --max-num-seqs 8")
    assert 'make sweep VARIANTS="baseline batch-16 batch-32"' in commands(facts)
    facts = commanded(served(plain, {"running_max": 16.0, "waiting_mean": 9.0}, {}), "vllm --max-num-seqs 16")
    assert 'make sweep VARIANTS="baseline batch-32"' in commands(facts)
    facts = commanded(served(plain, {"running_max": 32.0, "waiting_mean": 9.0}, {}), "vllm --max-num-seqs 32")
    assert not any("batch-" in (command or "") for command in commands(facts)), "none is larger"
    facts = commanded(served(plain, {"running_max": 8.0, "waiting_mean": 20.0}, {}), "vllm --max-num-seqs 64")
    assert 'make sweep VARIANTS="baseline batch-16 batch-32"' not in commands(facts)
    full = served(plain, {}, {"running_max": 8.0, "waiting_mean": 20.0})
    lines = {"baseline": "vllm", "optimized": "vllm --max-num-seqs 8"}
    variants = [each.model_copy(update={"command_line": lines[each.name]}) for each in full.variants]
    facts = dataclasses.replace(full, variants=variants)
    assert not any("batch-" in (command or "") for command in commands(facts)), (
        "baseline has no limit, and holds"
    )


def test_a_queue_that_breaks_the_slo_asks_for_a_scenario_with_priorities(plain: Facts) -> None:
    """The variant changes nothing where no request has a priority."""
    share = plain.metrics["slo_attainment"]
    few = [each.model_copy(update={"value": 0.2}) for each in share.readings]
    metrics = dict(plain.metrics) | {"slo_attainment": share.model_copy(update={"readings": few})}
    facts = served(dataclasses.replace(plain, metrics=metrics), {}, {"queue_mean": 46.9})
    advice = 'make sweep VARIANTS="baseline optimized priority" SCENARIO=chat-priority'
    assert advice in commands(facts)
    content = dataclasses.replace(facts, slo=dict(facts.slo or {}) | {"share": 0.2})
    assert advice not in commands(content), "a fifth of the arrivals is all that the SLO asks"


def test_eager_variants_ask_for_compiled_ones(plain: Facts) -> None:
    assert 'make sweep VARIANTS="baseline compiled"' in commands(commanded(plain, "vllm --enforce-eager"))
    assert 'make sweep VARIANTS="baseline compiled"' not in commands(commanded(plain, "vllm"))


def test_saturated_ones_ask_for_their_capacity_and_not_for_repeats(plain: Facts) -> None:
    found = commands(marked(plain, {"optimized": "SATURATED"}))
    assert "make capacity VARIANT=optimized" in found
    assert not any("REPEATS" in (command or "") for command in found)


def test_a_run_to_make_again_comes_with_its_setting(plain: Facts) -> None:
    rule = (
        plain.runs[0]
        .rules[0]
        .model_copy(update={"verdict": "INVALID", "passed": False, "advice": "warm up longer: --warmup 14"})
    )
    runs = [plain.runs[0].model_copy(update={"rules": [rule]}), *plain.runs[1:]]
    advised = recommend.recommendations(dataclasses.replace(plain, runs=runs))
    assert [each.command for each in advised] == ["make baseline optimized WARMUP=14"], "both alike"
    assert advised[0].text == "Measure baseline and optimized again, with WARMUP=14."


def test_a_disturbed_run_is_made_again_with_more_workers(plain: Facts) -> None:
    told = {
        "verdict": "CLIENT-LIMITED",
        "passed": False,
        "advice": "spread the load: WORKERS=n, or elsewhere",
    }
    rule = plain.runs[0].rules[0].model_copy(update=told)
    runs = [plain.runs[0].model_copy(update={"rules": [rule]}), *plain.runs[1:]]
    [advised] = recommend.recommendations(dataclasses.replace(plain, runs=runs))
    assert advised.command == "make baseline optimized WORKERS=2" and "WORKERS=n" not in advised.text
    alone = rule.model_copy(update={"advice": "have the machine to yourself: it was shared"})
    runs = [run.model_copy(update={"rules": [alone]}) for run in plain.runs]
    [advised] = recommend.recommendations(dataclasses.replace(plain, runs=runs))
    assert advised.command == "make baseline optimized", "one step for both"
    assert advised.text == "Measure baseline and optimized again. Have the machine to yourself."


def test_wide_intervals_ask_for_repeats(plain: Facts) -> None:
    wide: dict[str, Any] = {"low": -0.1, "high": 0.1, "mark": "no difference shown"}
    row = plain.metrics["ttft_p50"]
    change = Change.model_validate(row.changes[0].model_dump() | wide)
    metrics = dict(plain.metrics) | {"ttft_p50": row.model_copy(update={"changes": [change]})}
    facts = dataclasses.replace(plain, metrics=metrics)
    assert "make compare REPEATS=3" in commands(facts)
    renamed = [facts.variants[0], facts.variants[1].model_copy(update={"name": "compiled"})]
    metrics = {
        name: each.model_copy(
            update={
                part: [
                    one.model_copy(update={"variant": one.variant.replace("optimized", "compiled")})
                    for one in getattr(each, part)
                ]
                for part in ("changes", "readings")
            }
        )
        for name, each in metrics.items()
    }
    facts = dataclasses.replace(facts, variants=renamed, metrics=metrics)
    assert 'make compare REPEATS=3 VARIANTS="baseline compiled"' in commands(facts)


def test_nothing_to_do_where_nothing_is_wrong(plain: Facts) -> None:
    assert not [command for command in commands(plain) if command and "capacity" in command]


def test_advice_keeps_the_runs_settings() -> None:
    given = [
        Recommendation(text="a", reason="b", command="make capacity"),
        Recommendation(text="a", reason="b", command="make sweep SCENARIO=chat-priority"),
        Recommendation(text="a", reason="b", command=None),
        Recommendation(text="a", reason="b", command="make baseline DURATION=120"),
    ]

    def commands(settings: list[str], hosts: list[str]) -> list[str | None]:
        runs = make_command.Conditions(settings, hosts)
        return [each.command for each in make_command.under_same_conditions(given, runs)]

    assert commands([], []) == [each.command for each in given]
    assert commands(["SCENARIO=burst", "RPS=4.6", "DURATION=4"], []) == [
        "make capacity SCENARIO=burst RPS=4.6",  # its steps are long enough by themselves
        "make sweep SCENARIO=chat-priority",
        None,
        "make baseline DURATION=120 SCENARIO=burst RPS=4.6",
    ]
    assert commands(["RPS=4.6"], ["http://gpu:8000"]) == [
        "make capacity RPS=4.6 HOST=http://gpu:8000",
        None,
        None,
        "make baseline DURATION=120 RPS=4.6 HOST=http://gpu:8000",
    ]
    assert commands([], ["http://gpu:8000", "http://gpu:8001"]) == [None] * 4


@pytest.mark.parametrize(
    ("command", "added"),
    [
        ("make baseline optimized RPS=6.8", " DURATION=90 SEED=2"),
        ("make baseline optimized RPS=20", " DURATION=44 SEED=2"),  # as the runs had it: 880 requests
        ("make compare REPEATS=3", " DURATION=60 SEED=2"),
        ("make baseline DURATION=5", " SEED=2"),
        ("make capacity", " SEED=2"),
        ("make sweep SCENARIO=chat-priority", ""),
    ],
)
def test_every_command_gives_the_requests_that_a_p99_needs(command: str, added: str) -> None:
    runs = make_command.Conditions(["DURATION=44", "SEED=2"], rate=10.0, window=44.0)
    each = Recommendation(text="a", reason="b.", command=command)
    [found] = make_command.under_same_conditions([each], runs)
    assert found.command == command + added
    assert ("459 requests" in found.reason) is ("DURATION=90" in added or "DURATION=60" in added)


def test_at_one_address_the_second_server_is_started_in_between() -> None:
    each = Recommendation(text="Compare.", reason="b", command="make baseline optimized RPS=7")
    [found] = make_command.under_same_conditions([each], make_command.Conditions(hosts=["http://gpu:8000"]))
    assert (found.command or "").splitlines() == [
        "make baseline RPS=7 HOST=http://gpu:8000",
        "make optimized RPS=7 HOST=http://gpu:8000",
    ]
    assert "Restart the server as optimized" in found.text
