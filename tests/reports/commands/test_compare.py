"""`tokenswarm report`, whole: from run folders to comparison.json."""

import io
import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from bench.synthetic import Shape, edit_manifest, make_run
from common.usage import UsageError
from reports.commands.assembly import assemble
from reports.commands.compare import show
from reports.comparison.survivors_only import completed_only
from reports.document import schema
from reports.document.decision import ParetoPoint
from reports.document.schema import Comparison
from reports.findings.recommend import best, choice
from reports.pages import first_screen, sections
from reports.runs.manifest import read_manifest
from reports.runs.runs import load_run
from reports.runs.selection import named_runs, newest_runs
from tokenswarm.__main__ import run as main

SHAPE = Shape(
    rate=30, duration=20, warmup=2, drain=10, output=20, ttft=0.04, tpot=0.01, jitter=0.03, slots=30
)


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TOKENSWARM_RESULTS", str(tmp_path))
    return tmp_path


def add(results: Path, name: str, **changes: Any) -> Path:
    folder = results / name
    make_run(folder, SHAPE, variant=name.split("-", 1)[1], **changes)
    return folder


def two(results: Path, **changes: Any) -> list[Path]:
    return [
        add(results, "20260101T000000Z-baseline"),
        add(results, "20260101T000100Z-optimized", **{"noise_seed": 2, "tpot": 0.005} | changes),
    ]


def built(folders: list[Path], minimum_effect: float = 0.03, **more: Any) -> Comparison:
    runs = [load_run(folder) for folder in folders]
    return assemble(
        runs, baseline=runs[0].manifest.variant, minimum_effect=minimum_effect, name="n", command="c", **more
    )


def marks(found: Comparison) -> dict[str, str]:
    return {metric.name: metric.changes[0].mark for metric in found.metrics}


def test_a_report_is_written_and_fits_the_schema(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import jsonschema  # type: ignore[import-untyped]

    two(results)
    assert main(["report"]) == 0
    out = capsys.readouterr().out
    assert "TPOT p50" in out and "better" in out
    latest = results / "latest"
    assert latest.is_symlink() and not Path(latest.readlink()).is_absolute()
    written = json.loads((latest / "comparison.json").read_text(encoding="utf-8"))
    jsonschema.validate(written, json.loads(schema.schema()))
    assert (latest / "README.md").is_file() and (latest / "report.html").is_file()
    assert written["command"].startswith("tokenswarm report 20260101T000000Z-baseline 20260101")
    assert [metric["name"] for metric in written["metrics"]][:3] == [
        "output_token_throughput",
        "offered_rate",
        "completed_rate",
    ]


def test_named_runs_need_no_results_folder(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = two(results)
    monkeypatch.setenv("TOKENSWARM_RESULTS", str(results / "not" / "there"))
    assert main(["report", *map(str, folders)]) == 0, capsys.readouterr().err
    assert (results / "not" / "there" / "latest" / "report.html").is_file()


def test_the_same_runs_give_the_same_report(results: Path) -> None:
    folders = two(results)
    assert built(folders) == built(folders)


def test_marks_of_a_faster_variant(results: Path) -> None:
    found = built(two(results))
    said = marks(found)
    assert said["tpot_p50"] == said["tpot_p99"] == said["itl_p99"] == said["latency_p50"] == "better"
    assert said["ttft_p50"] == said["completed"] == said["offered_rate"] == "no difference shown"
    assert found.methods[0].kind == "paired blocks of time"
    [decision] = found.decisions
    assert (decision.kind, decision.preferred) == ("better", "optimized")
    assert decision.title.startswith("Use optimized at ") and "TPOT p50 −" in decision.title
    assert "Worse" not in decision.reason
    assert {insight.kind for insight in found.insights} >= {"win"}
    assert [point.pareto_optimal for point in found.pareto].count(True) >= 1


def test_who_beats_whom_needs_more_than_a_larger_figure(results: Path) -> None:
    """Two runs of one server differ a little; that beats nobody. One that falls behind is beaten."""
    folders = [
        add(results, "20260101T000000Z-baseline"),
        add(results, "20260101T000100Z-same", noise_seed=2),
        add(results, "20260101T000200Z-behind", slots=5),
    ]
    assert {point.variant: point.pareto_optimal for point in built(folders).pareto} == {
        "baseline": True,
        "same": True,
        "behind": False,
    }


def test_a_saturated_variant(results: Path) -> None:
    found = built(two(results, slots=5, tpot=0.01, drain=40))
    verdicts = {run.variant: run.verdict for run in found.runs}
    assert verdicts == {"baseline": "VALID", "optimized": "SATURATED"}
    ttft = next(metric for metric in found.metrics if metric.name == "ttft_p50").changes[0]
    assert ttft.mark == "worse" and "SATURATED" in (ttft.warning or "")
    [decision] = found.decisions
    assert (decision.kind, decision.preferred) == ("serves less", "baseline")
    assert decision.title.startswith("Do not use optimized at ") and "it serves " in decision.title
    served = decision.served[1].completed
    assert decision.compare_at is not None and served and 0.7 * served < decision.compare_at < served
    command = decision.next.command or ""
    assert command.startswith(f"make baseline RPS={decision.compare_at:g} ")
    assert found.recommendations[0] == decision.next == first_screen.describe(found).next, "one source"
    assert any(
        (each.command or "").startswith("make capacity VARIANT=optimized RPS=30 ")
        for each in found.recommendations
    )
    kinds = {insight.kind for insight in found.insights if insight.variant == "optimized"}
    assert {"trade-off", "warning"} <= kinds and "tpot" not in kinds, "of TPOT no change is claimed"
    warning = next(each.text for each in found.insights if each.kind == "warning")
    assert "in flight" in warning


def test_figures_of_completed_requests_only_leave_out_who_waited(results: Path) -> None:
    folder = add(results, "20260101T000000Z-baseline", slots=3, drain=3)
    lines = {line.metric: line for line in completed_only(load_run(folder))}
    latency, success = lines["latency_p99"], lines["success_share"]
    assert latency.completed_only is not None and latency.all_requests is None
    assert latency.all_requests_display.startswith(">")
    assert success.completed_only == 1.0 and success.all_requests is not None and success.all_requests < 0.9


def summary_of(found: Comparison) -> dict[str, str]:
    """The first table of the report."""
    table = sections.facts(found)
    return {name.text: cell.text for name, cell in table.rows}


def test_a_server_elsewhere_is_named_and_the_load_s_machine_is_not_its_hardware(results: Path) -> None:
    """A user of a remote H100 must not read the name of the load generator's processor as the hardware."""
    folder = add(results, "20260101T000000Z-baseline")
    edit_manifest(folder, target=None, host="http://me:word@gpu:8000", lanes={"beside_server": False})
    found = built([folder])
    shown = summary_of(found)
    assert first_screen.title(found) == "baseline: chat-medium on synthetic"
    assert shown["Server"] == "http://gpu:8000 (not launched by us; its hardware is not known)"
    assert shown["Load from"] == "synthetic, 2 cores" and "Hardware" not in shown
    assert found.roofline.missing and not found.roofline.forecasts
    edit_manifest(folder, model=None)
    assert first_screen.title(built([folder])) == "baseline: chat-medium on http://gpu:8000"


def test_a_running_server_beside_the_load_has_the_load_s_machine(results: Path) -> None:
    folders = two(results)
    shown = summary_of(built(folders))
    assert shown["Server"] == "http://127.0.0.1:8000 (not launched by us; target cpu-tiny)"
    assert shown["Hardware"].startswith("synthetic, 2 cores, which made the load too")
    assert "Load from" not in shown
    edit_manifest(folders[1], host="http://gpu:8000", lanes={"beside_server": False})
    shown = summary_of(built(folders))
    assert shown["Server"].startswith("http://127.0.0.1:8000 (baseline), http://gpu:8000 (optimized)")
    assert shown["Load from"] == "synthetic, 2 cores"


def test_the_load_s_machine_decides_only_where_the_server_is_on_it(results: Path) -> None:
    """The same server elsewhere may be loaded from another machine; one beside the load is then another's."""
    folders = two(results)
    for folder, cores in zip(folders, (2, 16), strict=True):
        edit_manifest(folder, host="http://gpu:8000", lanes={"beside_server": False})
        edit_manifest(folder, machine={"cpu": "x", "cores": cores})
    found = built(folders)
    (caution,) = [each for each in found.conditions if each.condition in ("CPU", "cores", "load from")]
    assert (caution.condition, caution.comparable) == ("load from", True)
    assert "not comparable" not in marks(found).values()
    for folder in folders:
        edit_manifest(folder, host="http://127.0.0.1:8000", lanes={"beside_server": True})
    found = built(folders)
    assert {each.condition: each.comparable for each in found.conditions} == {"cores": False}
    assert set(marks(found).values()) == {"not comparable"}


def test_an_invalid_run_is_not_compared(results: Path) -> None:
    folders = two(results)
    edit_manifest(folders[1], lanes={"batches_received": 3})
    found = built(folders)
    assert set(marks(found).values()) == {"not comparable"}
    assert "INVALID" in found.metrics[0].changes[0].reason
    [decision] = found.decisions
    assert (decision.kind, decision.preferred) == ("cannot tell", None)
    assert decision.title.startswith("No decision on optimized") and "batches" in (decision.disturbed or "")


def repeats(results: Path, **shapes: Any) -> list[Path]:
    """Three runs of each variant; `shapes`: what is different of `one` to `three`, the baseline's."""
    folders = []
    for number, word in enumerate(("one", "two", "three")):
        at = f"20260101T00{number}000Z"
        folders.append(add(results, f"{at}-baseline", **{"noise_seed": 3 + number} | shapes.get(word, {})))
        folders.append(add(results, f"{at}-optimized", noise_seed=6 + number, tpot=0.005))
    return folders


LATE = {"dispatch_delay": 0.3}
BESIDE = {"others": ((10.0, 40.0, 0.3),)}  # another program takes a third of the cores for half of the run


def test_a_pair_of_which_others_disturbed_one_is_not_compared(results: Path) -> None:
    found = built(two(results, **BESIDE))
    assert set(marks(found).values()) == {"not comparable"}
    assert "is DISTURBED" in found.metrics[0].changes[0].reason


def test_a_disturbed_repeat_is_excluded_and_named(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = repeats(results, one=LATE)
    found = built(folders)
    [gone] = found.excluded
    assert (gone.run, gone.verdict, gone.repeat) == (folders[0].name, "CLIENT-LIMITED", 1)
    assert [run.run for run in found.runs if run.variant == "baseline"] == [folders[2].name, folders[4].name]
    assert found.methods[0].repeats == [2, 3] and marks(found)["tpot_p50"] == "better"
    without = built([folders[2], *folders[1:2], *folders[3:]])
    assert [metric.readings for metric in found.metrics] == [metric.readings for metric in without.metrics]
    assert marks(found) == marks(without)
    assert main(["report", *map(str, folders), "--name", "six"]) == 0
    assert f"{folders[0].name} CLIENT-LIMITED, excluded: " in capsys.readouterr().out
    page = (results / "reports" / "six" / "README.md").read_text()
    assert "excluded, other repeats stand in" in page and f"Rules of the verdict: {folders[0].name}" in page


@pytest.mark.parametrize(
    ("shapes", "left"),
    [
        ({"one": LATE, "two": LATE}, 0),  # one sound repeat alone says nothing of how runs differ
        ({"one": {"failed_share": 0.1}}, 0),  # the server's doing
        ({"one": {"failed_share": 0.1} | LATE}, 0),
        ({"one": {"cold": 1.0, "cold_time": 4.0}}, 0),  # the server was slow at first
        ({"three": LATE}, 1),
        ({"three": LATE | BESIDE}, 1),
        ({"two": BESIDE}, 1),
        ({"one": BESIDE, "two": BESIDE}, 0),
    ],
)
def test_what_is_no_mere_disturbance_is_not_excluded(
    results: Path, shapes: dict[str, dict[str, float]], left: int
) -> None:
    found = built(repeats(results, **shapes))
    assert len(found.excluded) == left
    assert ("not comparable" in marks(found).values()) is (left == 0)


def test_other_conditions_are_named(results: Path) -> None:
    folders = two(results)
    edit_manifest(folders[1], scenario_hash="ffffffffffff", seed=9)
    found = built(folders)
    assert set(marks(found).values()) == {"not comparable"}
    assert "scenario hash ffffffffffff instead of" in found.metrics[0].changes[0].reason
    named = {each.condition: each.comparable for each in found.conditions}
    assert named == {"scenario hash": False, "seed": True}
    assert found.methods[0].kind == "unpaired blocks of time"


def test_other_lengths_and_another_slo_are_named(results: Path) -> None:
    folders = two(results)
    own = read_manifest(folders[1]).scenario
    slo, lengths = (
        {"ttft": 0.5, "tpot": 0.05, "share": 0.9},
        {"distribution": "lognormal", "mean": 550.0, "sd": 200.0},
    )
    changed = own | {
        "slo": slo,
        "prompt_tokens": lengths,
        "output_tokens": {"distribution": "constant", "mean": 64.0},
    }
    edit_manifest(folders[1], scenario_hash="ffffffffffff", scenario=changed)
    found = built(folders)
    assert set(marks(found).values()) == {"not comparable"}
    reason = found.metrics[0].changes[0].reason
    assert "input tokens lognormal (mean 550, sd 200) instead of" in reason
    assert "output tokens 64 instead of" in reason
    assert "SLO TTFT 500 ms, TPOT 50 ms, for 90 % of arrivals instead of" in reason


def test_repeats_give_the_interval(results: Path) -> None:
    folders = [
        add(results, f"20260101T00{repeat}{side}00Z-{name}", noise_seed=repeat, tpot=0.01 - 0.004 * side)
        for repeat in range(3)
        for side, name in enumerate(("baseline", "optimized"))
    ]
    found = built(folders)
    assert (found.methods[0].kind, found.methods[0].repeats) == ("runs", [3, 3])
    assert [len(reading.by_run) for reading in found.metrics[0].readings] == [3, 3]
    assert marks(found)["tpot_p50"] == "better"


def test_repeats_with_schedules_of_their_own_are_paired(results: Path) -> None:
    folders = [
        add(results, f"20260101T00{repeat}{side}00Z-{name}", seed=repeat, noise_seed=10 * repeat + side)
        for repeat in range(2)
        for side, name in enumerate(("baseline", "optimized"))
    ]
    assert built(folders).methods[0].kind == "runs in pairs"


def test_three_variants_and_one_that_was_refused(results: Path) -> None:
    two(results)
    add(results, "20260101T000200Z-batch-16", noise_seed=3)
    (results / "20260101T000300Z-compiled").mkdir()
    refusal = {"variant": "compiled", "target": "cpu-tiny", "reason": "unrecognized arguments: --foo"}
    (results / "20260101T000300Z-compiled" / "not_applied.json").write_text(json.dumps(refusal))
    assert main(["report", "--variants", "optimized,batch-16,compiled", "--name", "sweep"]) == 0
    found = Comparison.model_validate_json((results / "latest" / "comparison.json").read_text())
    assert [variant.name for variant in found.variants] == ["baseline", "optimized", "batch-16", "compiled"]
    assert (found.variants[3].applied, found.variants[3].result) == (
        False,
        "N/A: unrecognized arguments: --foo",
    )
    assert len(found.metrics[0].changes) == 2
    assert "20260101T000300Z-compiled" in found.command


def test_one_run_alone_has_no_changes(results: Path) -> None:
    found = built([add(results, "20260101T000000Z-baseline")])
    assert all(metric.changes == [] for metric in found.metrics)
    assert found.decisions == [] and found.methods == []


def test_earlier_runs_are_listed_with_what_differs(results: Path) -> None:
    two(results)
    old = add(results, "20250101T000000Z-baseline")
    edit_manifest(old, seed=5, started_at="2025-01-01T00:00:00+00:00")
    assert main(["judge", str(old), "--quiet"]) == 0
    assert main(["report"]) == 0
    found = Comparison.model_validate_json((results / "latest" / "comparison.json").read_text())
    [earlier] = found.earlier
    assert (earlier.run, earlier.comparable, earlier.differences) == (
        old.name,
        False,
        ["seed 5 instead of 1"],
    )
    assert earlier.metrics["tpot_p50"] == pytest.approx(0.01, rel=0.1)


def test_the_newest_runs_of_one_scenario_are_chosen(results: Path) -> None:
    two(results)
    later = add(results, "20260102T000000Z-baseline")
    edit_manifest(later, scenario_hash="ffffffffffff", started_at="2026-01-02T00:00:00+00:00")
    broken = results / "20260103T000000Z-optimized"
    broken.mkdir()
    (broken / "manifest.json").write_text("{")
    (broken / "requests.parquet").write_text("")
    chosen = newest_runs("baseline", ["optimized"], results)
    assert [folder.name for folder in chosen.folders] == [
        "20260101T000000Z-baseline",
        "20260101T000100Z-optimized",
    ]


def test_of_the_baseline_s_runs_the_newest_of_the_same_seed_is_chosen(results: Path) -> None:
    two(results)
    later = add(results, "20260102T000000Z-baseline", seed=2)
    edit_manifest(later, started_at="2026-01-02T00:00:00+00:00")
    assert newest_runs("baseline", ["optimized"], results).folders[0].name == "20260101T000000Z-baseline"
    edit_manifest(results / "20260101T000100Z-optimized", seed=3)
    assert newest_runs("baseline", ["optimized"], results).folders[0] == later


def test_the_head_of_a_report_names_all_seeds_and_the_lengths_that_came(results: Path) -> None:
    folders = two(results, seed=7, arrivals="constant")
    head = "\n".join(str(block) for block in [sections.facts(built(folders))])
    assert "seeds 1 and 7" in head
    assert "in 50, out 20 on average of the completed requests" in head


def test_a_variant_whose_queue_grew_does_not_hold_the_slo(results: Path) -> None:
    """Its share may be met for as long as the test ran, and it would be the one to take."""
    slo = {"ttft": 60.0, "tpot": 0.015, "share": 0.99}
    folders = [
        add(results, "1-baseline", slo=slo, tpot=0.02),
        add(results, "2-slow", slo=slo, noise_seed=2, tpot=0.02),
        add(results, "3-small", slo=slo, noise_seed=3, slots=6, drain=30),
    ]
    found = built(folders)
    assert found.runs[2].verdict == "SATURATED"
    assert found.pareto[2].slo_attainment == 1.0
    assert [point.meets_slo for point in found.pareto] == [False, False, False]
    assert found.title.startswith("Use none at ")


def test_a_percentile_of_too_few_is_marked_and_not_compared(results: Path) -> None:
    """A run of many answers of one token has enough requests for its TTFT, and not for its TPOT."""
    folders = two(results)
    for folder in folders:
        table = pq.read_table(folder / "requests.parquet")
        at = table.schema.get_field_index("output_tokens")
        tokens = [20 if k % 20 == 0 else 1 for k in range(len(table))]
        columns = table.set_column(at, table.schema.field(at), pa.array(tokens, pa.int32()))
        pq.write_table(columns, folder / "requests.parquet")
        (folder / "server_metrics.parquet").unlink()
    found = built(folders)
    tpot = next(metric for metric in found.metrics if metric.name == "tpot_p99")
    count = tpot.readings[0].count
    assert 20 < count < 50 and tpot.readings[0].display == "not given"
    assert marks(found)["tpot_p99"] == "not comparable" and "459 needed" in tpot.changes[0].reason
    assert (tpot.changes[0].change, tpot.changes[0].display) == (None, "n/a"), "nor is its change given"
    assert marks(found)["tpot_p50"] == "better", "a median needs 7"
    enough = next(rule for rule in found.runs[0].rules if rule.rule == "enough_requests")
    assert enough.passed and f"the p99 of TPOT is of {count} only" in enough.text


def test_a_row_of_the_printed_table_is_one_line_at_80_columns(results: Path) -> None:
    found = built(two(results))
    printed = {}
    for width in (80, 120):
        page = io.StringIO()
        show(found, Console(width=width, file=page))
        printed[width] = page.getvalue()
        for metric in found.metrics:
            [row] = [line for line in page.getvalue().splitlines() if line.startswith(metric.label + "  ")]
            assert metric.readings[1].display in row and metric.changes[0].display in row
    heads = {width: text.split("Output token")[0] for width, text in printed.items()}
    assert "% interval" in heads[120] and "% interval" not in heads[80]


def test_if_both_says_what_is_missing(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    add(results, "20260101T000000Z-baseline")
    assert main(["report", "--if-both"]) == 0
    assert "make optimized" in capsys.readouterr().out
    assert not (results / "latest").exists()
    with pytest.raises(UsageError, match="make optimized"):
        main(["report"])


def test_if_both_compares_no_other_runs_than_the_newest(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run of another load was followed by an old table, as if that were its own."""
    two(results)
    load = {"scenario_hash": "bbbbbbbbbbbb", "started_at": "2026-01-02T00:00:00+00:00"}
    newest = add(results, "20260102T000000Z-baseline")
    edit_manifest(newest, **load)
    assert main(["report", "--if-both"]) == 0
    said = capsys.readouterr().out
    assert f"no optimized has run under the load of {newest.name}" in said and "make optimized" in said
    assert not (results / "latest").exists()
    edit_manifest(add(results, "20260102T000100Z-optimized"), **load)
    assert main(["report", "--if-both"]) == 0
    assert "baseline: 20260102T000000Z-baseline" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["nope"], "no such run"),
        (["20260101T000000Z-baseline", "20260101T000000Z-baseline"], "named twice"),
        (["--minimum-effect", "-1"], "--minimum-effect"),
        (["--minimum-effect", "nan"], "--minimum-effect"),
        (["--name", "../x"], "--name"),
        (["--floor-ttft", "-1"], "--floor-ttft"),
        (["--label", "nothing="], "--label"),
        (["--variants", "baseline"], "only the baseline"),
        (["20260101T000000Z-baseline", "--baseline", "z"], "none of the runs"),
        (["20260101T000000Z-baseline", "--variants", "z"], "leave one out"),
    ],
)
def test_users_mistakes(results: Path, arguments: list[str], complaint: str) -> None:
    two(results)
    with pytest.raises(UsageError, match=complaint):
        main(["report", *arguments])


def test_a_folder_named_latest_is_not_replaced(results: Path) -> None:
    two(results)
    (results / "latest").mkdir()
    with pytest.raises(UsageError, match="is no link"):
        main(["report"])


def test_the_baseline_is_the_one_called_so(results: Path) -> None:
    folders = two(results)
    names = [folder.name for folder in reversed(folders)]
    assert named_runs(names, None, results).baseline == "baseline"
    assert named_runs(names, "optimized", results).folders[0].name == names[0]


@pytest.mark.parametrize(
    "changes",
    [
        {"failed_share": 1.0},
        {"hung_share": 1.0},
        {"rate": 0.5, "duration": 4},
        {"output": 1},
        {"slo": None},
        {"lanes": 2, "lost_lane": 1},
        {"slots": 1, "drain": 0},
    ],
)
def test_strange_runs_make_a_report_too(results: Path, changes: dict[str, Any]) -> None:
    folders = two(results, **changes)
    for order in (folders, folders[::-1]):
        found = built(order)
        Comparison.model_validate_json(found.model_dump_json())
        assert found.decisions[0].title and found.decisions[0].reason and found.decisions[0].next.text
    assert built(folders[1:]).metrics[0].changes == []


def test_the_choice_under_the_slo_gives_most_and_answers_first_among_those_that_do() -> None:
    def point(
        name: str,
        work: float,
        meets: bool | None,
        ttft: float = 0.1,
        usable: bool = True,
        tpot: float | None = None,
    ) -> ParetoPoint:
        return ParetoPoint(
            variant=name,
            output_token_throughput=work,
            ttft_p50=ttft,
            tpot_p50=tpot,
            usable=usable,
            pareto_optimal=True,
            meets_slo=meets,
        )

    points = [
        point("slow", 100, True, 0.01),
        point("breaks it", 300, False),
        point("most", 200, True, 0.3),
        point("as much", 195, True, 0.2),
        point("broken", 900, None, usable=False),
    ]

    def taken(points: list[ParetoPoint], effect: float, worse: list[str] | None = None) -> list[str]:
        return [each.variant for each in best(points, effect, worse or [])]

    assert taken(points, 0.03) == ["as much"] and taken(points, 0.001) == ["most"]
    said = choice(points, best(points, 0.03), 0.03)
    assert said.command == "make capacity VARIANT='as much'" and "3 variants" in said.reason
    assert "195.0 tok/s" in said.reason and "TTFT p50 200.0 ms" in said.reason
    none = [point("a", 1, False), point("b", 2, False), point("c", 3, None, usable=False)]
    assert taken(none, 0.03) == [] and choice(none, [], 0.03).command == "make capacity"
    alike = [
        point("baseline", 200, True, 0.0505, tpot=0.020),
        point("slower", 200, True, 0.0503, tpot=0.035),
        point("quick", 200, True, 0.0507, tpot=0.008),
    ]
    assert taken(alike, 0.03) == ["quick"], "0.4 ms of TTFT are no reason"
    same = [point(name, 200, True, 0.05, tpot=0.02) for name in ("baseline", "one", "two")]
    assert taken(same, 0.03) == ["baseline", "one", "two"]
    assert taken(same, 0.03, ["one"]) == ["baseline", "two"]
    assert taken([point("a", 1, None), point("b", 2, None)], 0.03) == ["b"], "a load without an SLO"


@pytest.mark.parametrize(
    ("shapes", "said"),
    [
        (
            {"quick": {"tpot": 0.005}, "small": {"slots": 5}},
            r"Use quick at 30.* req/s: .*; small serves less",
        ),
        (
            {"quick": {"tpot": 0.005}, "never": {"hung_share": 1.0}},
            r"Use quick at .*; no decision on never",
        ),
        (
            {"slow": {"tpot": 0.02}, "small": {"slots": 5}},
            r"Stay with baseline at .*: slow is worse; small serves less",
        ),
        ({"one": {}, "two": {}}, r"Stay with baseline at .*: nothing tells one and two from it"),
    ],
)
def test_of_several_variants_the_title_says_which_to_use(
    results: Path, shapes: dict[str, dict[str, Any]], said: str
) -> None:
    """Three variants on a GPU: the title named no decision, since one of them had no TTFT p50."""
    folders = [add(results, "20260101T000000Z-baseline")]
    folders += [
        add(results, f"20260101T000{number}00Z-{name}", noise_seed=1 + number, **shape)
        for number, (name, shape) in enumerate(shapes.items(), 1)
    ]
    found = built(folders)
    screen = first_screen.describe(found)
    assert re.fullmatch(said, screen.title), screen.title
    assert screen.next == found.recommendations[0] and (screen.next.command or "").startswith(
        "make capacity "
    )
    assert not screen.rows and [line.lead for line in screen.lines][: len(shapes)] == list(shapes)


def told(folders: list[Path], *starts: float) -> str:
    """What a report says of the server of runs at one address, whose processes began at these moments."""
    for number, (folder, start) in enumerate(zip(folders, starts, strict=False)):
        path = folder / "server_metrics.parquet"
        table = pq.read_table(path)
        columns = [[0.0], ["process_start_time_seconds"], ["{}"], [start]]
        more = [pa.array(one).cast(field.type) for one, field in zip(columns, table.schema, strict=True)]
        pq.write_table(pa.concat_tables([table, pa.table(more, schema=table.schema)]), path)
        edit_manifest(folder, started_at=f"2026-01-01T00:0{number}:00+00:00")
    return built(folders).decisions[0].same_server or ""


def test_one_process_at_one_address_is_compared_with_itself(results: Path) -> None:
    """With HOST= nothing is launched: 'optimized' was then no other server, and nothing was applied."""
    folders = two(results)
    assert "One server process answered for every variant" in told(folders, 100.0, 100.0)
    table = sections._optimizations(built(folders))[0]
    assert [cells[3].text for cells in table.rows] == ["not known: not launched by us"] * 2  # type: ignore[union-attr]


def test_a_server_that_was_restarted_at_one_address_is_another(results: Path) -> None:
    assert "answered for every variant" not in told(two(results), 100.0, 200.0)


def test_counters_that_fell_between_two_runs_tell_two_processes_apart(results: Path) -> None:
    assert "answered for every variant" not in told(two(results))


def test_where_nothing_tells_two_servers_apart_the_labels_are_the_user_s(results: Path) -> None:
    folders = two(results)
    for folder in folders:
        (folder / "server_metrics.parquet").unlink()
    assert "whether its server differed is not known: the labels are yours." in told(folders)


def test_another_server_for_each_variant_is_a_comparison(results: Path) -> None:
    folders = two(results)
    edit_manifest(folders[1], host="http://gpu:8000")
    assert built(folders).decisions[0].same_server is None
