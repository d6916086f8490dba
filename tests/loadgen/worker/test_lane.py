"""A lane: every arrival ends in one record."""

import time
from typing import Any

import gevent
import pytest
from locust.env import Environment

from loadgen.client.client import Client
from loadgen.client.outcome import Reply
from loadgen.client.transport import Host
from loadgen.protocol.messages import Plan
from loadgen.records.record import COMPLETED, FAILED, UNFINISHED, Record
from loadgen.worker.lane import Lane, RequestMaker
from loadgen.workload.arrival import Arrival
from loadgen.workload.scenario import Scenario
from loadgen.workload.schedule import schedule
from loadgen.workload.vocabulary import Messages, estimate_vocabulary
from tests.support.fakeserver import FakeServer
from tests.support.waiting import wait_until


class Faulty:
    """A user class with a fault: every third request cannot be made, every third answer not checked."""

    path: str | None = None
    wants_text, api, makes_body = False, "chat", True
    lane: Lane

    def request(self, arrival: Arrival, history: Messages) -> dict[str, Any]:
        if arrival.number % 3 == 1:
            raise KeyError("city")
        return {"model": "fake", "stream": True, "max_tokens": 3}

    def check(self, arrival: Arrival, reply: Reply) -> str | None:
        if arrival.number % 3 == 2:
            raise ValueError("no number")
        return None


class Plain(Faulty):
    """One without."""

    def request(self, arrival: Arrival, history: Messages) -> dict[str, Any]:
        return {"model": "fake", "stream": True, "max_tokens": 3}

    def check(self, arrival: Arrival, reply: Reply) -> str | None:
        return None


def lane_of(
    url: str, maker: RequestMaker, found: list[Record], direct: str | None = None, **keys: Any
) -> Lane:
    """A lane of 60 requests/s for half a second, ready to start."""
    usual = {"name": "s", "rate": 60, "duration": 0.5, "warmup": 0, "prompt_tokens": 9, "output_tokens": 3}
    load = Scenario.from_dict({**usual, **keys})
    plan = Plan(
        run="r", scenario=load.to_dict(), seed=1, checksum=schedule(load, 1).checksum, lanes=1, host=url,
        model="fake", vllm=False, extensions=[], vocabulary=estimate_vocabulary().to_dict(), verify=True,
        keep_text=False, with_key=True, headers=[], direct=direct,
    )  # fmt: skip
    client = Client(Host.resolve(url), direct=Host.resolve(direct) if direct else None)
    lane = Lane(Environment(), plan, 0, client)
    lane.prepare(maker, found.append)
    return lane


def test_a_fault_in_a_user_class_costs_no_arrival_its_record(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loadgen.worker.lane.MADE_AHEAD", -1)  # each request is made when it is due
    found: list[Record] = []
    with FakeServer() as server:
        lane = lane_of(server.url("normal"), Faulty(), found)
        run_to_end(lane)
    assert sorted(each.arrival for each in found) == [each.number for each in lane.arrivals]
    said = {each.arrival % 3: (each.status, each.error) for each in found}
    assert said == {
        0: (COMPLETED, None),
        1: (FAILED, "the request could not be made: KeyError"),
        2: (FAILED, "check failed: ValueError: no number"),
    }


def test_one_request_in_fifty_goes_past_the_gateway() -> None:
    found: list[Record] = []
    with FakeServer() as gateway, FakeServer() as server:
        lane = lane_of(gateway.url("normal"), Plain(), found, server.url("normal"), rate=260)
        run_to_end(lane)
        counts = len(gateway.requests), len(server.requests)
    past = sorted(each.arrival for each in found if each.direct)
    assert len(found) > 100 and past == [each for each in range(len(found)) if each % 50 == 49]
    assert counts == (len(found) - len(past), len(past))
    assert {each.status for each in found} == {COMPLETED} and {each.direct for each in found} == {True, False}


def test_without_a_way_past_it_no_record_says_so() -> None:
    found: list[Record] = []
    with FakeServer() as server:
        run_to_end(lane_of(server.url("normal"), Plain(), found))
    assert {each.direct for each in found} == {None}


def test_a_worker_that_was_stopped_for_long_launches_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Faulty, "request", lambda self, arrival, history: {"model": "fake", "max_tokens": 3})
    found: list[Record] = []
    with FakeServer() as server:
        lane = lane_of(server.url("normal"), Faulty(), found, duration=10)
        lane.start(time.perf_counter())
        while not lane.client.peak_in_flight:
            lane.launch_due()
            gevent.sleep(0.01)
        stopped = lane.now
        monkeypatch.setattr("loadgen.worker.lane.ABSENT", 0.2)
        gevent.sleep(0.5)  # as if it had been stopped
        lane.launch_due()
        wait_until(lambda: lane.idle, "something is in flight", gevent.sleep)
        lane.close()
    due = [each.number for each in lane.arrivals if each.due is not None and each.due < lane.end]
    assert sorted(each.arrival for each in found) == due
    assert {each.error for each in found if each.due > stopped} == {
        "never left: the worker did not get to it"
    }


def run_to_end(lane: Lane) -> None:
    lane.start(time.perf_counter())
    while lane.now < 0.6:
        lane.launch_due()
        gevent.sleep(0.01)
    lane.launch_due()  # the machine may have been busy
    assert lane._upcoming is None
    lane.drain()
    lane.close()


def test_no_more_are_in_flight_than_the_cap_and_the_rest_waits_in_order() -> None:
    found: list[Record] = []
    with FakeServer(ttft=0.02) as server:
        lane = lane_of(server.url("normal"), Plain(), found, max_concurrency=1)
        run_to_end(lane)
    assert lane.client.peak_in_flight == 1
    assert sorted(each.arrival for each in found) == [each.number for each in lane.arrivals]
    assert {each.status for each in found} == {COMPLETED}
    by_due = sorted(found, key=lambda each: each.due)
    sent = [each.sent for each in by_due if each.sent is not None]
    assert sent == sorted(sent), "those that came due first leave first"
    held = [each.held for each in by_due if each.held]
    assert len(held) > 5 and all(each.sent >= each.due + each.held for each in by_due)  # type: ignore[operator]


def test_what_the_cap_never_let_go_has_its_record() -> None:
    found: list[Record] = []
    with FakeServer() as server:
        lane = lane_of(server.url("hang-before-headers"), Plain(), found, max_concurrency=2, drain=0)
        run_to_end(lane)
    assert sorted(each.arrival for each in found) == [each.number for each in lane.arrivals]
    kept = [each for each in found if each.sent is None]
    assert len(kept) == len(found) - 2
    assert {(each.status, each.error) for each in kept} == {
        (UNFINISHED, "never left: max_concurrency held it back")
    }
    assert all(each.held for each in kept)


def test_a_share_is_cancelled_and_says_so() -> None:
    found: list[Record] = []
    with FakeServer() as server:
        cancel = {"share": 1.0, "after": 0.1}
        run_to_end(lane_of(server.url("hang-mid-stream"), Plain(), found, cancel=cancel, drain=20))
    assert {(each.status, each.error, each.cancel_after) for each in found} == {
        (UNFINISHED, "cancelled by the client, as the scenario asks", 0.1)
    }


def test_requests_go_to_their_adapters() -> None:
    found: list[Record] = []
    with FakeServer() as server:
        lane = lane_of(server.url("normal"), Plain(), found, adapters={"names": ["a", "b"]})
        assert {arrival.adapter for arrival in lane.arrivals} == {"a", "b"}
        run_to_end(lane)
    assert {each.arrival: each.adapter for each in found} == {
        each.number: each.adapter for each in lane.arrivals
    }
