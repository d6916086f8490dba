"""A lane: the arrivals that one worker launches, each on time, each ending in one record."""

import logging
import time
from collections import deque
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Protocol

import gevent
import numpy as np
import orjson
from locust.env import Environment

from common.redact import hide_known, known_secrets, redact
from common.usage import UsageError
from loadgen.api import Kind, choose
from loadgen.client.client import Client
from loadgen.client.outcome import Reply
from loadgen.protocol import events
from loadgen.protocol.messages import Plan
from loadgen.records.record import COMPLETED, FAILED, UNFINISHED, Record
from loadgen.workload.arrival import Arrival
from loadgen.workload.arrivals.closed_loop import ClosedLoop
from loadgen.workload.prompts import PromptMaker
from loadgen.workload.schedule import Schedule, schedule
from loadgen.workload.vocabulary import Messages

MADE_AHEAD = 256 * 2**20  # bytes of requests made before the run; what is beyond is made when it is due
DIRECT_EVERY = 50  # arrivals for one past the gateway: 2 % of the load still move no median
YIELD = 0.05  # s of making requests, after which others (heartbeats) have their turn
START_LOOK = 0.02  # s between two looks for the start
END_LOOK = 0.5  # s between two looks once nothing more will come due
AFTER_FAILURE = 1.0  # s that a closed loop's client waits at least, so that refusals make no storm
ABSENT = 12.0  # s between two looks at what is due, after which the master has given this worker up
PATIENCE = 10.0  # s without progress in reading what has come, after which no more of it is read
TEMPLATE_MOST = 20_000  # tokens that a server's template may add to a prompt; the largest known add 2,000
MOST_SAID = 300  # characters of what a user class's own error says
NEVER_LEFT = "never left: the worker did not get to it"
HELD_BACK = "never left: max_concurrency held it back"

logger = logging.getLogger(__name__)


class RequestMaker(Protocol):
    """What a user class gives: where a request goes, and its body."""

    path: str | None
    wants_text: bool
    api: str
    makes_body: bool
    lane: "Lane"

    def request(self, arrival: Arrival, history: Messages) -> dict[str, Any]: ...

    def check(self, arrival: Arrival, reply: Reply) -> str | None: ...


class Lane:
    """`number` from 0. `zero` is the run's start on this process's time.perf_counter(), once it is known."""

    def __init__(
        self, environment: Environment, plan: Plan, number: int, client: Client, load: Schedule | None = None
    ) -> None:
        """load: the plan's schedule, where this process has made it already.

        Raises UsageError when this worker comes to another schedule than the master.
        """
        self.plan, self.number, self.client = plan, number, client
        self.schedule = _schedule_of(plan) if load is None else load
        self.scenario = self.schedule.scenario
        self.prompts = PromptMaker(plan.read_vocabulary(), plan.seed, self.scenario)
        mine = self.schedule.lane(number, plan.lanes)
        self.arrivals = mine.take(np.argsort(mine.numbers("due"), kind="stable"))
        self.due_times = self.arrivals.numbers("due")  # s, of `arrivals`
        self.zero: float | None = None
        self.end = self.schedule.end  # nothing due at it or later is launched
        self.chained_due = 0  # arrivals that followed another and came due
        self._environment = environment
        self._secrets = known_secrets()
        self._told: set[type[Exception]] = set()
        self._maker: RequestMaker | None = None
        self.kind: Kind
        self._bodies: dict[int, bytes] = {}
        self._next = 0
        self._coming: Arrival | None = None  # arrivals[_next], once somebody has asked for it
        self._launching = True
        self._looked = 0.0  # time.perf_counter() of the last look at what is due
        self._histories: dict[int | None, Messages] = {}
        self._following: set[gevent.Greenlet] = set()
        self._record: Callable[[Record], None] = lambda record: None
        most = self.scenario.max_concurrency
        self._most = None if most is None else most // plan.lanes + (number < most % plan.lanes)
        self._waiting: deque[tuple[Arrival, float, float]] = deque()  # due and since when, where at the cap
        self._held: dict[int, float] = {}  # for how long the cap held those in flight back, s

    def prepare(self, maker: RequestMaker, record: Callable[[Record], None]) -> None:
        """Make the requests. `record` gets each record. Raises UsageError where one cannot be made."""
        self._take(maker)
        self._record = record
        made, yielded = 0, time.perf_counter()
        for arrival in self.arrivals:
            if made > MADE_AHEAD:
                break
            # A copy: what orjson 3.13 gives, however short, keeps the 4 KiB that it was written into.
            self._bodies[arrival.number] = body = bytes(memoryview(self._body(arrival, [])))
            made += len(body)
            if time.perf_counter() - yielded > YIELD:
                gevent.sleep(0.001)
                yielded = time.perf_counter()

    def first_request(self, maker: RequestMaker) -> tuple[str, bytes]:
        """Where the first arrival's request goes, and its body."""
        self._take(maker)
        return self._path(), self._body(self.schedule.arrivals[0], [])

    def _take(self, maker: RequestMaker) -> None:
        self._maker, maker.lane, self.kind = maker, self, choose(maker, self.scenario)

    def start(self, zero: float) -> None:
        self.zero = zero

    @property
    def made(self) -> int:
        """Requests that are made and wait to be sent."""
        return len(self._bodies)

    @property
    def now(self) -> float:
        """Seconds from the run's start."""
        assert self.zero is not None
        return time.perf_counter() - self.zero

    def until_next(self) -> float:
        """Seconds until the next arrival is due; a moment where none is known."""
        if self.zero is None:
            return START_LOOK
        arrival = self._upcoming
        return END_LOOK if arrival is None else max(_due(arrival) - self.now, 0.0)

    def launch_due(self) -> None:
        """Launch what is due. A request in flight never holds the next one back.

        A worker that was stopped for long launches no more: what it missed would fall into the next run.
        """
        before, self._looked = self._looked, time.perf_counter()
        if self._missed(max(before, self.zero or 0.0)):
            logger.error("this worker stood still for %.0f s and launches no more", self._looked - before)
            self._launching = False
        while self.zero is not None and (arrival := self._upcoming) is not None:
            if _due(arrival) > self.now:
                return
            self._next, self._coming = self._next + 1, None
            self._launch(arrival, _due(arrival))

    def _missed(self, before: float) -> bool:
        """Whether something came due so long ago, and nobody has looked since `before`."""
        arrival = self._upcoming
        if self.zero is None or arrival is None:
            return False
        return self._looked - max(before, self.zero + _due(arrival)) > ABSENT

    def stop_launching(self, end: float = 0.0) -> None:
        """What is due at `end` (s from the start) or later comes no more; what has been launched, has."""
        if self.zero is not None:
            self.end = min(self.end, max(self.now, end))
        for waiting in list(self._following):
            waiting.kill(block=False)
        self._following.clear()

    @property
    def due(self) -> int:
        """Arrivals that have come due."""
        moment = min(self.now, self.end) if self.zero is not None else 0.0
        return int(np.searchsorted(self.due_times, moment)) + self.chained_due

    @property
    def held_back(self) -> int:
        """Arrivals that have come due and wait for room below the cap."""
        return len(self._waiting)

    @property
    def idle(self) -> bool:
        """Nothing is in flight and nothing will be launched."""
        nothing = self._upcoming is None and not self._following and not self._waiting
        return nothing and not self.client.in_flight

    def drain(self) -> None:
        """Wait, cooperatively and as long as the scenario's drain lasts, until it is idle: what has just come
        due is perhaps still to leave."""
        deadline = time.monotonic() + self.scenario.drain
        while not self.idle and time.monotonic() < deadline:
            gevent.sleep(START_LOOK)

    def close(self) -> None:
        """End it now: requests in flight and those that never left are recorded as unfinished."""
        self.stop_launching()
        for arrival, due, since in self._waiting:
            record = self._blank(arrival, due, UNFINISHED)
            record.error, record.end, record.held = HELD_BACK, self.now, self.now - since
            self._finish(arrival, record)
        self._waiting.clear()
        self.client.abandon()
        self._join()
        self.client.give_up()
        for arrival in self.arrivals[self._next : int(np.searchsorted(self.due_times, self.end))]:
            record = self._blank(arrival, _due(arrival), UNFINISHED)
            record.error, record.end = NEVER_LEFT, self.now
            self._finish(arrival, record)
        self.client.close()

    def _join(self) -> None:
        """Wait until what has come is read, and has its records, as long as that makes progress."""
        left = self.client.in_flight + 1
        while left > self.client.in_flight:
            left = self.client.in_flight
            if self.client.join(PATIENCE):
                return

    @property
    def _upcoming(self) -> Arrival | None:
        """The next arrival with a due time of its own, if there is one before the end."""
        if not self._launching or self._next >= len(self.arrivals):
            return None
        if self._coming is None:
            self._coming = self.arrivals[self._next]
        return self._coming if _due(self._coming) < self.end else None

    def _launch(self, arrival: Arrival, due: float) -> None:
        """Now, or once there is room below the cap, in the order of coming due."""
        if self._most is not None and (self._waiting or self.client.in_flight >= self._most):
            self._waiting.append((arrival, due, self.now))
        else:
            self._launch_now(arrival, due)

    def _fill_up(self) -> None:
        """Launch what the cap has held back, as far as there is room now."""
        while self._waiting and self._most is not None and self.client.in_flight < self._most:
            arrival, due, since = self._waiting.popleft()
            self._held[arrival.number] = self.now - since
            self._launch_now(arrival, due)

    def _launch_now(self, arrival: Arrival, due: float) -> None:
        try:
            self._send(arrival, due)
        except Exception as error:  # of a user class, as a rule; the arrival has its record all the same
            self._tell_once(f"request {arrival.number} could not be made", error)
            record = self._blank(arrival, due, FAILED)
            record.error, record.end = f"the request could not be made: {type(error).__name__}", self.now
            self._finish(arrival, record)

    def _send(self, arrival: Arrival, due: float) -> None:
        body = self._bodies.pop(arrival.number, None)
        if body is None:
            body = self._body(arrival, self._histories.get(arrival.conversation, []))
        assert self._maker is not None
        launched, prompt_most = self.now, len(body) + TEMPLATE_MOST  # a token is a byte or more
        self.client.send(
            self._path(),
            body,
            request_id=f"{self.plan.run}-{arrival.number}",
            timeout=self.scenario.timeout,
            on_end=lambda reply: self._ended(arrival, due, reply, prompt_most),
            on_first_token=lambda sent, moment: self._first(arrival, due, sent, moment),
            reading=self.kind.reading,
            cancel_after=arrival.cancel_after,
            direct=bool(self._direct(arrival)),
            keep_text=self.plan.keep_text or arrival.history or self._maker.wants_text,
        )
        events.launched.fire(environment=self._environment, arrival=arrival, due=due, now=launched)

    def _direct(self, arrival: Arrival) -> bool | None:
        """Whether it goes past the gateway; None where no way leads there."""
        return arrival.number % DIRECT_EVERY == DIRECT_EVERY - 1 if self.plan.direct else None

    def _path(self) -> str:
        """The user class's own, unless the scenario names another."""
        assert self._maker is not None
        request = self.scenario.request
        return (request and request.endpoint) or self._maker.path or self.kind.path

    def _body(self, arrival: Arrival, history: Messages) -> bytes:
        assert self._maker is not None
        whole, request = self._maker.request(arrival, history), self.scenario.request
        return orjson.dumps(request.applied(whole, self.kind.length_field) if request else whole)

    def _first(self, arrival: Arrival, due: float, sent: float, moment: float) -> None:
        events.first_token.fire(
            environment=self._environment,
            arrival=arrival,
            ttft=moment - sent,
            scheduled_ttft=moment - (self.zero or 0.0) - due,
        )

    def _ended(self, arrival: Arrival, due: float, reply: Reply, prompt_most: int) -> None:
        reply.disbelieve(arrival.output_tokens, prompt_most)
        record = self._blank(arrival, due, reply.status)
        record.held = self._held.pop(arrival.number, record.held)
        zero = self.zero or 0.0
        for name in ("sent", "first_byte", "first_token", "first_answer", "last_token", "end"):
            moment = getattr(reply, name)
            setattr(record, name, None if moment is None else moment - zero)
        for name in (
            "error",
            "http_status",
            "finish_reason",
            "prompt_tokens",
            "output_tokens",
            "reasoning_tokens",
            "tokens_from",
        ):
            setattr(record, name, getattr(reply, name))
        record.chunk_times = np.frombuffer(reply.chunk_times) - zero
        record.chunk_tokens, record.new_connection = reply.chunk_tokens, reply.new_connection
        record.text = reply.text if self.plan.keep_text else None
        record.direct = self._direct(arrival)
        if record.status == COMPLETED and (wrong := self._check(arrival, reply)):
            record.status, record.error = FAILED, wrong
        self._finish(arrival, record)
        if arrival.conversation is not None:
            self._follow(arrival, record, reply)
        if self._waiting:
            gevent.spawn(self._fill_up)  # once the client has counted this one out

    def _check(self, arrival: Arrival, reply: Reply) -> str | None:
        assert self._maker is not None
        try:
            return self._maker.check(arrival, reply)
        except Exception as error:  # of a user class; the arrival has its record all the same
            self._tell_once(f"the answer to request {arrival.number} could not be checked", error)
            said = " ".join(str(error).split())[:MOST_SAID]
            return f"check failed: {type(error).__name__}: {said}"

    def _tell_once(self, what: str, error: Exception) -> None:
        """With the traceback, but one for each kind: thousands of requests may fail alike."""
        if type(error) not in self._told:
            self._told.add(type(error))
            logger.exception("%s (others like it are not said, but recorded)", what)

    def _follow(self, arrival: Arrival, record: Record, reply: Reply) -> None:
        """Let the next turn come due once the user has thought."""
        chain = arrival.conversation
        assert chain is not None
        if reply.status != COMPLETED and not isinstance(self.scenario.arrivals, ClosedLoop):
            self._histories.pop(chain, None)  # a conversation without its answer ends
            return
        following = self.schedule.next_in_chain(arrival)
        if following is None:
            self._histories.pop(chain, None)
            return
        if arrival.history:
            said = self.prompts.messages(arrival, self._histories.get(chain, []))
            self._histories[chain] = [*said, {"role": "assistant", "content": reply.text or ""}]
        think = following.think
        if isinstance(self.scenario.arrivals, ClosedLoop) and reply.status == FAILED:
            think = max(think, AFTER_FAILURE)
        due = max((record.end or 0.0) + think, following.due or 0.0)
        if due < self.end:
            waiting = gevent.spawn_later(max(due - self.now, 0.0), self._launch_following, following, due)
            self._following.add(waiting)
            waiting.link(self._following.discard)

    def _launch_following(self, arrival: Arrival, due: float) -> None:
        if due < self.end:
            self.chained_due += 1
            self._launch(arrival, due)

    def _finish(self, arrival: Arrival, record: Record) -> None:
        record.error, record.finish_reason = _safe(record.error), _safe(record.finish_reason)
        record.text = record.text and hide_known(record.text, self._secrets)
        self._record(record)
        events.chat_finished.fire(environment=self._environment, arrival=arrival, record=record)

    def _blank(self, arrival: Arrival, due: float, status: str) -> Record:
        return Record(
            arrival=arrival.number,
            lane=self.number,
            workload=arrival.workload,
            due=due,
            status=status,
            conversation=arrival.conversation,
            turn=arrival.turn,
            prompt_asked=arrival.prompt_asked if self.kind.exact else None,
            output_asked=arrival.output_tokens if self.kind.length_field else None,
            held=None if self._most is None else 0.0,
            cancel_after=arrival.cancel_after,
            adapter=arrival.adapter,
        )


def _schedule_of(plan: Plan) -> Schedule:
    found = schedule(plan.read_scenario(), plan.seed)
    if found.checksum != plan.checksum:
        raise UsageError(
            "this worker comes to another schedule than the master: give both the same version of "
            "this project and the packages of its requirements.txt"
        )
    return found


@lru_cache(maxsize=1024)  # equal faults have equal texts
def _safe(text: str | None) -> str | None:
    """What a server said, without a key that it quotes."""
    return text and redact(text)


def _due(arrival: Arrival) -> float:
    assert arrival.due is not None, "a lane's own arrivals have due times"
    return arrival.due
