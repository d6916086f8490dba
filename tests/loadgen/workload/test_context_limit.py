"""The room that a model has for a request: what has none is named before the run."""

from pathlib import Path

import pytest

from common.usage import UsageError
from loadgen.workload.arrival import Arrival
from loadgen.workload.context_limit import require_room
from loadgen.workload.scenario import Scenario
from loadgen.workload.schedule import schedule

PLAIN = "rate: 5\nduration: 10\nwarmup: 0\nprompt_tokens: 100\noutput_tokens: 20\n"


def written(folder: Path, text: str) -> Scenario:
    path = folder / "mine.yaml"
    path.write_text(text)
    return Scenario.load(path)


def trace(folder: Path, rest: str = "", more: str = "") -> Scenario:
    """Four rows; the third has 5,005 tokens."""
    rows = ((100, 5), (90, 6), (5000, 5), (80, 7))
    lines = (f"{number},{prompt},{output}\n" for number, (prompt, output) in enumerate(rows))
    (folder / "rows.csv").write_text("Timestamp,Request tokens,Response tokens\n" + "".join(lines))
    head = "duration: 4\nwarmup: 0\narrivals: {process: trace}\n"
    return written(folder, f"{head}dataset: {{format: burstgpt, path: rows.csv{more}}}\n{rest}")


def test_what_fits_to_the_token_is_let_through(tmp_path: Path) -> None:
    load = schedule(written(tmp_path, PLAIN), 1)
    require_room(load, 120)
    require_room(load, None)
    with pytest.raises(UsageError, match="scenario mine asks for up to 120 tokens in one .* takes 119 "):
        require_room(load, 119)


TALK = "conversation: {turns: 3, think: 1, system_tokens: 50}\n"


def test_a_conversation_that_outgrows_the_room_is_named_with_its_turn(tmp_path: Path) -> None:
    load = schedule(written(tmp_path, PLAIN + TALK), 1)
    require_room(load, 50 + 3 * 120)
    message = (
        "mine: turn 3 of a conversation comes to 410 tokens with all .* takes 409 .*; lower conversation"
    )
    with pytest.raises(UsageError, match=message):
        require_room(load, 409)


def test_what_each_turn_draws_is_counted(tmp_path: Path) -> None:
    spread = "{distribution: lognormal, mean: 100, sd: 60}"
    talk = "conversation: {turns: {distribution: uniform, min: 1, max: 5}, think: 0.1}\n"
    load = schedule(written(tmp_path, PLAIN.replace(": 100", f": {spread}") + talk), 1)
    most = 0
    for arrival in load.arrivals:
        turn: Arrival | None = arrival
        tokens, due = 0, arrival.due or 0.0
        while turn is not None and due < load.end:
            tokens += turn.prompt_tokens + turn.output_tokens
            turn, due = load.next_in_chain(turn), due + 0.1
        most = max(most, tokens)
    require_room(load, most)
    with pytest.raises(UsageError, match=f"turn [2-5] of a conversation comes to {most} tokens"):
        require_room(load, most - 1)


def test_a_turn_that_cannot_come_before_the_end_needs_no_room(tmp_path: Path) -> None:
    require_room(schedule(written(tmp_path, PLAIN + TALK.replace("think: 1", "think: 10")), 1), 170)


def test_a_closed_loop_has_no_history_that_grows(tmp_path: Path) -> None:
    loop = "arrivals: {process: closed-loop, concurrency: 2, think: 1}\n"
    require_room(schedule(written(tmp_path, PLAIN.removeprefix("rate: 5\n") + loop), 1), 120)


def test_a_row_without_room_is_named_with_the_key_that_helps(tmp_path: Path) -> None:
    message = (
        r"rows.csv: row 4: asks for 5005 tokens, the server takes 4096 .*`max_tokens: 4096` the scenario's"
    )
    with pytest.raises(UsageError, match=message):
        require_room(schedule(trace(tmp_path), 1), 4096)


def test_rows_longer_than_max_tokens_are_passed_over_and_counted(tmp_path: Path) -> None:
    load = schedule(trace(tmp_path, more=", max_tokens: 105"), 1)
    assert [(each.due, each.prompt_tokens) for each in load.arrivals] == [(0, 100), (1, 90), (3, 80)]
    assert load.remarks == (
        f"{tmp_path / 'rows.csv'}: 1 row passed over: longer than dataset.max_tokens, 105",
    )
    require_room(load, 105)


def test_max_tokens_counts_the_answers_that_the_scenario_asks_for(tmp_path: Path) -> None:
    load = schedule(trace(tmp_path, "output_tokens: 12\n", ", max_tokens: 105"), 1)
    assert [each.prompt_tokens for each in load.arrivals] == [90, 80]
    with pytest.raises(UsageError, match="rows.csv: row 2: asks for 112 tokens"):
        require_room(schedule(trace(tmp_path, "output_tokens: 12\n", ", max_tokens: 112"), 1), 110)


def test_a_dataset_without_a_row_that_is_short_enough_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no arrivals in its first 4 s but 4 passed over: longer than"):
        schedule(trace(tmp_path, more=", max_tokens: 9"), 1)
