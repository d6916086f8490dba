"""What is seen of a run while it goes: pulses of the workers, added up on the master."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from locust.env import Environment

from loadgen.live.histogram import empty_digests
from loadgen.live.live import Live
from loadgen.live.pulse import Pulse
from loadgen.master.status_line import line
from loadgen.protocol import events
from loadgen.records.metrics import METRICS, moments, value
from loadgen.records.record import COMPLETED, FAILED, Record
from loadgen.workload.arrival import Arrival
from loadgen.workload.scenario import Scenario, Slo
from loadgen.workload.schedule import schedule
from tests.support.pulses import BLANK

WARMUP = 2.0
SCENARIO = {
    "name": "chat",
    "rate": 10,
    "duration": 4,
    "warmup": WARMUP,
    "prompt_tokens": 8,
    "output_tokens": 11,
}


def chat(arrival: Arrival, due: float, ttft: float, tpot: float) -> None:
    """One request's life, as the lane's hooks tell it: sent 1 ms late, 11 tokens."""
    environment, sent = Environment(), due + 0.001
    events.launched.fire(environment=environment, arrival=arrival, due=due, now=sent)
    events.first_token.fire(environment=environment, arrival=arrival, ttft=ttft, scheduled_ttft=ttft + 0.001)
    times = sent + ttft + tpot * np.arange(11)
    record = Record(
        arrival=arrival.number,
        lane=0,
        workload=arrival.workload,
        due=due,
        status=COMPLETED,
        sent=sent,
        first_token=times[0],
        last_token=times[-1],
        end=times[-1],
        output_tokens=11,
        chunk_times=times,
    )
    events.chat_finished.fire(environment=environment, arrival=arrival, record=record)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, 0.02),
        ({"last_token": 1.0}, None),  # in one piece
        ({"output_tokens": 1}, None),
        ({"output_tokens": None}, None),
        ({"status": FAILED}, None),
        ({"first_token": None}, None),
    ],
)
def test_tpot_is_of_answers_that_show_a_pace(changes: dict[str, Any], expected: float | None) -> None:
    """As the report defines it; the worker's pulse and Locust's table both ask here."""
    record = Record(0, 0, "chat", 0.0, COMPLETED, first_token=1.0, last_token=1.2, output_tokens=11)
    found = value(moments(dataclasses.replace(record, **changes)), METRICS["tpot"])
    assert found == (None if expected is None else pytest.approx(expected))


def told(t: float, pulse: Pulse, **more: Any) -> dict[str, Any]:
    """A pulse as the worker sends it."""
    return BLANK | {"t": t} | pulse.take() | more


def test_percentiles_leave_the_warm_up_out_and_the_charts_show_it() -> None:
    plan = schedule(Scenario.from_dict(SCENARIO), 1)
    live, pulse = Live(plan.end, (plan.window_start, plan.window_end), 1), Pulse(Environment())
    judged = 0
    for arrival in plan.arrivals:
        due = arrival.due or 0.0
        judged += due >= WARMUP
        chat(arrival, due, *((0.1, 0.01) if due >= WARMUP else (5.0, 0.5)))
    live.pulse(told(1.0, pulse))
    pulse.close()
    live.tick(1.0, {})
    found = live.percentiles()
    assert 0 < judged < len(plan.arrivals)
    for metric, exact in (("ttft", 0.1), ("tpot", 0.01), ("latency", 0.2), ("dispatch_delay", 0.001)):
        assert found[metric]["count"] == judged
        assert found[metric]["p99"] == pytest.approx(exact, rel=0.01), metric
    assert found["itl"]["count"] == 10 * judged
    assert found == live.percentiles("chat")
    assert live.points[-1].times["ttft_p99"] == pytest.approx(5.0, rel=0.01)
    assert live.points[-1].times["tpot_p99"] == pytest.approx(0.5, rel=0.01)
    assert live.counts()[COMPLETED] == len(plan.arrivals)
    assert live.histograms["chat"]["ttft"].count == len(plan.arrivals)


def test_a_later_turn_belongs_to_the_phase_in_which_it_is_due() -> None:
    talk = {"turns": 3, "think": 1}
    plan = schedule(Scenario.from_dict(SCENARIO | {"conversation": talk}), 1)
    first = plan.arrivals[0]
    following = plan.next_in_chain(first)
    assert first.due is not None and first.due < WARMUP and following is not None
    live, pulse = Live(plan.end, (plan.window_start, plan.window_end), 1), Pulse(Environment())
    chat(first, first.due, 5.0, 0.5)
    chat(following, WARMUP, 0.1, 0.01)
    live.pulse(told(1.0, pulse))
    pulse.close()
    assert live.percentiles()["ttft"]["count"] == 1
    assert live.percentiles()["ttft"]["p50"] == pytest.approx(0.1, rel=0.01)


@pytest.mark.parametrize(("worked_off", "verdict"), [(20.0, "VALID"), (10.0, "SATURATED")])
def test_long_answers_are_no_saturation(worked_off: float, verdict: str) -> None:
    """Arrivals at 20/s whose answers take 8 s: so long, in flight grows and little completes."""
    live, pulse = Live(60.0, (0.0, 60.0), 1), Pulse(Environment())
    arrival, seen = schedule(Scenario.from_dict(SCENARIO | {"warmup": 0}), 1).arrivals[0], set()
    completed = 0
    for second in range(40):
        while (completed + 1) / worked_off + 8 <= second:
            completed += 1
            chat(arrival, 0.0, 0.1, max(completed / worked_off + 8 - completed / 20 - 0.1, 0.1) / 10)
        live.pulse(told(second, pulse, due=20 * second, in_flight=20 * second - completed))
        live.tick(float(second), {})
        seen.add(live.verdict()[0])
        if second == 5:
            assert live.verdict() == ("", "nothing has completed yet")
    pulse.close()
    assert seen == {"", "VALID", verdict} and live.verdict()[0] == verdict


def test_chance_is_no_saturation() -> None:
    """Independent requests at 11/s that take 2.5 s each: in flight comes and goes by itself."""
    rng = np.random.default_rng(4)
    due = np.sort(rng.uniform(0, 300, 3300))
    ended = due + rng.exponential(2.5, len(due))
    live, pulse = Live(300.0, (0.0, 300.0), 1), Pulse(Environment())
    arrival = schedule(Scenario.from_dict(SCENARIO | {"warmup": 0}), 1).arrivals[0]
    seen, completed, partings = set(), 0, 0
    for second in range(300):
        sent, done = int((due < second).sum()), int((ended < second).sum())
        for _ in range(done - completed):
            chat(arrival, 0.0, 0.1, 0.24)
        completed = done
        live.pulse(told(second, pulse, due=sent, in_flight=sent - done))
        live.tick(float(second), {})
        now, before = live.points[-1], live.points[max(-11, -len(live.points))]
        less = now.rates["completed_rate"] < 0.9 * now.rates["offered_rate"]
        partings += less and now.in_flight > 1.25 * before.in_flight
        seen.add(live.verdict()[0])
    pulse.close()
    assert seen == {"", "VALID"} and partings > 5, "rates alone would have cried wolf"


def overloaded(waiting: bool, seconds: int, end: float = 60.0) -> Live:
    """Arrivals at 20/s at a server that has 8 places and completes 6/s, in their order."""
    live, pulse = Live(end, (0.0, end), 1), Pulse(Environment())
    arrival = schedule(Scenario.from_dict(SCENARIO | {"warmup": 0}), 1).arrivals[0]
    for second in range(seconds):
        due, done = int(20 * min(second, end)), 6 * second
        for number in range(max(done - 6, 0), done):
            chat(arrival, 0.0, max(number / 6 - number / 20, 0.1), 0.12)
        live.pulse(told(second, pulse, due=due, in_flight=due - done))
        live.tick(float(second), {"running": 8, "waiting": due - done - 8} if waiting and second else {})
    pulse.close()
    return live


def test_a_server_that_says_what_waits_is_soon_seen_to_fall_behind() -> None:
    assert overloaded(waiting=True, seconds=14).verdict()[0] == "VALID"
    assert overloaded(waiting=True, seconds=17).verdict() == ("SATURATED", "6.0 of 20.0/s complete")
    assert overloaded(waiting=False, seconds=17).verdict()[0] == "VALID", "its answers may just be long"
    assert overloaded(waiting=False, seconds=40).verdict()[0] == "SATURATED"


def test_the_drain_takes_no_verdict_back() -> None:
    live = overloaded(waiting=True, seconds=45, end=30.0)
    assert live.points[-1].t == 44 and live.verdict() == ("SATURATED", "6.0 of 20.0/s complete")


def test_a_queue_that_comes_and_goes_is_no_saturation() -> None:
    """20 arrivals/s where 22 can be served: 10 wait on average, often more. That the server says
    so adds nothing to what in flight shows."""
    rng = np.random.default_rng(7)
    due, service = np.cumsum(rng.exponential(1 / 20, 12000)), rng.exponential(1 / 22, 12000)
    ended, free = np.empty(len(due)), 0.0
    for number, (came, takes) in enumerate(zip(due, service, strict=True)):
        ended[number] = free = max(came, free) + takes
    arrival = schedule(Scenario.from_dict(SCENARIO | {"warmup": 0}), 1).arrivals[0]
    silent, telling = (Live(600.0, (0.0, 600.0), 1) for _ in range(2))
    pulse, completed, longest, cries = Pulse(Environment()), 0, 0, [0, 0]
    for second in range(600):
        sent, done = int((due < second).sum()), int((ended < second).sum())
        for _ in range(done - completed):
            chat(arrival, 0.0, 0.1, 0.04)
        waiting = max(sent - done - 1, 0)
        completed, longest = done, max(longest, waiting)
        found = told(second, pulse, due=sent, in_flight=sent - done)
        for place, live in enumerate((silent, telling)):
            live.pulse(found)
            live.tick(float(second), {"waiting": waiting} if live is telling else {})
            cries[place] += live.verdict()[0] == "SATURATED"
    pulse.close()
    assert longest > 40 and cries[0] == cries[1] < 12, "of 600 looks"


@pytest.mark.parametrize(
    ("http_status", "error", "verdict"),
    [
        (None, "connection refused", ("INVALID", "3 of 100 failed")),
        (503, "HTTP 503", ("SATURATED", "3 of 100 refused or timed out")),
        (200, "timed out after 10 s", ("SATURATED", "3 of 100 refused or timed out")),
    ],
)
def test_failures_speak_against_a_run_as_they_will_in_its_verdict(
    http_status: int | None, error: str, verdict: tuple[str, str]
) -> None:
    live, pulse = Live(60.0, (0.0, 60.0), 1), Pulse(Environment())
    arrival = schedule(Scenario.from_dict(SCENARIO | {"warmup": 0}), 1).arrivals[0]
    for number in range(100):
        chat(arrival, 0.0, 0.1, 0.01)
        if number < 3:
            record = Record(number, 0, "chat", 0.0, FAILED, error=error, http_status=http_status)
            events.chat_finished.fire(environment=Environment(), arrival=arrival, record=record)
    live.pulse(told(5.0, pulse, due=1000))
    assert live.verdict() == ("VALID", "3 failed")
    live.pulse(told(5.0, pulse, due=100))
    pulse.close()
    assert live.verdict() == verdict


def test_before_the_start_there_is_no_second_to_show() -> None:
    live = Live(60.0, (0.0, 60.0), 1)
    for t in (-1.4, -0.4, 0.6):
        live.tick(t, {})
    assert [point.t for point in live.points] == [0.6]


def test_the_first_moments_give_no_rate() -> None:
    """A worker's first pulse comes just after the start: a request or two in a few milliseconds."""
    live, pulse = Live(60.0, (0.0, 60.0), 1), Pulse(Environment())
    for t, due in ((0.0, 0), (0.02, 2), (1.02, 20)):
        live.pulse(told(t, pulse, due=due))
        live.tick(t, {})
    pulse.close()
    assert [round(point.rates["offered_rate"]) for point in live.points] == [0, 0, 20]


def test_the_live_line_says_that_the_warm_up_goes_on() -> None:
    live = Live(6.0, (2.0, 6.0), 1)
    assert line(live, -0.04, "running", 6.0).startswith("warm-up   0.0 s, 6 s left"), "not -0.0"
    assert line(live, 1.0, "running", 5.0).startswith("warm-up   1.0 s, 5 s left")
    assert line(live, 3.0, "running", 3.0).startswith("running   3.0 s, 3 s left")
    assert line(live, 7.0, "draining", 59.0).startswith("draining   7.0 s, 59 s left")


@pytest.mark.parametrize(
    ("width", "phase", "failed", "expected"),
    [
        (
            None,
            "running",
            0,
            "running  58.0 s, 2 s left | offered 20.0/s, completed 8.0/s | 80 tok/s | in flight 696 | "
            "TTFT p50 63050 p99 63050 ms | TPOT p50 14 p99 14 ms",
        ),
        (
            119,
            "running",
            0,
            "running  58.0 s, 2 s left | offered 20.0/s, completed 8.0/s | in flight 696 | "
            "TTFT 63 s, TPOT 14.2 ms",
        ),
        (
            79,
            "running",
            0,
            "58 s, 2 left | done 8.0 of 20.0/s | in flight 696 | TTFT 63 s, TPOT 14.2 ms",
        ),
        (79, "draining", 0, "draining 58 s, 2 left | done 8.0/s | in flight 696 | TTFT 63 s, TPOT 14.2 ms"),
        (
            79,
            "running",
            12,
            "58 s, 2 left | 8.0 of 20.0/s | in flight 696 | failed 12 | TTFT 63 s TPOT 14 ms",
        ),
    ],
)
def test_the_live_line_fits_the_terminal(width: int | None, phase: str, failed: int, expected: str) -> None:
    live = Live(60.0, (0.0, 60.0), 1)
    digests = empty_digests()
    digests["ttft"].add(63.0)
    digests["tpot"].add(0.0142)
    found = {"chat": {name: digests[name].take() for name in ("ttft", "tpot")}}
    for second in range(59):
        counts = {"sent": 20 * second, "completed": 8 * second, "failed": failed, "tokens": 80 * second}
        figures = {"t": float(second), "due": 20 * second, "in_flight": 12 * second}
        seen = {} if second else found
        live.pulse(BLANK | figures | {"counts": {"chat": counts}, "digests": seen})
        live.tick(float(second), {})
    assert line(live, 58.0, phase, 2.0, width) == expected
    assert width is None or len(expected) <= width


def test_each_workload_shows_what_comes_and_goes() -> None:
    """Over 10 s on two lanes: 8 chats/s, 6 complete, 1 fails; one code request never ends."""
    live = Live(60.0, (0.0, 60.0), 2)
    for second in range(11):
        for lane in (0, 1):
            chats = {
                "sent": 4 * second,
                "completed": 3 * second,
                "failed": second // 2,
                "tokens": 30 * second,
            }
            counts = {"chat": chats, "code": {"sent": int(lane == 0 and second > 0)}}
            live.pulse(BLANK | {"lane": lane, "t": float(second), "counts": counts, "digests": {}})
        live.tick(float(second), {})
    chat, code = live.flow("chat"), live.flow("code")
    assert (chat.sent_rate, chat.completed_rate, chat.token_rate) == (8.0, 6.0, 60.0)
    assert (chat.sent, chat.completed, chat.failed, chat.in_flight) == (80, 60, 10, 10)
    assert (code.sent, code.completed, code.in_flight) == (1, 0, 1)
    assert live.flow().sent == 81 and live.flow().sent_rate == 8.1
    assert live.flow("unknown").sent == 0 and Live(1.0, (0.0, 1.0), 1).flow("chat").sent_rate == 0


def test_a_request_is_decided_once_it_has_waited_too_long_or_has_ended() -> None:
    early, late, never = (schedule(Scenario.from_dict(SCENARIO), 1).arrivals[number] for number in range(3))
    pulse = Pulse(Environment(), Slo(ttft=1.0))
    for arrival in (early, late, never):
        events.launched.fire(environment=None, arrival=arrival, due=5.0, now=5.0)
    assert pulse.undecided(5.9) == 3 and pulse.undecided(6.1) == 0
    for arrival, waited in ((early, 0.5), (late, 1.5)):
        events.first_token.fire(environment=None, arrival=arrival, ttft=waited, scheduled_ttft=waited)
    assert pulse.undecided(6.1) == 1, "it came in time, and its TPOT is open"
    pulse.close()
    without = Pulse(Environment())
    events.launched.fire(environment=None, arrival=early, due=5.0, now=5.0)
    assert without.undecided(100.0) == 1, "no bound decides"
    without.close()
