"""The search for the highest rate: its rules, on synthetic runs of a known queue, and on the metronome."""

import dataclasses
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from bench.process import metronome
from bench.synthetic import make_run
from campaign import load as loads
from campaign.capacity import run as run_capacity
from campaign.load import Load, load_of
from campaign.search import Search, Tried
from campaign.terms import redraw_of, settling, terms_of
from common.places import ROOT
from common.usage import UsageError
from loadgen.workload.scenario import Scenario, Slo
from loadgen.workload.schedule import schedule
from reports.capacity import report as report
from reports.capacity.chart import chart
from reports.metrics.request_metrics import Figure
from reports.runs.runs import load_run
from reports.statistics.crossing import DRAWN, crossing
from reports.statistics.queue_fit import Step as Fitted
from reports.statistics.waits import Offered, waits
from reports.verdict.slo import Standing, standing, state_of
from reports.verdict.validity import check
from tests.support.make_step import make_step
from tests.support.waiting import PATIENCE
from tokenswarm.__main__ import parse

SCENARIO = """
rate: {rate}
duration: 20
warmup: 2
arrivals: {{process: {arrivals}}}
prompt_tokens: 50
output_tokens: 40
slo: {{ttft: 0.5, tpot: 0.05, share: 0.99}}
"""


def said(met: int, judged: int = 400, **more: Any) -> Standing:
    """What a run says; nothing is wrong with it."""
    rest: dict[str, Any] = {"met_granted": met, "behind": None, "doubt": None, "late": None}
    return Standing(judged, met, **(rest | {"completed_rate": 1.0} | more))


# What one run says ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "state", "why"),
    [
        (said(400), "met", ""),
        (said(396), "met", ""),
        (said(395), "missed", "5 of 400 arrivals missed it"),
        (said(400, behind="the queue grows"), "missed", "falls behind: the queue grows"),
        (said(395, met_granted=397), "unclear", "misses that the client's own lateness explains"),
        (said(400, late="19 of 20 left"), "unclear", "the load left late: 19 of 20 left"),
        (said(100, late="19 of 20 left"), "missed", "300 of 400 arrivals missed it"),
        (said(400, doubt="lanes_lost: 1"), "unclear", "lanes_lost: 1"),
    ],
)
def test_state_of_a_run(found: Standing, state: str, why: str) -> None:
    assert state_of(found, 0.99) == (state, why)


def of(folder: Path, **shape: Any) -> Standing:
    make_run(folder, duration=20, **shape)
    run = load_run(folder)
    return standing(run, check(run))


def test_standing_of_runs(tmp_path: Path) -> None:
    quiet = of(tmp_path / "quiet", rate=10)
    assert quiet.met == quiet.judged > 150 and not (quiet.behind or quiet.doubt or quiet.late)
    assert state_of(quiet, 0.99) == ("met", ""), "too few for a p99 is no objection"
    full = of(tmp_path / "full", rate=30, slots=7)
    assert full.behind and full.met < 0.5 * full.judged and full.completed_rate == pytest.approx(16, rel=0.05)
    late = of(tmp_path / "late", rate=20, dispatch_delay=1.0)
    assert late.met < 0.7 * late.judged and late.met_granted == late.judged
    assert state_of(late, 0.99)[0] == "unclear", "our own lateness misses nothing"
    slow_only = {"tpot": 0.05, "share": 0.99}
    gone = of(tmp_path / "gone", rate=20, dispatch_delay=1.0, slo=slow_only)
    assert state_of(gone, 0.99)[0] == "unclear" and "left inside the window" in state_of(gone, 0.99)[1]
    lost = of(tmp_path / "lost", rate=20, lanes=2, lost_lane=1)
    assert state_of(lost, 0.99)[0] == "unclear" and "lost" in state_of(lost, 0.99)[1]
    failed = of(tmp_path / "failed", rate=20, failed_share=0.1)
    assert state_of(failed, 0.99)[0] == "unclear" and "HTTP 500" in state_of(failed, 0.99)[1]


# The order of the steps ----------------------------------------------------------------------------


def ask(
    answer: Callable[[float, int], tuple[Standing, Fitted | None]], search: Search, most: int = 30
) -> list[Tried]:
    """The steps of a search in which `answer(rate, number)` says what each run shows."""
    tried: list[Tried] = []
    while len(tried) < most and (rate := search.next_rate(tried, search.found(tried))) is not None:
        found, step = answer(rate, len(tried))
        tried.append(Tried(rate, state_of(found, search.share)[0], step))
    return tried


def queue(
    limit: float, seconds: float = 20.0, warmup: float = 2.0
) -> Callable[[float, int], tuple[Standing, Fitted]]:
    """A queue with one place that serves `limit` requests/s, under Poisson arrivals; waits of 1 s miss."""

    def answer(rate: float, number: int) -> tuple[Standing, Fitted]:
        rng = np.random.default_rng(number)
        due = np.cumsum(rng.exponential(1 / rate, int(2 * rate * (warmup + seconds)) + 20))
        due = due[due < warmup + seconds]
        whole = Offered(due, np.ones(len(due)), np.ones(len(due), bool))
        late = next(waits([whole], np.array([limit]), 1))[0] > 1.0
        judged = due >= warmup
        met = int((judged & ~late).sum())
        return said(met, int(judged.sum())), Fitted(rate, Offered(due, whole.work, judged), judged & late)

    return answer


@pytest.mark.parametrize(("limit", "start"), [(2.5, 6.0), (20.0, 20.0), (150.0, 60.0)])
def test_a_limit_is_found_wherever_the_search_begins(limit: float, start: float) -> None:
    search = Search(start, 0.04, 20.0, 0.99)
    tried = ask(queue(limit), search, 14)
    found = search.found(tried)
    assert found is not None
    low, high = found.interval
    assert low < found.rate < high and (search.narrow(tried, found) or limit < 10), "50 arrivals say little"
    share = [queue(limit)(found.rate, 1000 + number)[0] for number in range(60)]
    met = sum(each.met for each in share) / sum(each.judged for each in share)
    assert met > 0.95, "such steps meet the SLO's share on average, or nearly"
    share = [queue(limit)(1.15 * high, 1000 + number)[0] for number in range(60)]
    assert sum(each.met for each in share) < 0.98 * sum(each.judged for each in share)


def test_a_server_that_serves_less_far_above_its_limit_is_not_called_slower() -> None:
    """vLLM's front end on an H200: 60 requests/s kept up, 52 served where 120 were asked for."""
    steps = [queue(65.0)(rate, number)[1] for number, rate in enumerate([20.0, 40.0, 60.0, 80.0, 120.0])]
    assert None not in steps
    known = [step for step in steps if step is not None]
    known[-1] = dataclasses.replace(known[-1], served=52.0)
    found = crossing(known, 0.01, 50.0)
    assert 60.0 < found.rate < 72.0 and found.interval[1] > 60.0


def test_a_rate_that_cannot_be_measured_is_asked_for_again_and_ends_the_search_below() -> None:
    def answer(rate: float, number: int) -> tuple[Standing, Fitted | None]:
        return queue(500.0)(rate, number) if rate < 50 else (said(300, met_granted=400), None)

    tried = ask(answer, Search(20, 0.04, 20.0, 0.99), 10)
    unclear = [each.rate for each in tried if each.state == "unclear"]
    assert unclear and all(unclear.count(rate) == 2 for rate in unclear)
    assert unclear == sorted(unclear, reverse=True), "each time well below what could not be measured"


def test_a_search_without_a_limit_or_below_it_goes_on_up_or_down() -> None:
    search = Search(20, 0.04, 20.0, 0.99)
    rates = [each.rate for each in ask(queue(1e9), search, 4)]
    assert rates == sorted(rates) and rates[-1] > 2 * rates[0]
    rates = [each.rate for each in ask(queue(1e-3), search, 20)]
    assert rates[-1] < 1 and len(rates) < 20, "at a lower rate a step has fewer than 10 arrivals"


# The command ---------------------------------------------------------------------------------------


class Queue:
    """Stands for the runs: a synthetic queue of known capacity. `acts`: exit codes by step."""

    def __init__(self, slots: int | None, arrivals: str, **acts: int) -> None:
        self.slots, self.arrivals, self.acts = slots, arrivals, acts
        self.seeds: list[int] = []

    def run(self, load: Load, variant: str, folder: Path) -> int:
        self.seeds.append(int(load.options["seed"]))
        code = self.acts.get(f"step{len(self.seeds)}", 0)
        if code == 0:
            make_step(folder, load, variant, slots=self.slots, arrivals=self.arrivals)
        return code


def search_for(folder: Path, queue: Queue, *words: str, rate: float = 20) -> tuple[int, dict[str, Any], str]:
    """Exit code, capacity.json and README.md of a search."""
    scenario = folder / "queue.yaml"
    scenario.write_text(SCENARIO.format(rate=rate, arrivals=queue.arrivals))
    given = parse(["capacity", "v", "--host", "http://127.0.0.1:1", "--scenario", str(scenario), *words])
    code = run_capacity(given, queue.run)
    where = max((folder / "campaigns").iterdir())
    found = json.loads((where / "capacity.json").read_text())
    ElementTree.parse(where / "latency-against-rate.svg")
    return code, found, (where / "README.md").read_text()


@pytest.fixture(autouse=True)
def _results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKENSWARM_RESULTS", str(tmp_path))


@pytest.mark.parametrize("slots", [3, 7, 20])
def test_a_queues_limit_is_found_within_5_percent(slots: int, tmp_path: Path) -> None:
    queue = Queue(slots, "constant")
    code, found, page = search_for(tmp_path, queue)
    limit = slots / (0.05 + 0.01 * 39)
    assert code == 0 and found["found"]
    assert found["capacity"] == pytest.approx(limit, rel=0.05)
    low, high = found["interval"]
    assert low < found["capacity"] < high and found["confidence"] == 0.9
    assert queue.seeds == list(range(1, len(queue.seeds) + 1)), "no step has the prompts of another"
    assert f"meets the SLO up to {found['capacity']:.4g} requests/s (90 % interval {low:.4g} to " in page
    assert page.count("| met |") == sum(step["state"] == "met" for step in found["steps"])
    assert len({step["run"] for step in found["steps"]}) == len(found["steps"])


def test_poisson_arrivals_hold_less_than_the_service_limit(tmp_path: Path) -> None:
    code, found, _ = search_for(tmp_path, Queue(7, "poisson"))
    assert code in (0, 1) and 10 < found["capacity"] < 16 / 0.95


def test_no_limit_in_sight_is_said(tmp_path: Path) -> None:
    code, found, page = search_for(tmp_path, Queue(None, "constant"), "--max-steps", "3")
    assert code == 1 and not found["found"] and found["capacity"] is None
    assert "no higher rate was seen to miss it (after 3 steps" in page


def test_a_server_that_never_holds_it(tmp_path: Path) -> None:
    code, found, page = search_for(tmp_path, Queue(1, "constant"), "--max-steps", "1")
    assert code == 1 and found["capacity"] is None
    assert "met the SLO at no rate tried, down to " in page


@pytest.mark.parametrize(("code", "told"), [(130, "interrupted"), (2, "step 3 made no run (exit code 2)")])
def test_what_was_measured_before_a_stop_is_kept_and_the_same_command_goes_on(
    code: int, told: str, tmp_path: Path
) -> None:
    ended, found, page = search_for(tmp_path, Queue(7, "constant", step3=code))
    assert ended == code and len(found["steps"]) == 2 and found["ended"] == told
    assert not found["found"] and told in page
    whole = Queue(7, "constant")
    ended, went_on, _ = search_for(tmp_path, whole)
    assert ended == 0 and went_on["steps"][:2] == found["steps"] and went_on["name"] == found["name"]
    assert whole.seeds[0] == 3, "what is done stays, and no step has the prompts of another"
    assert len(went_on["steps"]) == 2 + len(whole.seeds)
    assert search_for(tmp_path, Queue(7, "constant"))[1]["name"] == f"{found['name']}-2", "then it is over"


def test_a_step_whose_folder_cannot_be_made_ends_the_search_with_what_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make = Path.mkdir

    def full(path: Path, *words: Any, **more: Any) -> None:
        if "-step-03" in path.name:
            raise OSError(28, "No space left on device")
        make(path, *words, **more)

    monkeypatch.setattr(Path, "mkdir", full)
    ended, found, page = search_for(tmp_path, Queue(7, "constant"))
    assert ended == 2 and len(found["steps"]) == 2 and "step 3 made no run" in page
    assert re.search(r"step 3: .*: the folder cannot be made: No space left", capsys.readouterr().err)


@pytest.mark.parametrize("code", [2, 130])
def test_a_search_that_measured_nothing_leaves_no_folder(code: int, tmp_path: Path) -> None:
    """Of a host that is down each try would leave another one."""
    words = ["capacity", "v", "--host", "http://127.0.0.1:1", "--scenario", "chat-low"]
    assert run_capacity(parse(words), Queue(1, "constant", step1=code).run) == code
    assert not list(tmp_path.glob("campaigns/*"))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("none",), "unknown variant 'none'; there are: "),
        (("baseline", "--scenario", "closed-loop-chat"), "has no rate to vary: a closed loop"),
        (("baseline", "--step-seconds", "0"), "--step-seconds 0: must be more than 0"),
        (("baseline", "--tolerance", "nan"), "--tolerance nan: must be more than 0"),
        (("baseline", "--max-steps", "0"), "--max-steps 0: must be 1 to 1000"),
        (("baseline", "--seed", "x"), "--seed: must be a whole number"),
        (("baseline", "--rps", "0"), "--rps: must be more than 0"),
    ],
)
def test_mistakes_are_named_before_anything_starts(words: tuple[str, ...], told: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=re.escape(told)):
        run_capacity(parse(["capacity", *words, "--target", "cpu-tiny"]), Queue(1, "constant").run)
    assert not list(tmp_path.iterdir())


def test_a_scenario_without_an_slo_is_named(tmp_path: Path) -> None:
    path = tmp_path / "free.yaml"
    path.write_text("rate: 1\nduration: 1\nprompt_tokens: 1\noutput_tokens: 1\nslo: null\n")
    with pytest.raises(UsageError, match="scenario free has no slo"):
        terms_of(parse(["capacity", "v", "--host", "http://127.0.0.1:1", "--scenario", str(path)]))


def test_a_step_warms_up_as_long_as_the_number_in_flight_rises() -> None:
    chat = Scenario.load("chat-medium")
    load = schedule(chat, 1)
    assert settling(load, Slo()) == pytest.approx(1 + 0.05 * 150, abs=1)
    assert settling(load, Slo(latency=3)) == 3 and settling(load, Slo(tpot=None)) == 0
    given = ["capacity", "v", "--host", "http://127.0.0.1:1"]
    assert float(terms_of(parse(given)).load.options["warmup"]) == settling(load, Slo())
    assert terms_of(parse([*given, "--warmup", "2"])).scenario.warmup == 2
    assert terms_of(parse([*given, "--duration", "7"])).scenario.duration == 7


def test_what_other_seeds_would_send_is_drawn_from_the_scenario() -> None:
    terms = terms_of(parse(["capacity", "v", "--host", "http://127.0.0.1:1"]))
    assert terms.search.redraw is not None and terms.search.ttft == 1.0
    drawn = [*terms.search.redraw(4.0)]
    sent = schedule(terms.scenario.with_overrides(rate=4.0), 1)
    assert len(drawn) == DRAWN and not any(np.array_equal(each.due, drawn[0].due) for each in drawn[1:])
    judged = np.mean([each.judged.sum() for each in drawn])
    assert judged == pytest.approx(4.0 * terms.scenario.duration, rel=0.03)
    assert all(each.due.max() < sent.end for each in drawn)
    tokens = sent.arrivals.numbers("output_tokens").mean()
    assert np.mean([each.work.mean() for each in drawn]) == pytest.approx(tokens, rel=0.2)


@pytest.mark.parametrize("rate", [1e-4, 1e7])
def test_rates_that_no_step_could_have_are_drawn_in_another_time(rate: float) -> None:
    terms = terms_of(parse(["capacity", "v", "--host", "http://127.0.0.1:1"]))
    assert terms.search.redraw is not None
    offered = [len(each.due) / each.due.max() for each in terms.search.redraw(rate) if len(each.due) > 5]
    assert np.median(offered) == pytest.approx(rate, rel=0.2)


@pytest.mark.parametrize(
    "more", ["conversation: {turns: 2, think: 1}", "arrivals: {process: closed-loop, concurrency: 2}"]
)
def test_what_follows_from_answers_is_not_drawn(more: str, tmp_path: Path) -> None:
    path = tmp_path / "chain.yaml"
    rate = "" if "closed" in more else "rate: 1\n"
    path.write_text(f"{rate}duration: 1\nprompt_tokens: 1\noutput_tokens: 1\n{more}\n")
    words = ["capacity", "v", "--host", "http://127.0.0.1:1", "--scenario", str(path)]
    assert redraw_of(load_of(parse(words))) is None


def test_the_words_for_the_launched_server_give_the_same_terms() -> None:
    terms = terms_of(parse(["capacity", "baseline", "--target", "cpu-tiny", "--rps", "3", "--workers", "2"]))
    again = terms_of(parse(["capacity", "baseline", "--host", "http://127.0.0.1:8000", *terms.arguments()]))
    assert (again.search, again.seed, again.slo, again.command) == (
        terms.search,
        terms.seed,
        terms.slo,
        terms.command,
    )
    assert again.scenario == terms.scenario and again.load.workers == 2


def test_the_server_is_launched_once_and_searched_by_the_same_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served: list[tuple[str, list[str], Path]] = []

    def serve(load: Load, variant: str, command: list[str], folder: Path) -> int:
        served.append((variant, command, folder))
        return 7

    monkeypatch.setattr(loads, "serve", serve)
    asked = parse(["capacity", "batch-8", "--target", "cpu-tiny", "--port", "8009", "--rps", "3"])
    assert run_capacity(asked) == 7
    [(variant, command, folder)] = served
    inner = parse(command[3:])
    assert command[:3] == [sys.executable, "-m", "tokenswarm"] and variant == inner.variant == "batch-8"
    where = tmp_path / "campaigns" / inner.within
    assert inner.host == "http://127.0.0.1:8009" and folder == where / "server" and folder.is_dir()
    monkeypatch.setenv("TOKENSWARM_RUN_DIR", str(folder))
    (folder / "server.json").write_text('{"command_line": "python -m vllm"}')
    assert run_capacity(inner, Queue(7, "constant").run) in (0, 1)
    steps = list(where.glob("*-step-*/server.json"))
    assert len(steps) > 2, "every step's run holds what the launcher says of the server"
    page = (where / "README.md").read_text()
    assert "tokenswarm capacity batch-8 " in page and "--within" not in page


@pytest.mark.parametrize(
    ("name", "label"),
    [("my variant", "my-variant"), ("größer", "gr--er"), ("_mine", "mine"), ("ü", "variant")],
)
def test_a_variants_file_may_have_any_name(
    name: str, label: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The search takes place with --host, for which a variant is a label."""
    (tmp_path / f"{name}.yaml").write_text("changes: a\nexpected: b\n")
    served: list[list[str]] = []
    monkeypatch.setattr(loads, "serve", lambda load, variant, command, folder: served.append(command))
    asked = ["capacity", str(tmp_path / f"{name}.yaml"), "--target", "cpu-tiny"]
    run_capacity(parse(asked))
    inner = terms_of(parse(served[0][3:]))
    assert inner.variant == label and shlex.quote(asked[1]) in inner.command


def test_a_launched_server_is_searched_where_it_listens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.yaml").write_text("changes: a\nexpected: b\nadd: [--host 127.0.0.9]\n")
    served: list[list[str]] = []
    monkeypatch.setattr(loads, "serve", lambda load, variant, command, folder: served.append(command))
    run_capacity(parse(["capacity", str(tmp_path / "mine.yaml"), "--target", "cpu-tiny", "--port", "8009"]))
    assert parse(served[0][3:]).host == "http://127.0.0.9:8009"


@pytest.mark.timeout(900)
def test_the_metronomes_limit_is_found(tmp_path: Path) -> None:
    """But where the metronome's own log says that it was kept from the cores: then it had another one."""
    code, said, starved = search_metronome(tmp_path / "results")
    [where] = (tmp_path / "results" / "campaigns").iterdir()
    found = json.loads((where / "capacity.json").read_text())
    assert starved or code == 0, said
    assert starved or found["capacity"] == pytest.approx(20, rel=0.1)
    assert all((where / step["run"] / "requests.parquet").is_file() for step in found["steps"])
    assert "of at most 8: 16 requests/s" in said and "Dispatch delay" not in said, "one line of each step"
    assert starved or "requests/s (90 % interval " in said


def search_metronome(folder: Path) -> tuple[int, str, bool]:
    """Exit code and output of a search against a limit of 20/s; whether a token left 30 ms late or more."""
    folder.mkdir()
    scenario = folder / "quick.yaml"
    scenario.write_text(
        "rate: 16\nduration: 3\nwarmup: 0.5\ndrain: 10\narrivals: {process: constant}\n"
        "prompt_tokens: 16\noutput_tokens: 4\nslo: {ttft: 0.06, tpot: 0.05, share: 0.8}\n"
    )
    command = [sys.executable, "-m", "tokenswarm", "capacity", "metronome", "--scenario", str(scenario)]
    command += ["--step-seconds", "3", "--warmup", "0.5", "--max-steps", "8", "--tolerance", "10"]
    environment = {**os.environ, "TOKENSWARM_RESULTS": str(folder)}
    with metronome("--ttft", "0.02", "--tpot", "0.005", "--capacity", "20") as server:
        command += ["--host", server.url]
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=2 * PATIENCE,
            check=False,
        )
        starved = float(server.stop().lateness().max()) > 0.03
    return done.returncode, done.stdout + done.stderr, starved


def test_axes_hold_the_interval_and_end_at_100_per_cent() -> None:
    step = report.Step(
        number=1,
        rate=4.0,
        seed=1,
        run="step-1",
        verdict="VALID",
        failed_rules=[],
        state="met",
        why="",
        judged=100,
        met=100,
        offered_rate=4.0,
        completed_rate=4.0,
        output_token_throughput=100.0,
        times=dict.fromkeys(report.COLUMNS, Figure(0.1, "s", 100, "")),
    )
    found = report.Capacity(
        name="c",
        variant="baseline",
        slo={"ttft": 1.0, "share": 0.99},
        tolerance=0.05,
        steps=[step],
        rate=4.0,
        interval=(2.5, 6.2),
        found=False,
        ended="",
        conditions={},
        command="",
    )
    times, _, shares = chart(found).panels
    assert times.x_range is not None and times.x_range[0] < 2.5 and times.x_range[1] > 6.2
    assert shares.y_range is not None and shares.y_range[1] < 105
    assert [[mark.text for mark in panel.marks] for panel in (times, shares)] == [
        ["", "90 % interval"],
        ["", ""],
    ]
