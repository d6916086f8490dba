"""compare and sweep: the order of the runs, what stops them, what resumes; most of the runs are made up."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench.process import metronome
from campaign import state
from campaign.load import Load, load_of
from campaign.looking import Looks
from campaign.series import _of_looks
from campaign.series import run as run_series
from campaign.state import Campaign
from common.places import ROOT
from common.usage import UsageError
from tests.support.waiting import PATIENCE, wait_until
from tokenswarm.__main__ import main, parse


class Runs:
    """Stands for the runs: writes what a run would, or does what `acts` says at the step of that number."""

    def __init__(self, **acts: str) -> None:
        self.made: list[str] = []
        self.reported: list[tuple[list[str], str, str]] = []
        self.verdicts: dict[str, str] = {}
        # By variant, or run1, run2, ...: "interrupted", "refused", "start_failed", "fails", "late".
        self.acts = acts

    def run(self, load: Load, variant: str, folder: Path) -> int:
        self.made.append(variant)
        act = self.acts.get(f"run{len(self.made)}") or self.acts.get(variant.replace("-", "_"))
        if act in ("refused", "start_failed"):
            reason = "unknown flag --x" if act == "refused" else "out of memory"
            (folder / "not_applied.json").write_text(json.dumps({"kind": act, "reason": reason}))
            return 2
        if act == "fails":
            return 2
        ended = "interrupted" if act == "interrupted" else "complete"
        verdict = self.verdicts.get(variant, "VALID")
        (folder / "manifest.json").write_text(json.dumps({"ended": ended}))
        (folder / "summary.json").write_text(json.dumps({"verdict": verdict}))
        return 130 if act in ("interrupted", "late") else 0

    def report(self, runs: list[str], baseline: str, name: str) -> int:
        self.reported.append((runs, baseline, name))
        return 0

    def order(self, *words: str) -> int:
        """`tokenswarm WORDS`; its exit code."""
        return run_series(parse([*words, "--target", "cpu-tiny"]), self.run, self.report)


END_BEFORE = Looks.end_before


@pytest.fixture(autouse=True)
def _results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKENSWARM_RESULTS", str(tmp_path))
    monkeypatch.setattr(Looks, "end_before", lambda *_: False)  # runs that are made up cannot be read


def campaigns(folder: Path) -> list[dict[str, Any]]:
    """Every campaign.json there is."""
    return [json.loads(path.read_text()) for path in sorted(folder.glob("campaigns/*/campaign.json"))]


def test_compare_takes_turns_and_reports_once_over_all_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = Runs()
    assert runs.order("compare", "baseline", "optimized") == 0
    assert runs.made == ["baseline", "optimized"] * 3
    [(folders, baseline, name)] = runs.reported
    assert baseline == "baseline" and name.startswith("compare-baseline-optimized-")
    assert len(set(folders)) == 6 and all(Path(folder, "manifest.json").is_file() for folder in folders)
    assert "step 4 of 6: optimized, repeat 2" in capsys.readouterr().err
    [campaign] = campaigns(tmp_path)
    assert campaign["report"] == f"reports/{name}"
    assert {step["state"] for step in campaign["steps"]} == {"done"}


def _readable(monkeypatch: pytest.MonkeyPatch, read: list[str]) -> None:
    """Let runs that are made up be read; `read`: which were."""

    def load_run(path: Path) -> SimpleNamespace:
        read.append(path.name)
        return SimpleNamespace(name=path.name, manifest=SimpleNamespace(variant=path.name.split("-", 2)[-1]))

    def run_info(run: SimpleNamespace, repeat: int) -> SimpleNamespace:
        return SimpleNamespace(run=run.name, verdict="VALID", rules=[])

    monkeypatch.setattr("campaign.looking.load_run", load_run)
    monkeypatch.setattr("campaign.looking.run_info", run_info)


def test_starts_are_repeats_of_little_load(tmp_path: Path) -> None:
    runs = Runs()
    assert runs.order("compare", "baseline", "optimized", "--starts", "2") == 0
    assert runs.made == ["baseline", "optimized"] * 2
    assert runs.order("compare", "baseline", "optimized", "--starts", "2", "--duration", "12") == 0
    assert sorted(each["request"]["options"]["duration"] for each in campaigns(tmp_path)) == ["12", "15"]


@pytest.mark.parametrize(
    ("words", "seconds"),
    [
        (("sweep",), "37"),
        (("sweep", "--rps", "5"), None),
        (("sweep", "--duration", "60"), "60"),
        (("sweep", "--repeats", "2"), None),
        (("sweep", "--scenario", "closed-loop-chat"), None),
    ],
)
def test_a_run_that_is_the_only_one_is_judged_as_long_as_a_p99_needs(
    words: tuple[str, ...], seconds: str | None, tmp_path: Path
) -> None:
    verb, *more = words
    assert Runs().order(verb, "baseline", "batch-8", *more) == 0
    [options] = [each["request"]["options"] for each in campaigns(tmp_path)]
    assert options.get("duration") == seconds and options["stop_when_saturated"] == "yes"


def test_a_comparison_ends_once_all_is_decided_and_tells_the_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[tuple[list[int], int]] = []

    def look(
        groups: dict[str, list[str]], verdicts: object, effect: float, at: tuple[int, int], known: object
    ) -> Any:
        assert effect == 0.03 and at[0] == len(groups["baseline"])
        asked.append(([len(each) for each in groups.values()], at[1]))
        return {"optimized": ["shown", "open" if len(groups["optimized"]) < 2 else "within"]}

    read: list[str] = []
    _readable(monkeypatch, read)
    monkeypatch.setattr("campaign.looking.looks.look", look)
    monkeypatch.setattr(Looks, "end_before", END_BEFORE)
    words = ("compare", "baseline", "optimized", "--repeats", "5")
    first = Runs(run3="interrupted")
    assert first.order(*words) == 130 and asked == [([1, 1], 5)]
    second = Runs()
    assert second.order(*words) == 0 and second.made == ["baseline", "optimized"], "and no third repeat"
    assert asked[-1] == ([2, 2], 5) and len(second.reported[0][0]) == 4
    assert len(read) == 2 + 4, "each run is read once by each command"
    told = "stopped after 2 of 5 repeats: every claim is decided"
    assert told in capsys.readouterr().err
    campaign = Campaign.model_validate(campaigns(tmp_path)[0])
    assert campaign.stopped == told and _of_looks(campaign, Looks(campaign)) == [
        "--looks",
        "40",
        "--note",
        told,
    ]
    assert Runs().order(*words, "--every-repeat") == 0 and len(asked) == 3, "then nobody looks"


def test_locust_chooses_its_port_itself_as_it_starts() -> None:
    """The server takes minutes to start, and free ports of its own meanwhile."""
    words = ["run", "baseline", "--target", "cpu-tiny", "--workers", "2"]
    assert not {"--master-port", "--master-bind-port"} & set(load_of(parse(words)).command())
    given = load_of(parse([*words, "--master-port", "7000"])).command()
    assert given[given.index("--master-port") + 1] == given[given.index("--master-bind-port") + 1] == "7000"


def test_files_and_flags_reach_locust_whatever_folder_it_is_run_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = [
        "run",
        "v",
        "--host",
        "https://127.0.0.1:1",
        "--ca-file",
        "ca.pem",
        "--tokenizer",
        "t",
        "--insecure",
    ]
    command = load_of(parse(words)).command()
    assert command[command.index("--ca-file") + 1] == str(tmp_path / "ca.pem")
    assert command[command.index("--tokenizer") + 1] == str(tmp_path / "t")
    assert command.count("--insecure") == 1
    assert "--insecure" not in load_of(parse(words[:-1])).command()


def test_a_config_of_locusts_does_not_change_a_campaign_behind_its_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("campaign.load.ROOT", tmp_path)
    (tmp_path / "locust.conf").write_text("# mine\nloglevel = ERROR\n")
    load = load_of(parse(["run", "v", "--host", "http://127.0.0.1:1", "--locustfile", __file__]))
    load.check(["v"])
    (tmp_path / "locust.conf").write_text("loglevel = ERROR\nslo-ttft: 100\n")
    with pytest.raises(UsageError, match="locust.conf sets slo_ttft: .*; give --slo-ttft "):
        load.check(["v"])


def test_an_interrupted_sweep_goes_on_where_it_stopped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("sweep", "baseline", "batch-8", "batch-16", "--rps", "5")
    first = Runs(run2="interrupted")
    assert first.order(*words) == 130 and not first.reported
    assert "the same command goes on with step 2" in capsys.readouterr().err
    second = Runs()
    assert second.order(*words) == 0
    assert second.made == ["batch-8", "batch-16"], "the step cut off is done again, the finished one is not"
    assert "1 of 3 steps are done" in capsys.readouterr().err
    [(folders, _, _)] = second.reported
    kept = [json.loads(Path(folder, "manifest.json").read_text())["ended"] for folder in folders]
    assert kept == ["complete"] * 3, "the interrupted run is not in the report"


def test_ctrl_c_at_the_very_end_of_a_run_stops_there_too() -> None:
    words = ("sweep", "baseline", "batch-8")
    first = Runs(run1="late")
    assert first.order(*words) == 130 and first.made == ["baseline"]
    second = Runs()
    assert second.order(*words) == 0 and second.made == ["batch-8"], "its run was complete"


def test_a_step_that_was_running_when_all_was_killed(tmp_path: Path) -> None:
    words = ("sweep", "baseline", "batch-8")
    Runs(run2="interrupted").order(*words)
    [path] = tmp_path.glob("campaigns/*/campaign.json")
    saved = json.loads(path.read_text())
    whole = tmp_path / "whole"
    whole.mkdir()
    Runs().run(None, "batch-8", whole)  # type: ignore[arg-type]
    for run, made in (("whole", []), ("gone", ["batch-8"])):
        saved["steps"][1] |= {"state": "running", "run": run}
        path.write_text(json.dumps(saved))
        runs = Runs()
        assert runs.order(*words) == 0 and runs.made == made


def test_a_settled_step_whose_run_is_gone_is_made_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("sweep", "baseline", "batch-8", "batch-16", "--repeats", "2")
    first = Runs(batch_8="refused", run5="interrupted")
    assert first.order(*words) == 130 and first.made[-2:] == ["baseline", "batch-16"]
    for step in campaigns(tmp_path)[0]["steps"][:2]:
        shutil.rmtree(tmp_path / step["run"])
    capsys.readouterr()
    second = Runs(batch_8="refused")
    assert second.order(*words) == 0
    assert second.made == ["baseline", "batch-8", "batch-16"]
    err = capsys.readouterr().err
    assert re.search(r"^step 1: its run \S+-baseline is gone, so it is made again$", err, re.MULTILINE)
    assert re.search(r"^step 2: its run \S+-batch-8 is gone, so it is made again$", err, re.MULTILINE)
    [(folders, _, _)] = second.reported
    assert len(folders) == 5 and all(Path(folder).is_dir() for folder in folders)


def test_the_name_follows_from_all_that_is_asked() -> None:
    asked = [
        ("sweep", "baseline", "batch-8"),
        ("sweep", "batch-8", "baseline"),
        ("compare", "baseline", "batch-8", "--repeats", "1"),
        ("sweep", "baseline", "batch-8", "--rps", "5"),
        ("sweep", "baseline", "batch-8", "--workers", "2"),
        ("sweep", "baseline", "batch-8", "--scenario", "chat-low"),
        ("sweep", "baseline", "batch-8", "--seed", "2"),
    ]
    names = []
    for words in asked:
        for _ in range(2):
            runs = Runs(run1="interrupted")
            runs.order(*words)
        runs = Runs()
        runs.order(*words)
        names.append(runs.reported[0][2])
    assert len(set(names)) == len(asked)


def test_a_variant_file_that_changed_is_another_campaign(tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    made = []
    for flag in ("--max-num-seqs 4", "--max-num-seqs 5"):
        mine.write_text(f"changes: a\nexpected: b\nadd: [{flag}]\n")
        runs = Runs(run2="interrupted")
        runs.order("sweep", "baseline", str(mine))
        made.append(len(runs.made))
    assert made == [2, 2], "the second began anew"


def test_a_locustfile_that_changed_is_another_campaign(tmp_path: Path) -> None:
    mine, made = tmp_path / "mine.py", []
    for text in ("one = 1\n", "two = 2\n"):
        mine.write_text(text)
        runs = Runs(run2="interrupted")
        runs.order("sweep", "baseline", "batch-8", "--locustfile", str(mine))
        made.append(len(runs.made))
    assert made == [2, 2], "its runs are another client's"


@pytest.mark.parametrize("what", ["variant", "target", "scenario", "locustfile"])
def test_a_file_that_changes_while_the_campaign_runs_ends_it_there(what: str, tmp_path: Path) -> None:
    """Else the runs before and after would stand under one name."""
    texts = {
        "variant": "changes: a\nexpected: b\nadd: [--max-num-seqs 4]\n",
        "target": (ROOT / "server/targets/cpu-tiny.yaml").read_text(),
        "scenario": (ROOT / "scenarios/chat-low.yaml").read_text(),
        "locustfile": "users = 4\n",
    }
    edits = {"variant": ("seqs 4", "seqs 5"), "target": ("20480", "4096"), "scenario": ("50", "60")}
    files = {name: tmp_path / f"{name}.{'py' if name == 'locustfile' else 'yaml'}" for name in texts}
    for name, text in texts.items():
        files[name].write_text(text)
    words = ["sweep", "baseline", str(files["variant"])]
    words += [
        word for name in ("target", "scenario", "locustfile") for word in (f"--{name}", str(files[name]))
    ]

    class Edited(Runs):
        def run(self, load: Load, variant: str, folder: Path) -> int:
            files[what].write_text(texts[what].replace(*edits.get(what, ("4", "5"))))
            return super().run(load, variant, folder)

    first = Edited()
    with pytest.raises(UsageError, match=f"{what} {files[what]} changed since the campaign began; "):
        run_series(parse(words), first.run, first.report)
    assert first.made == ["baseline"] and not first.reported
    files[what].write_text(texts[what])
    second = Runs()
    assert run_series(parse(words), second.run, second.report) == 0
    assert second.made == [str(files["variant"])], "as it was, the campaign goes on"


def test_a_locustfile_that_is_deleted_while_the_campaign_runs_is_named(tmp_path: Path) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text("one = 1\n")

    class Deleted(Runs):
        def run(self, load: Load, variant: str, folder: Path) -> int:
            mine.unlink()
            return super().run(load, variant, folder)

    with pytest.raises(UsageError, match=f"--locustfile {mine}: cannot be read: No such file"):
        Deleted().order("sweep", "baseline", "batch-8", "--locustfile", str(mine))


def test_a_finished_campaign_and_fresh_begin_anew_and_keep_the_old(tmp_path: Path) -> None:
    words = ("sweep", "baseline", "batch-8")
    for _ in range(2):
        assert Runs().order(*words) == 0
    Runs(run2="interrupted").order(*words)
    fresh = Runs()
    assert fresh.order(*words, "--fresh") == 0 and fresh.made == ["baseline", "batch-8"]
    names = sorted(campaign["name"] for campaign in campaigns(tmp_path))
    assert names == [names[0], *(f"{names[0]}-{number}" for number in (2, 3, 4))]


def test_a_refused_variant_is_noted_once_and_the_sweep_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    runs = Runs(batch_8="refused")
    assert runs.order("sweep", "baseline", "batch-8", "batch-16", "--repeats", "2") == 0
    assert runs.made == ["baseline", "batch-8", "batch-16", "baseline", "batch-16"]
    [(folders, _, _)] = runs.reported
    assert len(folders) == 5 and sum(Path(folder, "not_applied.json").exists() for folder in folders) == 1
    assert "refused by the server, the others go on: unknown flag --x" in capsys.readouterr().err


def test_a_start_that_failed_is_tried_once_more(capsys: pytest.CaptureFixture[str]) -> None:
    runs = Runs(run2="start_failed")
    assert runs.order("compare", "baseline", "batch-8") == 0
    assert runs.made == ["baseline", "batch-8", "batch-8", "baseline", "batch-8", "baseline", "batch-8"]
    [(folders, _, _)] = runs.reported
    assert len(folders) == 6 and all(Path(folder, "manifest.json").is_file() for folder in folders)
    assert "batch-8, repeat 1: did not start; once more\n" in capsys.readouterr().err


@pytest.mark.parametrize("act", ["start_failed", "refused"])
def test_a_variant_that_has_served_before_is_not_given_up(
    act: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("compare", "baseline", "batch-8")
    first = Runs(run4=act, run5=act)
    assert first.order(*words) == 2 and not first.reported
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("step 4 of 6: batch-8, repeat 2: has served before, but now: ")
    assert said.endswith("; once that is mended, the same command goes on here")
    assert [step["state"] for step in campaigns(tmp_path)[0]["steps"]] == ["done"] * 3 + ["waiting"] * 3
    second = Runs()
    assert second.order(*words) == 0 and second.made == ["batch-8", "baseline", "batch-8"]


def test_a_variant_that_never_starts_is_noted_and_the_sweep_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = Runs(batch_8="start_failed")
    assert runs.order("sweep", "baseline", "batch-8", "batch-16", "--repeats", "2") == 0
    assert runs.made == ["baseline", "batch-8", "batch-8", "batch-16", "baseline", "batch-16"]
    err = capsys.readouterr().err
    assert "step 2 of 6: batch-8, repeat 1: did not start, the others go on: out of memory\n" in err
    assert "step 5 of 6: batch-8, repeat 2: not run, out of memory\n" in err
    [(folders, _, _)] = runs.reported
    assert len(folders) == 5 and sum(Path(folder, "not_applied.json").exists() for folder in folders) == 1


@pytest.mark.parametrize(("act", "how"), [("refused", "was refused"), ("start_failed", "did not start")])
def test_a_first_variant_that_is_not_served_ends_it_until_the_same_command_tries_again(
    act: str, how: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("sweep", "baseline", "batch-8")
    for _ in range(2):
        runs = Runs(baseline=act)
        with pytest.raises(UsageError, match=f"baseline, which the others are compared with, {how}: "):
            runs.order(*words)
        assert not runs.reported and set(runs.made) == {"baseline"}
        assert "the others go on" not in capsys.readouterr().err
    runs = Runs()
    assert runs.order(*words) == 0 and runs.made == ["baseline", "batch-8"]


def test_a_variant_that_did_not_start_is_tried_again_with_what_is_still_to_be_run() -> None:
    words = ("sweep", "baseline", "batch-8", "batch-16", "batch-32")
    first = Runs(batch_8="start_failed", batch_16="refused", batch_32="interrupted")
    assert first.order(*words) == 130
    second = Runs()
    assert second.order(*words) == 0
    assert second.made == ["batch-8", "batch-32"], "what is done stays, and so does what was refused"


def test_a_step_that_made_no_run_stops_it_and_leaves_no_empty_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("sweep", "baseline", "batch-8")
    assert Runs(run2="fails").order(*words) == 2
    assert "made no run (exit code 2)" in capsys.readouterr().err
    assert len(list(tmp_path.glob("*-b*"))) == 1
    again = Runs()
    assert again.order(*words) == 0 and again.made == ["batch-8"]


def test_saturated_runs_are_results_and_invalid_ones_are_kept_and_said(
    capsys: pytest.CaptureFixture[str],
) -> None:
    runs = Runs()
    runs.verdicts = {"batch-8": "SATURATED", "batch-16": "INVALID"}
    words = ("sweep", "baseline", "batch-8", "batch-16")
    assert runs.order(*words) == 0 and len(runs.reported[0][0]) == 3
    err = capsys.readouterr().err
    assert "batch-8, repeat 1: SATURATED" in err and "INVALID; the run is kept" in err
    strict = Runs()
    strict.verdicts = runs.verdicts
    assert strict.order(*words, "--strict") == 5


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("baseline", "none"), "unknown variant 'none'; there are: .*baseline, batch-16"),
        (("baseline",), "name two variants or more"),
        (("baseline", "baseline"), "variant baseline is named twice; --repeats 2"),
        (("baseline", "batch-8", "--repeats", "0"), "--repeats 0: must be 1 to 1,000"),
        (("baseline", "batch-8", "--scenario", "chat"), "unknown scenario 'chat'"),
        (("baseline", "batch-8", "--rps", "-1"), "--rps: must be more than 0"),
        (("baseline", "batch-8", "--workers", "0"), "--workers 0: must be 1 or more"),
        (("baseline", "batch-8", "--workers", "100000"), "--workers 100000: too many for"),
        (("baseline", "batch-8", "--seed", "9" * 20), "--seed: must be 9223372036854775807 or less"),
        (("baseline", "batch-8", "--locustfile", "none.py"), "--locustfile none.py: no such file"),
        (("a b", "c", "--host", "http://127.0.0.1:1"), "variant 'a b': with --host it is a label"),
    ],
)
def test_mistakes_are_named_before_anything_starts(words: tuple[str, ...], told: str, tmp_path: Path) -> None:
    runs = Runs()
    with pytest.raises(UsageError, match=told):
        runs.order("sweep", *words)
    assert not runs.made and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--workers", "x"), "--workers: must be a whole number or auto, is 'x' (tokenswarm sweep --help"),
        (("--repeats", "1.5"), "--repeats: must be a whole number, is '1.5' (tokenswarm sweep"),
        (("--foo",), "unrecognized arguments: --foo (tokenswarm sweep --help lists the options)"),
    ],
)
def test_a_mistyped_option_is_one_line(words: tuple[str, ...], told: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(["sweep", "baseline", "batch-8", *words])
    assert told in str(caught.value) and "\n" not in str(caught.value)


def test_an_unknown_target_is_named() -> None:
    with pytest.raises(UsageError, match="unknown target 'none'; there are: cpu-tiny"):
        run_series(parse(["sweep", "baseline", "batch-8", "--target", "none"]), Runs().run)


@pytest.mark.parametrize("more", [(), ("--fresh",)])
def test_two_equal_campaigns_at_once_are_refused(more: tuple[str, ...], tmp_path: Path) -> None:
    words = ("sweep", "baseline", "batch-8")
    second = Runs()

    class First(Runs):
        def run(self, load: Load, variant: str, folder: Path) -> int:
            with pytest.raises(UsageError, match="sweep-baseline-batch-8-.* is being run by another process"):
                second.order(*words, *more)
            return super().run(load, variant, folder)

    assert First().order(*words) == 0
    assert second.made == [] and len(campaigns(tmp_path)) == 1
    assert second.order(*words) == 0, "once it has ended there is nothing in the way"


def test_a_broken_campaign_file_is_named(tmp_path: Path) -> None:
    words = ("sweep", "baseline", "batch-8")
    Runs(run2="interrupted").order(*words)
    [path] = tmp_path.glob("campaigns/*/campaign.json")
    for text in ("{", '{"format": 2}', '{"format": 1, "nonsense": 3}'):
        path.write_text(text)
        with pytest.raises(UsageError, match=r"campaign\.json: .*--fresh begins anew"):
            Runs().order(*words)
    assert Runs().order(*words, "--fresh") == 0


def test_a_campaign_reads_back_as_it_was_written() -> None:
    steps = [state.Step(variant="a", repeat=1, state="done", run="r", verdict="VALID")]
    campaign = state.Campaign(name="x", request={"kind": "sweep"}, started_at="now", steps=steps)
    campaign.save()
    assert state.read(campaign.folder / state.FILE) == campaign


def test_real_runs_are_interrupted_resumed_and_reported(tmp_path: Path) -> None:
    scenario = tmp_path / "quick.yaml"
    scenario.write_text("rate: 20\nduration: 2\nwarmup: 0.5\ndrain: 5\nprompt_tokens: 8\noutput_tokens: 4\n")
    with metronome("--ttft", "0.02", "--tpot", "0.005") as server:
        command = [
            sys.executable,
            "-m",
            "tokenswarm",
            "compare",
            "one",
            "two",
            "--repeats",
            "1",
            "--workers",
            "2",
        ]
        command += ["--host", server.url, "--scenario", str(scenario)]
        err = tmp_path / "err.txt"
        with err.open("w") as out:
            first = subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=out, start_new_session=True)
            try:

                def second_began() -> bool:
                    assert first.poll() is None, err.read_text()
                    return "run folder" in err.read_text().partition("step 2 of 2: two")[2]

                wait_until(second_began, err.read_text)
                first.send_signal(signal.SIGTERM)  # to it alone: what it started has to hear of it
                assert first.wait(PATIENCE) == 143, err.read_text()
            finally:
                if first.poll() is None:
                    os.killpg(first.pid, signal.SIGKILL)
        second = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
    assert second.returncode == 0, second.stderr
    assert "step 2 of 2: two" in second.stderr and "step 1 of 2" not in second.stderr
    [report] = tmp_path.glob("reports/compare-one-two-*/comparison.json")
    compared = json.loads(report.read_text())
    assert compared["baseline"] == "one" and len(compared["runs"]) == 2


@pytest.mark.parametrize("verb", ["run", "compare", "sweep", "capacity"])
def test_a_load_without_an_arrival_is_refused_before_anything_starts(
    verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    variants = ["one", "other"] if verb in ("compare", "sweep") else ["one"]
    words = [verb, *variants, "--host", "http://127.0.0.1:1", "--rps", "0.0001", "--duration", "1"]
    assert main(words) == 2
    assert "comes to no arrival at all: raise the rate or the duration" in capsys.readouterr().err
