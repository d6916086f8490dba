"""The backlog rules: what fills up, rises by plan or is refused is no queue; what falls behind is found."""

import heapq
from collections import deque
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bench.synthetic import Floats, Shape, Truth
from bench.verdict import CHAT_MEDIUM, recorded, run_of
from reports.runs.runs import Run
from reports.verdict.rules.server import backlog, backlog_at_end, growing, saturated

WINDOW = (5.0, 65.0)
CHAT = Shape(rate=20, output=150, output_sd=80, ttft=0.05, tpot=0.02)
SEEDS = range(8)


def failed(run: Run) -> set[str]:
    return {rule.rule for rule in (backlog(run), backlog_at_end(run)) if not rule.passed}


def often(runs: list[Run]) -> tuple[int, int]:
    """In how many each of the two rules fails."""
    found = [failed(run) for run in runs]
    return sum("backlog" in each for each in found), sum("backlog_at_end" in each for each in found)


def rising(seed: int, first: float, last: float) -> Floats:
    """Due times of a load that rises evenly over the window from one rate to another."""
    rng, (start, end) = np.random.default_rng(seed), WINDOW
    count = rng.poisson((first + last) / 2 * (end - start))
    share = (np.sqrt(first**2 + rng.random(count) * (last**2 - first**2)) - first) / (last - first)
    return np.sort(
        np.concatenate([start * rng.random(rng.poisson(first * start)), start + (end - start) * share])
    )


def steady(seed: int, rate: float) -> Floats:
    rng = np.random.default_rng(seed)
    return np.sort(WINDOW[1] * rng.random(rng.poisson(rate * WINDOW[1])))


def batching(
    seed: int, due: Floats, idle: float, each: float, batch: int | None = None, process: Any = "poisson"
) -> Run:
    """A run of a server whose step takes `idle` seconds and `each` more for every request in it, and gives
    each of them a token. At most `batch` at once, in the order in which they came."""
    spread = np.sqrt(np.log1p((80 / 150) ** 2))
    drawn = np.random.default_rng(seed + 1000).lognormal(np.log(150) - spread**2 / 2, spread, len(due))
    tokens = np.maximum(np.rint(drawn), 2).astype(np.int64)
    first, last = np.full(len(due), np.inf), np.full(len(due), np.inf)
    waiting, running, now, step, came = deque[int](), list[tuple[int, int]](), 0.0, 0, 0
    while now < 300 and (came < len(due) or waiting or running):
        if not waiting and not running:
            now = max(now, float(due[came]))
        while came < len(due) and due[came] <= now:
            waiting.append(came)
            came += 1
        new = [waiting.popleft() for _ in range(min(len(waiting), (batch or len(due)) - len(running)))]
        now, step = now + idle + each * (len(running) + len(new)), step + 1
        first[new] = now
        for one in new:
            heapq.heappush(running, (step + int(tokens[one]) - 1, one))
        while running and running[0][0] <= step:
            last[heapq.heappop(running)[1]] = now
    closed = min(float(last.max()), WINDOW[1] + 60) + 0.01
    status = np.where(last > closed, 2, 0).astype(np.int8)
    truth = Truth(due, due, first, last, tokens, status, WINDOW, closed)
    return recorded(replace(CHAT, arrivals=process), truth, str(seed))


def slowed(seed: int, slots: int, part: float, factor: float) -> Run:
    """A run of a queue whose server takes so many times as long from a part of the window on."""
    due = steady(seed, 20)
    tokens = np.full(len(due), 150)
    at = WINDOW[0] + part * (WINDOW[1] - WINDOW[0])

    def after(begin: float, work: float) -> float:
        before = max(min(work, at - begin), 0.0)
        return begin + before + factor * (work - before)

    free, first, last = [0.0] * slots, np.empty(len(due)), np.empty(len(due))
    for number, came in enumerate(due.tolist()):
        first[number] = after(max(came, free[0]), 0.05)
        last[number] = after(float(first[number]), 0.02 * 149)
        heapq.heapreplace(free, float(last[number]))
    truth = Truth(
        due, due, first, last, tokens, np.zeros(len(due), np.int8), WINDOW, float(last.max()) + 0.01
    )
    return recorded(CHAT, truth, str(seed))


def ramp(first: float, last: float) -> dict[str, Any]:
    return {"process": "stages", "stages": [{"rate": first, "to": last, "duration": 60}]}


@pytest.mark.parametrize("tpot", [0.05, 0.1, 0.2])
def test_a_load_that_still_fills_the_server_is_no_backlog(tpot: float) -> None:
    """The warm-up is 5 s, and requests last 7 to 30 s."""
    shapes = [replace(CHAT, tpot=tpot, seed=seed) for seed in SEEDS]
    assert often([run_of(shape, "x") for shape in shapes]) == (0, 0)


@pytest.mark.parametrize("idle", [0.01, 0.05, 0.1])
def test_a_batch_that_fills_and_slows_its_requests_down_is_no_backlog(idle: float) -> None:
    assert often([batching(seed, steady(seed, 20), idle, 0.0001) for seed in SEEDS]) == (0, 0)


@pytest.mark.parametrize("process", ["trace", ramp(5, 25)])
def test_a_load_that_rises_while_the_server_holds_it_is_no_backlog(process: Any) -> None:
    """The batch grows from 10 to 60, and TPOT with it by half."""
    runs = [batching(seed, rising(seed, 5, 25), 0.01, 0.0001, batch=100, process=process) for seed in SEEDS]
    assert often(runs) == (0, 0)


@pytest.mark.parametrize("process", ["trace", ramp(5, 60)])
@pytest.mark.parametrize("batch", [64, None])
def test_a_load_that_rises_beyond_the_server_is_found_at_the_end(process: Any, batch: int | None) -> None:
    """Held up before the first token by a full batch, or without a limit by a TPOT that keeps rising."""
    each = 0.0001 if batch else 0.0002
    runs = [batching(seed, rising(seed, 5, 60), 0.01, each, batch, process) for seed in SEEDS]
    assert often(runs)[1] == len(SEEDS)


@pytest.mark.parametrize(("rate", "each", "batch"), [(36, 0.0001, 64), (20, 0.0004, None)])
def test_a_batching_server_that_falls_behind_is_found(rate: float, each: float, batch: int | None) -> None:
    runs = [batching(seed, steady(seed, rate), 0.01, each, batch) for seed in SEEDS]
    assert often(runs)[0] >= len(SEEDS) - 1


@pytest.mark.parametrize(("part", "factor"), [(0.9, 2.0), (0.9, 4.0), (0.8, 1.5), (0.8, 4.0)])
def test_a_server_that_slows_down_late_is_found(part: float, factor: float) -> None:
    """It was busy at 76 to 81 % before."""
    runs = [slowed(seed, 76, part, factor) for seed in SEEDS]
    assert often(runs)[1] >= len(SEEDS) - 1


def test_a_server_that_does_not_slow_down_is_not() -> None:
    assert often([slowed(seed, 76, 0.9, 1.0) for seed in SEEDS]) == (0, 0)


def test_both_rules_say_what_they_saw() -> None:
    late, whole = slowed(1, 76, 0.8, 4.0), run_of(replace(CHAT_MEDIUM, slots=45), "x")
    end = backlog_at_end(late)
    assert "in the last 12.0 s requests in flight went from" in end.text and end.advice
    assert "were expected in flight; the rest" in end.text and "arrivals due there" in end.text
    assert end.figure is not None and end.bound is not None and end.figure > 2 * end.bound
    assert "were expected in flight" in backlog(whole).text


def test_a_queue_that_stands_when_the_test_begins_is_found() -> None:
    """Who waits in it from the first moment on waits no less for it: 3 times what the server can serve."""
    shapes = [replace(CHAT, slots=20, seed=seed) for seed in SEEDS]
    assert often([run_of(shape, "x") for shape in shapes]) == (len(SEEDS), len(SEEDS))


def test_a_closed_loop_has_no_backlog() -> None:
    run = run_of(replace(CHAT, slots=30), "x")
    assert growing(run)
    load = run.manifest.scenario | {"arrivals": {"process": "closed-loop", "clients": 20}}
    closed = replace(run, manifest=run.manifest.model_copy(update={"scenario": load}), memo={})
    assert not growing(closed) and not backlog(closed).checked and not backlog_at_end(closed).checked


def test_what_the_source_cannot_tell_makes_no_run_saturated() -> None:
    """A file of another tool that holds no due times has its rules of the backlog switched off."""
    run = run_of(replace(CHAT, slots=45), "x")
    assert growing(run) and saturated(run)
    silent = {"backlog": "no due times", "backlog_at_end": "no due times"}
    silent |= {"unfinished_share": "no drain", "refused_share": "no status"}
    told = replace(run, limits=replace(run.limits, rules=silent), memo={})
    assert not growing(told) and not saturated(told)


def test_a_run_in_which_nothing_completed_is_not_checked_at_its_end() -> None:
    run = run_of(replace(CHAT, hung_share=1.0), "x")
    assert not backlog_at_end(run).checked
    assert not backlog(run).passed
