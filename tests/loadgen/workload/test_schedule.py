"""The schedule: pure, the same for any number of workers, and the window's own whatever the warm-up."""

import json
import tracemalloc
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.places import ROOT
from common.usage import UsageError
from loadgen.workload.arrival import Arrival, Arrivals
from loadgen.workload.arrivals.stages import Stages
from loadgen.workload.arrivals.trace import spread
from loadgen.workload.prompts import PromptMaker
from loadgen.workload.scenario import FOLDER, Scenario
from loadgen.workload.schedule import Schedule, schedule
from loadgen.workload.vocabulary import estimate_vocabulary

NAMES = sorted(path.stem for path in FOLDER.glob("*.yaml"))
DATA = ROOT / "tests" / "data"


def window(plan: Schedule) -> list[tuple[Any, ...]]:
    """What the window's arrivals are, but for number and offset."""
    return [
        (round(moment(arrival) - plan.window_start, 6), *without_place(arrival))
        for arrival in plan.arrivals
        if moment(arrival) >= plan.window_start
    ]


def moment(arrival: Arrival) -> float:
    assert arrival.due is not None
    return arrival.due


def without_place(arrival: Arrival) -> tuple[Any, ...]:
    return (
        arrival.workload,
        arrival.prompt_tokens,
        arrival.output_tokens,
        arrival.prefix_group,
        arrival.priority,
    )


def chain(plan: Schedule, first: Arrival, longest: int = 50) -> list[Arrival]:
    found, arrival = [first], plan.next_in_chain(first)
    while arrival is not None and len(found) < longest:
        found.append(arrival)
        arrival = plan.next_in_chain(arrival)
    return found


def from_data(folder: Path, format: str, file: str, rest: str) -> Scenario:
    path = folder / "mine.yaml"
    path.write_text(f"dataset: {{format: {format}, path: {DATA / file}}}\n{rest}")
    return Scenario.load(path)


@pytest.mark.parametrize("name", NAMES)
def test_numbers_order_and_bounds(name: str) -> None:
    scenario = Scenario.load(name)
    plan = schedule(scenario, 3)
    assert [arrival.number for arrival in plan.arrivals] == list(range(len(plan.arrivals)))
    due = [moment(arrival) for arrival in plan.arrivals]
    assert due == sorted(due)
    assert due[0] >= 0
    assert due[-1] < plan.end == plan.window_end == scenario.warmup + scenario.duration
    assert all(arrival.prompt_tokens >= 1 and arrival.output_tokens >= 1 for arrival in plan.arrivals)
    assert {arrival.workload for arrival in plan.arrivals} == set(scenario.mix)


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_is_the_same_load_and_another_is_not(name: str) -> None:
    scenario = Scenario.load(name)
    one, again, other = (schedule(scenario, seed) for seed in (1, 1, 2))
    assert one.arrivals == again.arrivals
    assert one.digest == again.digest != other.digest


@given(st.sampled_from(NAMES), st.integers(0, 2**32), st.integers(1, 7))
@settings(max_examples=25)
def test_lanes_are_the_whole_schedule_once(name: str, seed: int, lanes: int) -> None:
    plan = schedule(Scenario.load(name).with_overrides(duration=5), seed)
    parts = [plan.lane(lane, lanes) for lane in range(lanes)]
    assert sorted((arrival for part in parts for arrival in part), key=lambda a: a.number) == list(
        plan.arrivals
    )
    for lane, part in enumerate(parts):
        for first in part[:3]:
            assert all(arrival.lane_key % lanes == lane for arrival in chain(plan, first, 4))


@pytest.mark.parametrize("name", [name for name in NAMES if name != "closed-loop-chat"])
def test_the_window_does_not_depend_on_the_warm_up(name: str) -> None:
    scenario = Scenario.load(name).with_overrides(duration=20)
    plans = [schedule(scenario.with_overrides(warmup=warmup), 4) for warmup in (0, 3, 11.5)]
    assert window(plans[0]) == window(plans[1]) == window(plans[2])
    led = [arrival for arrival in plans[2].arrivals if moment(arrival) < plans[2].window_start]
    assert led
    ours = {without_place(arrival) for arrival in led[:5]}
    if name != "shared-prefix":  # all of whose prompts are alike but for their numbers
        assert ours != {without_place(arrival) for arrival in plans[0].arrivals[:5]}


def test_later_turns_do_not_depend_on_the_warm_up_either() -> None:
    scenario = Scenario.load("conversation").with_overrides(duration=20)
    short, long = (schedule(scenario.with_overrides(warmup=warmup), 4) for warmup in (0, 9))
    offset = len(long.arrivals) - len(short.arrivals)
    for first in short.arrivals[:20]:
        turns, same = chain(short, first), chain(long, long.arrivals[first.number + offset])
        assert [(t.think, *without_place(t)) for t in turns[1:]] == [
            (t.think, *without_place(t)) for t in same[1:]
        ]


@pytest.mark.parametrize("name", ["chat-medium", "rag-xlarge", "code-medium", "mixed", "burst"])
def test_means_are_the_stated_ones(name: str) -> None:
    scenario = Scenario.load(name).with_overrides(duration=2000, warmup=0)
    plan = schedule(scenario, 5)
    assert scenario.rate is not None
    assert len(plan.arrivals) / 2000 == pytest.approx(scenario.rate, rel=0.07)
    shares = Counter(arrival.workload for arrival in plan.arrivals)
    for workload, part in scenario.mix.items():
        mine = [arrival for arrival in plan.arrivals if arrival.workload == workload]
        assert shares[workload] / len(plan.arrivals) == pytest.approx(part.share, rel=0.05)
        for asked, stated in (("prompt_tokens", part.prompt_tokens), ("output_tokens", part.output_tokens)):
            drawn = np.array([getattr(arrival, asked) for arrival in mine])
            assert stated.mean is not None
            assert drawn.mean() == pytest.approx(stated.mean, rel=0.03)
            assert drawn.std() == pytest.approx(stated.sd, rel=0.06)


def test_constant_arrivals_keep_their_distance_into_the_window() -> None:
    plan = schedule(Scenario.load("chat-medium").with_overrides(arrivals="constant"), 1)
    assert len(plan.arrivals) == 1300
    assert np.allclose(np.diff([arrival.due for arrival in plan.arrivals]), 0.05)


def test_stages_stretch_with_rate_and_duration() -> None:
    steps = Scenario.load("steps")
    assert isinstance(steps.arrivals, Stages)
    plan = schedule(steps.with_overrides(duration=480, rate=37.5, warmup=10), 1)
    due = np.array([arrival.due for arrival in plan.arrivals]) - plan.window_start
    seen = np.histogram(due, bins=[-10, 0, 120, 240, 360, 480])[0] / [10, 120, 120, 120, 120]
    assert seen == pytest.approx([10, 10, 20, 40, 80], rel=0.3)
    assert seen[1:] == pytest.approx([10, 20, 40, 80], rel=0.1)


def test_a_closed_loop_asks_on_and_on() -> None:
    plan = schedule(Scenario.load("closed-loop-chat").with_overrides(concurrency=4), 1)
    assert len(plan.arrivals) == 4
    assert moment(plan.arrivals[-1]) < plan.window_start
    chains = [chain(plan, first, 30) for first in plan.arrivals]
    numbers = [arrival.number for each in chains for arrival in each]
    assert sorted(numbers) == list(range(120))
    for client, each in enumerate(chains):
        assert [arrival.turn for arrival in each] == list(range(30))
        assert {arrival.conversation for arrival in each} == {client}
        assert [arrival.after for arrival in each[1:]] == [arrival.number for arrival in each[:-1]]
        assert all(arrival.due is None and 0 <= arrival.think <= 20 for arrival in each[1:])
    assert len({arrival.prompt_tokens for each in chains for arrival in each}) > 20
    assert plan.next_in_chain(chains[2][7]) == chains[2][8]


def test_conversations_have_their_turns_and_end() -> None:
    plan = schedule(Scenario.load("conversation"), 1)
    chains = [chain(plan, first) for first in plan.arrivals]
    turns = Counter(len(each) for each in chains)
    assert set(turns) == {2, 3, 4, 5, 6}
    assert min(turns.values()) > len(chains) / 5 * 0.6
    numbers = [arrival.number for each in chains for arrival in each]
    assert len(set(numbers)) == len(numbers)
    assert all(arrival.history for each in chains for arrival in each)
    assert chains[0][0].system and chains[0][0].prefix_tokens == 256
    assert chains[0][0].prompt_asked == 256 + chains[0][0].prompt_tokens
    assert chains[0][1].prompt_asked is None
    assert not plan.prompts_unique


def test_single_requests_have_no_chain() -> None:
    plan = schedule(Scenario.load("chat-low"), 1)
    assert plan.next_in_chain(plan.arrivals[0]) is None
    assert plan.prompts_unique


def test_priorities_and_prefixes_reach_the_arrivals() -> None:
    urgent = schedule(Scenario.load("chat-priority"), 1).arrivals
    assert {(arrival.workload, arrival.priority) for arrival in urgent} == {("urgent", 0), ("normal", 1)}
    shared = schedule(Scenario.load("shared-prefix"), 1)
    assert {arrival.prefix_group for arrival in shared.arrivals} == set(range(8))
    assert {arrival.prompt_asked for arrival in shared.arrivals} == {1024 + 64}
    assert not shared.prompts_unique


def test_a_trace_comes_as_recorded(tmp_path: Path) -> None:
    scenario = from_data(
        tmp_path, "azure", "azure.csv", "arrivals: {process: trace}\nduration: 7.4\nwarmup: 20\n"
    )
    plan = schedule(scenario, 1)
    judged = [arrival for arrival in plan.arrivals if moment(arrival) >= plan.window_start]
    assert [moment(arrival) - 20 for arrival in judged] == pytest.approx(
        [0, 4.314579, 4.541977, 6.31941], abs=1e-4
    )
    assert [(arrival.prompt_tokens, arrival.output_tokens) for arrival in judged] == [
        (374, 44),
        (396, 109),
        (879, 55),
        (91, 16),
    ]
    led = [arrival for arrival in plan.arrivals if moment(arrival) < plan.window_start]
    assert led
    assert {arrival.prompt_tokens for arrival in led} <= {374, 396, 879, 91}


def test_a_trace_at_another_rate(tmp_path: Path) -> None:
    rest = "arrivals: {process: trace}\nduration: 3\nwarmup: 0\nrate: 1\n"
    plan = schedule(from_data(tmp_path, "mooncake", "mooncake.jsonl", rest), 1)
    assert [arrival.due for arrival in plan.arrivals] == pytest.approx([0, 0, 2])
    assert [arrival.blocks for arrival in plan.arrivals] == [(0, 1, 2), (0, 1, 3), (4,)], "numbered anew"
    assert not plan.prompts_unique


def made(**keys: Any) -> Scenario:
    """Small prompts at 100/s for 20 s, with these keys."""
    usual = {"rate": 100, "duration": 20, "warmup": 1, "prompt_tokens": 40, "output_tokens": 5}
    return Scenario.from_dict({"name": "made", **usual, **keys})


def test_what_came_later_changes_no_other_draw() -> None:
    plain = schedule(made(), 1).arrivals
    extras = {"adapters": {"names": ["a", "b"]}, "cancel": {"share": 0.3, "after": 0.5},
              "images": {"width": 8, "height": 8}, "max_concurrency": 3}  # fmt: skip
    for each, other in zip(plain, schedule(made(**extras), 1).arrivals, strict=True):
        assert (each.due, without_place(each)) == (other.due, without_place(other))
    assert (
        len({schedule(made(**{key: extras[key]}), 1).digest for key in extras} | {schedule(made(), 1).digest})
        == 4
    )


def test_adapters_have_their_shares_and_ranks() -> None:
    shares = schedule(made(adapters={"shares": {"a": 0.7, "b": 0.3}}), 1).arrivals
    counts = Counter(arrival.adapter for arrival in shares)
    assert counts["a"] / len(shares) == pytest.approx(0.7, abs=0.04) and set(counts) == {"a", "b"}
    ranked = schedule(made(adapters={"names": ["a", "b", "c"], "zipf": 1}), 1).arrivals
    counts = Counter(arrival.adapter for arrival in ranked)
    assert [counts[name] / len(ranked) for name in "abc"] == pytest.approx([6 / 11, 3 / 11, 2 / 11], abs=0.04)


def test_a_conversation_keeps_its_adapter() -> None:
    turns = {"conversation": {"turns": 3, "think": 0}, "adapters": {"names": ["a", "b", "c"]}}
    plan = schedule(made(**turns), 1)
    for first in plan.arrivals[:20]:
        assert {arrival.adapter for arrival in chain(plan, first)} == {first.adapter}


def test_a_share_is_to_be_cancelled_after_its_time() -> None:
    cancel = {"share": 0.25, "after": {"distribution": "uniform", "min": 1, "max": 2}}
    arrivals = schedule(made(cancel=cancel), 1).arrivals
    ends = [arrival.cancel_after for arrival in arrivals if arrival.cancel_after is not None]
    assert len(ends) / len(arrivals) == pytest.approx(0.25, abs=0.04)
    assert min(ends) >= 1 and max(ends) <= 2 and len(set(ends)) > 100


def test_a_prefix_by_rank_and_of_a_wanted_hit_rate() -> None:
    prefix = {"hit_rate": 0.8, "groups": 4, "zipf": 1}
    arrivals = schedule(made(shared_prefix=prefix), 1).arrivals
    shared, own = (
        sum(getattr(each, name) for each in arrivals) for name in ("prefix_tokens", "prompt_tokens")
    )
    assert shared / (shared + own) == pytest.approx(0.8)
    counts = Counter(arrival.prefix_group for arrival in arrivals)
    assert [counts[group] / counts[0] for group in range(4)] == pytest.approx(
        [1, 1 / 2, 1 / 3, 1 / 4], abs=0.08
    )


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"shared_prefix": {"tokens": 5, "hit_rate": 0.5}}, "needs tokens or hit_rate"),
        ({"shared_prefix": {"tokens": 5, "zipf": 1}}, "zipf is for several groups"),
        (
            {
                "prompt_tokens": None,
                "output_tokens": None,
                "request": {"extra_body": {"priority": 1}},
                "workloads": {"a": {"prompt_tokens": 9, "output_tokens": 9, "priority": 2}},
            },
            "priority is given twice, by workloads.a",
        ),
        ({"adapters": {"shares": {"a": 0.5}}}, "add up to 0.5"),
        ({"adapters": {"shares": {"a": 1.0}, "zipf": 1}}, "do not go together"),
        ({"max_concurrency": 2, "rate": None, "arrivals": {"process": "closed-loop"}}, "has its concurrency"),
    ],
)
def test_what_would_be_without_effect_is_refused(keys: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        made(**keys)


def test_bunches_are_said_and_can_be_spread(tmp_path: Path) -> None:
    times = [moment for moment in (0.0, 3.0, 6.0) for _ in range(3)]
    plan = schedule(timed_file(tmp_path, times, "duration: 8\nwarmup: 0\n"), 1)
    said = "9 arrivals come at 3 moments, up to 3 at one; `spread: true` in the dataset spreads them until"
    assert said in plan.remarks[0] and len({arrival.due for arrival in plan.arrivals}) == 3
    path = tmp_path / "timed.yaml"
    path.write_text(path.read_text().replace("jsonl}", "jsonl, spread: true}"))
    plan = schedule(Scenario.load(path), 1)
    due = [moment(arrival) for arrival in plan.arrivals]
    assert (
        due == pytest.approx([0, 1, 2, 3, 4, 5, 6, 6 + 2 / 3, 6 + 4 / 3])
        and "they are spread" in plan.remarks[0]
    )


@given(st.lists(st.integers(0, 20), min_size=1, max_size=60))
def test_spread_times_are_sorted_below_the_end_and_begin_where_they_did(moments: list[int]) -> None:
    times = np.array(sorted(moments), dtype=float)
    found = spread(times, 21.0)
    assert (np.diff(found) >= 0).all() and found[-1] < 21
    first = np.unique(times, return_index=True)[1]
    assert np.allclose(found[first], times[first])


def test_turns_of_a_traces_session_wait_for_their_answers(tmp_path: Path) -> None:
    path = tmp_path / "agents.yaml"
    rest = "duration: 7\nwarmup: 0\narrivals: {process: trace}\n"
    path.write_text(f"{rest}dataset: {{format: otel, path: {DATA / 'otel.jsonl'}, sessions: true}}\n")
    plan = schedule(Scenario.load(path), 1)
    assert [(each.due, each.prompt_tokens) for each in plan.arrivals] == [(0, 900), (0.5, 300), (4, 500)]
    turns = chain(plan, plan.arrivals[0])
    assert [(each.due, each.think, each.prompt_tokens) for each in turns] == [
        (0, 0, 900), (None, 2, 1100), (None, 1.5, 1400),
    ]  # fmt: skip
    assert [(each.number, each.after, each.lane_key) for each in turns] == [
        (0, None, 0),
        (3, 0, 0),
        (6, 3, 0),
    ]
    maker = PromptMaker(estimate_vocabulary(), 1, plan.scenario)
    texts = [maker.text(each).split() for each in (*turns, *plan.arrivals[1:])]
    assert [len(text) for text in texts] == [899, 1099, 1399, 299, 499]
    assert all(texts[0][:each] == texts[2][:each] for each in (499, 899)) and texts[1] == texts[2][:1099]
    assert texts[4] == texts[0][:499]
    assert texts[3][:10] != texts[0][:10]
    path.write_text(f"{rest}dataset: {{format: azure, path: {DATA / 'azure.csv'}, sessions: true}}\n")
    with pytest.raises(UsageError, match="azure data tell of no sessions"):
        schedule(Scenario.load(path), 1)


def test_images_of_a_trace_are_sent_or_named(tmp_path: Path) -> None:
    path, file = tmp_path / "seen.yaml", DATA / "traces" / "azure-2025-multimodal-layout.csv"
    load = f"duration: 2\nwarmup: 0\narrivals: {{process: trace}}\ndataset: {{format: azure, path: {file}}}\n"
    path.write_text(load)
    plan = schedule(Scenario.load(path), 1)
    assert any("1 row with images, which are not sent" in remark for remark in plan.remarks)
    path.write_text(f"{load}images: {{width: 8, height: 8}}\n")
    plan = schedule(Scenario.load(path), 1)
    assert [arrival.images for arrival in plan.arrivals] == [2, 0]
    assert not any("images" in remark for remark in plan.remarks)


def timed_file(folder: Path, times: list[float], rest: str) -> Scenario:
    """A trace of these times (s)."""
    lines = (
        f'{{"timestamp": {1000 * time}, "input_length": 100, "output_length": {number + 1}}}\n'
        for number, time in enumerate(times)
    )
    (folder / "timed.jsonl").write_text("".join(lines))
    path = folder / "timed.yaml"
    path.write_text(f"arrivals: {{process: trace}}\ndataset: {{format: mooncake, path: timed.jsonl}}\n{rest}")
    return Scenario.load(path)


def test_a_trace_of_prompts_may_name_its_times_since_1970(tmp_path: Path) -> None:
    (tmp_path / "said.jsonl").write_text(
        "".join(f'{{"prompt": "a", "output_tokens": 5, "time": {1763040000 + more}}}\n' for more in (0, 1.5))
    )
    path = tmp_path / "said.yaml"
    path.write_text(
        "duration: 3\nwarmup: 0\narrivals: {process: trace}\ndataset: {format: jsonl, path: said.jsonl}\n"
    )
    assert [arrival.due for arrival in schedule(Scenario.load(path), 1).arrivals] == [0, 1.5]


def test_a_trace_that_begins_busily_has_the_asked_rate(tmp_path: Path) -> None:
    times = [0.1 * number for number in range(6000)] + [600.0 + number for number in range(3000)]
    plan = schedule(timed_file(tmp_path, times, "rate: 20\nduration: 60\nwarmup: 5\n"), 1)
    due = [moment(arrival) - 5 for arrival in plan.arrivals if moment(arrival) >= 5]
    assert len(due) == 1200 and due[0] == 0 and due[-1] == pytest.approx(1199 / 20)
    assert 60 < len(plan.arrivals) - len(due) < 140


def test_a_pause_of_a_trace_is_not_its_end(tmp_path: Path) -> None:
    times = [0.0, 0.3, 0.7, 40.0, 41.0]
    plan = schedule(timed_file(tmp_path, times, "duration: 20\nwarmup: 0\n"), 1)
    assert [moment(arrival) for arrival in plan.arrivals] == pytest.approx([0.0, 0.3, 0.7])
    with pytest.raises(UsageError, match="timed.jsonl: ends after 41.0 s, duration is 160 s; set a "):
        schedule(timed_file(tmp_path, times, "duration: 160\nwarmup: 0\n"), 1)


def test_a_trace_that_is_too_short_for_the_rate_is_refused(tmp_path: Path) -> None:
    times = [float(number) for number in range(101)]
    scenario = timed_file(tmp_path, times, "rate: 10\nduration: 60\nwarmup: 0\n")
    with pytest.raises(UsageError, match="ends after 10.0 s, played at 10/s, duration is 60 s"):
        schedule(scenario, 1)


def test_of_a_trace_that_is_played_at_a_rate_only_what_is_sent_is_read(tmp_path: Path) -> None:
    scenario = timed_file(tmp_path, [1.0, 2.0, 4.0, 3.0], "rate: 1\nduration: 3\nwarmup: 0\n")
    due = [arrival.due for arrival in schedule(scenario, 1).arrivals]
    assert due == pytest.approx([0, 2 / 3, 2]), "the fourth time, before the third, is not read"
    with pytest.raises(UsageError, match="row 4: its time is before"):
        schedule(scenario.with_overrides(duration=4), 1)


def test_of_a_stretched_trace_only_what_is_sent_is_held(tmp_path: Path) -> None:
    lines = (f'{{"prompt": "{number:05} {"word " * 200}", "output_tokens": 9, "time": {number}}}\n'
             for number in range(20_000))  # fmt: skip
    (tmp_path / "long.jsonl").write_text("".join(lines))  # 20 MB
    path = tmp_path / "long.yaml"
    path.write_text(
        "arrivals: {process: trace}\nrate: 10\nduration: 5\nwarmup: 0\n"
        "dataset: {format: jsonl, path: long.jsonl}\n"
    )
    scenario = Scenario.load(path)
    tracemalloc.start()
    plan = schedule(scenario, 1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(plan.arrivals) == 50
    assert peak < 2_000_000


def test_a_trace_of_too_many_requests_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loadgen.workload.schedule.MOST_ARRIVALS", 3)
    scenario = from_data(tmp_path, "azure", "azure.csv", "arrivals: {process: trace}\nduration: 7.4\n")
    with pytest.raises(
        UsageError, match="azure.csv: comes to more than 3 requests in 7.4 s, and these are the most"
    ):
        schedule(scenario, 1)


@pytest.mark.parametrize("parameters", ["decay: 1.0e-6", "decay: 1.0, branching: 0.99999999"])
def test_arrivals_that_settle_for_too_long_are_refused_at_once(tmp_path: Path, parameters: str) -> None:
    path = tmp_path / "slow.yaml"
    path.write_text(
        f"rate: 20\nduration: 5\narrivals: {{process: hawkes, {parameters}}}\n"
        "prompt_tokens: 5\noutput_tokens: 5\n"
    )
    with pytest.raises(
        UsageError, match="scenario slow: .* s to settle, for .* and 5,000,000 are the most: raise decay"
    ):
        schedule(Scenario.load(path), 1)


def test_a_dataset_gives_prompts_to_any_process(tmp_path: Path) -> None:
    rest = "rate: 2\nduration: 1\nwarmup: 0.4\narrivals: {process: constant}\n"
    plan = schedule(from_data(tmp_path, "sharegpt", "sharegpt.json", rest), 1)
    assert [arrival.dialogue[-1][1] for arrival in plan.arrivals] == [
        "Name three rivers.",  # the warm-up takes what comes after the window's
        "How do I cook rice so that it does not stick to the pot?",
        'Why is the sky blue? é中 "quoted" [1, 2]',
    ]
    assert plan.arrivals[2].dialogue[0] == ("system", "You answer in one sentence.")
    assert plan.arrivals[0].prompt_asked is None
    assert not plan.prompts_unique


def test_the_scenarios_output_lengths_go_before_the_datasets(tmp_path: Path) -> None:
    rest = "rate: 1\nduration: 2\nwarmup: 0\narrivals: {process: constant}\noutput_tokens: 77\n"
    plan = schedule(from_data(tmp_path, "sharegpt", "sharegpt.json", rest), 1)
    assert [arrival.output_tokens for arrival in plan.arrivals] == [77, 77]


@pytest.mark.parametrize(
    ("format", "file", "rest", "message"),
    [
        ("sharegpt", "sharegpt.json", "rate: 10\nduration: 5\n", "holds 3 prompts, the run needs"),
        ("openai-batch", "openai-batch.jsonl",
         "rate: 3\nduration: 1\narrivals: {process: constant}\nwarmup: 0\n",
         "openai-batch.jsonl: row 3: says no output length"),
        ("sharegpt", "sharegpt.json", "duration: 5\narrivals: {process: trace}\n", "without times"),
        ("azure", "azure.csv", "duration: 500\narrivals: {process: trace}\n", "ends after 6.3 s"),
    ],
)  # fmt: skip
def test_a_dataset_that_does_not_serve_is_refused(
    tmp_path: Path, format: str, file: str, rest: str, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        schedule(from_data(tmp_path, format, file, rest), 1)


def test_a_short_dataset_may_repeat(tmp_path: Path) -> None:
    path = tmp_path / "again.yaml"
    path.write_text(
        "rate: 5\nduration: 10\n"
        f"dataset: {{format: sharegpt, path: {DATA / 'sharegpt.json'}, repeat: true}}\n"
    )
    plan = schedule(Scenario.load(path), 1)
    assert len({arrival.dialogue[-1][1] for arrival in plan.arrivals}) == 3 < len(plan.arrivals)


def test_lengths_alone_may_repeat_since_prompts_are_made(tmp_path: Path) -> None:
    plan = schedule(from_data(tmp_path, "azure", "azure.csv", "rate: 5\nduration: 10\n"), 1)
    assert {arrival.prompt_tokens for arrival in plan.arrivals} == {374, 396, 879, 91}
    assert plan.prompts_unique


def test_rows_that_are_passed_over_are_said_with_their_number(tmp_path: Path) -> None:
    data = tmp_path / "zeros.csv"
    data.write_text("Timestamp,Request tokens,Response tokens\n1,5,0\n2,5,5\n3,0,5\n4,5,5\n9,5,0\n")
    path = tmp_path / "zeros.yaml"
    path.write_text(
        "duration: 3\nwarmup: 0\narrivals: {process: trace}\ndataset: {format: burstgpt, path: zeros.csv}\n"
    )
    plan = schedule(Scenario.load(path), 1)
    assert [arrival.due for arrival in plan.arrivals] == [0, 2]
    said = f"{data}: 3 rows passed over: 0 tokens in the prompt or the answer"
    assert plan.remarks == (said,)
    data.write_text("Timestamp,Request tokens,Response tokens\n1,5,0\n")
    with pytest.raises(UsageError, match="holds no arrivals in its first 3 s but 1 passed over: 0 tokens"):
        schedule(Scenario.load(path), 1)


def test_a_dataset_that_changed_since_is_noticed(tmp_path: Path) -> None:
    data = tmp_path / "data.jsonl"
    data.write_text('"one"\n')
    path = tmp_path / "mine.yaml"
    path.write_text("rate: 1\nduration: 1\noutput_tokens: 5\ndataset: {format: jsonl, path: data.jsonl}\n")
    scenario = Scenario.load(path)
    data.write_text('"two"\n')
    with pytest.raises(UsageError, match="data.jsonl: is not the file"):
        schedule(scenario, 1)


DIGESTS = json.loads((DATA / "schedules.json").read_text())  # made with commit 339e325


@pytest.mark.parametrize("name", DIGESTS)
def test_the_same_seed_gives_the_load_that_it_gave_before(name: str) -> None:
    file, _, process = name.partition(" ")
    scenario = Scenario.load(file)
    if process:
        scenario = scenario.with_overrides(arrivals=process, rate=None if process == "closed-loop" else 5)
    assert schedule(scenario, 3 if process else 1).digest == DIGESTS[name]


@pytest.mark.parametrize("name", ["mixed", "chat-priority", "conversation"])
def test_columns_hold_what_objects_held(name: str) -> None:
    load = schedule(Scenario.load(name).with_overrides(duration=5), 1).arrivals
    copied = Arrivals.of(list(load))
    assert copied == load and b"".join(copied.texts()) == b"".join(load.texts())
    assert [load[place] for place in range(len(load))] == list(load)
    assert list(load.take(np.array([3, 1]))) == [load[3], load[1]] and list(load[-2:]) == [load[-2], load[-1]]
    assert load.values("workload") == {each.workload for each in load}
    with pytest.raises(IndexError):
        load[len(load)]
