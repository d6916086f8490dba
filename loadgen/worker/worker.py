"""A worker's side of a run: takes its lane from the master, sends records and pulses, ends in good order."""

import logging
import os
import platform
import signal
import socket
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import gevent
from gevent.event import Event
from locust.env import Environment
from locust.runners import WorkerRunner

from common import terminal
from common.results import MANIFEST, results_folder
from common.usage import UsageError
from loadgen.client.client import Client
from loadgen.client.transport import Host
from loadgen.host import clock, machine, process_limits
from loadgen.host.garbage import Quiet
from loadgen.host.overhead import Gauge
from loadgen.host.process_limits import Urgency
from loadgen.host.watch import Watch, Watching
from loadgen.live.pulse import Pulse
from loadgen.protocol import gate, messages
from loadgen.protocol.messages import Plan
from loadgen.protocol.settings import request_headers
from loadgen.records import watched
from loadgen.records.collect import BATCHES
from loadgen.records.outbox import Outbox
from loadgen.worker.lane import Lane, RequestMaker
from loadgen.worker.locust_stats import LocustStats

BEAT = 1.0  # s between two pulses
REPEAT = 5  # beats after which batches that nobody acknowledged are sent again
PLAN_WAIT = 30.0  # s that a user waits for the master's plan
ORPHANED = 20.0  # s without the master's heartbeat, which comes every second
KEPT = "%s batches kept in %s; `tokenswarm recover %s %s` makes a run of them"
PARTING = 10.0  # s to get the last batches through to the master

logger = logging.getLogger(__name__)


class Worker:
    """One per process that launches requests; it outlives the runs."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._runner = environment.runner
        self._parent = os.getppid()
        self._masters_child = bool(environment.parsed_options.own_master)
        self._plan: dict[str, Any] | None = None
        self._arrived = Event()
        self._part: Part | None = None
        handlers = {
            messages.ASK: self._on_ask,
            messages.PLAN: self._on_plan,
            messages.PING: self._on_ping,
            messages.START: self._on_start,
            messages.DRAIN: self._on_drain,
            messages.GOT: self._on_got,
            messages.END: self._on_end,
        }
        for name, handler in handlers.items():
            self._runner.register_message(name, _gated(name, handler))
        self._runner.register_message(messages.CLOSE, _gated(messages.CLOSE, self._on_close), concurrent=True)
        if environment.parsed_options.processes:
            gevent.spawn(self._watch_parent)

    def take_lane(self, maker: RequestMaker) -> Lane | None:
        """Get this worker's lane ready and tell the master; None when it has none, or has its user already.

        Called by the worker's user as it starts.
        """
        if not self._arrived.wait(PLAN_WAIT) or self._plan is None:
            return None
        given, self._plan = self._plan, None
        error = None
        try:
            self._part = Part(self._environment, given, self._send)
            self._part.lane.prepare(maker, self._part.outbox.add)
        except UsageError as problem:
            error = str(problem)
        except Exception as problem:  # in the user's own class: the run must not wait for a lane in vain
            logger.exception("making the requests failed")
            error = f"{type(maker).__name__}: making a request failed: {type(problem).__name__}: {problem}"
        self._say_ready(given, error)
        return None if error or self._part is None else self._part.lane

    def _say_ready(self, given: dict[str, Any], error: str | None) -> None:
        self._send(
            messages.READY,
            run=given["plan"]["run"],
            lane=given["lane"],
            worker=_name(),
            process=machine.this_process(),
            boot=clock.boot(),
            error=error,
        )

    def _send(self, name: str, **data: Any) -> None:
        self._runner.send_message(name, data)

    def _on_ask(self, data: dict[str, Any]) -> None:
        self._send(messages.HERE, process=machine.this_process())

    def _on_plan(self, data: dict[str, Any]) -> None:
        self._plan = data
        here = {each.__name__ for each in self._environment.user_classes}
        if missing := sorted(set(data["users"]) - here):  # Locust will not start a user then
            name = f"worker {_name()}: its locustfile has no {missing[0]}"
            self._say_ready(data, f"{name}: give master and workers the same")
        self._arrived.set()
        if isinstance(self._runner, WorkerRunner):
            for number in terminal.endings():
                signal.signal(number, self._on_signal)

    def _on_ping(self, data: dict[str, Any]) -> None:
        self._send(messages.PONG, **data, theirs=time.perf_counter())

    def _on_start(self, data: dict[str, Any]) -> None:
        if self._part is not None:
            self._part.start(data["zero"], data["beside"])
            gevent.spawn(self._beat, self._part)

    def _on_drain(self, data: dict[str, Any]) -> None:
        if self._part is not None:
            self._part.lane.stop_launching(data["end"])

    def _on_close(self, data: dict[str, Any]) -> None:
        if self._part is not None:
            self._part.close()

    def _on_got(self, data: dict[str, Any]) -> None:
        if self._part is not None:
            self._part.outbox.acknowledge(data["number"])

    def _on_end(self, data: dict[str, Any]) -> None:
        if self._part is not None:
            if self._part.outbox.unacknowledged and not data["written"]:
                self._part.leave()
            self._part.end()
        self._part = None
        self._arrived.clear()

    def _beat(self, part: "Part") -> None:
        """Every second: what has finished, and how it goes; without a master, an orderly end."""
        beats = 0
        while self._part is part:
            beats += 1
            part.beat(repeat=beats % REPEAT == 0)
            if self._left_by_parent():
                self._leave(part)
                return
            if self._orphaned():
                self._end_alone(part)
                return
            gevent.sleep(BEAT)

    def _watch_parent(self) -> None:
        """Between runs, end with the master that made this process; during one `_beat` sees to it."""
        while self._part is not None or os.getppid() == self._parent:
            gevent.sleep(BEAT)
        self._runner.quit()

    def _orphaned(self) -> bool:
        if not isinstance(self._runner, WorkerRunner):
            return False
        if self._masters_child:  # seen to live, however long it waits for a core: 40 s beside vLLM on 2 cores
            return os.getppid() != self._parent
        heard = self._runner.last_heartbeat_timestamp
        return heard is not None and time.time() - heard > ORPHANED

    def _left_by_parent(self) -> bool:
        """Whether the process that made this one, and is no master, has been ended."""
        made = self._environment.parsed_options.processes and not self._masters_child
        return bool(made) and os.getppid() != self._parent

    def _end_alone(self, part: "Part") -> None:
        """The master is gone: launch no more, let what is in flight end, keep the records here."""
        logger.error("the master is gone; this worker drains, keeps its records and ends")
        part.lane.stop_launching()
        part.lane.drain()
        part.leave()
        self._runner.quit()

    def _on_signal(self, number: int, _frame: Any) -> None:
        """The master drains the run when it is told to stop; its own workers wait for its word."""
        if number == signal.SIGHUP:
            terminal.let_go()
        if self._masters_child:
            return
        if self._part is None:
            gevent.spawn(self._runner.quit)
        else:
            gevent.spawn(self._leave, self._part)

    def _leave(self, part: "Part") -> None:
        """This worker alone was told to stop: its later arrivals are lost, what it has is not."""
        logger.error("told to stop; this worker hands over what it has and ends")
        part.close(left=True)
        deadline = time.monotonic() + PARTING
        while part.outbox.unacknowledged and time.monotonic() < deadline:
            gevent.sleep(0.1)
        if part.outbox.unacknowledged:
            part.leave()
        self._runner.quit()


class Part:
    """A worker's part in one run."""

    def __init__(self, environment: Environment, given: dict[str, Any], send: Any) -> None:
        """Raises UsageError when this worker cannot make the load."""
        plan = Plan.from_dict(given["plan"])
        self._send, self._folder = send, Path(given["folder"])
        self._limit = process_limits.raise_limit()
        host = Host.resolve(plan.host)
        self._beside_server = machine.owns(host.family, host.address)
        place = (host.address[0], self._beside_server, host.address[1])
        self._watch = Watch([place], f"worker {given['lane']}")
        self._watching: Watching | None = None
        self._samples = watched.Samples()
        headers = request_headers(plan.with_key)
        if missing := sorted(set(plan.headers) - set(headers)):
            how = "OPENAI_API_KEY" if missing == ["Authorization"] else f"--header '{missing[0]}: …'"
            raise UsageError(
                f"this worker lacks the header {missing[0]}, which the master has: give it {how}"
            )
        direct = Host.resolve(plan.direct) if plan.direct else None
        client = Client(host, headers=headers, verify=plan.verify, direct=direct)
        self.lane = Lane(environment, plan, given["lane"], client)
        process_limits.check(self._limit, self.lane.due_times)
        self.outbox = Outbox(self._send_batch)
        self._gauge, self._stats = Gauge(), LocustStats(environment)
        self._pulse = Pulse(environment, self.lane.scenario.slo)
        self._closed = False
        self._polite = bool(environment.parsed_options.polite)
        self._urgency = Urgency(wanted=False)
        self._quiet: Quiet | None = None

    def start(self, zero: float, beside: list[int] | None) -> None:
        """`zero`: the run's start on time.perf_counter(). `beside`: not None where this worker watches its
        machine; the processes of the workers on it."""
        self._urgency = Urgency(not self._polite)
        self._quiet = Quiet()
        self.lane.start(zero)
        if beside is not None:
            self._watching = Watching(self._watch, lambda: self.lane.now, self._samples.extend)
            self._watch.expect(beside)
            self._watching.start()
        gevent.spawn_later(max(zero - time.perf_counter(), 0.0), self._gauge.start)
        gevent.spawn_later(max(zero + self.lane.schedule.end - time.perf_counter(), 0.0), self._gauge.stop)

    def beat(self, repeat: bool) -> None:
        self.outbox.flush()
        if repeat:
            self.outbox.repeat()
        lane = self.lane
        events, chunks = lane.client.progress()
        over = lane.now >= lane.end  # before, nobody asks, and to look takes a millisecond for 20,000
        undecided = self._pulse.undecided(lane.now) if over else lane.client.in_flight
        self._tell(
            messages.PULSE,
            lane=lane.number,
            t=lane.now,
            due=lane.due,
            in_flight=lane.client.in_flight,
            events=events,
            chunks=chunks,
            idle=lane.idle,
            undecided=lane.held_back + undecided,
            **self._pulse.take(),
        )

    def close(self, left: bool = False) -> None:
        """End what is in flight, send what is left, say so. A second call changes nothing.

        left: nobody asked for it; what the lane had still to launch is lost.
        """
        if self._closed:
            return
        self._closed = True
        self.lane.close()
        self._gauge.stop()
        if self._watching is not None:
            self._watching.stop()
        self.beat(repeat=False)
        cost = self._gauge.cost
        self._tell(
            messages.CLOSED,
            lane=self.lane.number,
            batches=self.outbox.sent,
            records=self.outbox.records,
            due=self.lane.due,
            left=left,
            cost=asdict(cost) if cost else None,
            connections=self.lane.client.connections,
            peak_in_flight=self.lane.client.peak_in_flight,
            open_files_limit=self._limit,
            beside_server=self._beside_server,
            cores=os.cpu_count(),
            stamps=self.lane.client.stamps,
            network=self.lane.client.network.as_dict(),
            scheduling=self._urgency.gained,
            watched=None if self._watching is None else watched.pack(self._samples.table()),
        )

    def end(self) -> None:
        """Forget the run."""
        self._urgency.end()
        self._pulse.close()
        self._stats.close()
        if self._quiet is not None:
            self._quiet.end()

    def leave(self) -> None:
        """Keep on disk what the master has not got, unless it has written the run without."""
        if not self._closed:
            self._closed = True
            self.lane.close()
        if (self._folder / MANIFEST).is_file():
            logger.error("%s was written without this worker's last records", self._folder)
            return
        for folder in self._places():
            try:
                count = self.outbox.leave(folder / BATCHES, self.lane.number)
            except OSError as error:
                logger.error("%s: cannot be written: %s", folder, error.strerror)
                continue
            logger.error(KEPT, count, folder, self._folder, folder)
            return

    def _places(self) -> list[Path]:
        """Where to keep batches: the run's folder, our results, whatever else can be written."""
        run = self.lane.plan.run
        elsewhere = [results_folder() / run, Path(tempfile.gettempdir()) / run]
        return [self._folder, *elsewhere] if self._folder.is_dir() else elsewhere

    def _send_batch(self, number: int, content: bytes) -> None:
        self._tell(messages.BATCH, lane=self.lane.number, number=number, content=content)

    def _tell(self, name: str, **data: Any) -> None:
        self._send(name, run=self.lane.plan.run, **data)


def _gated(name: str, handler: Callable[[dict[str, Any]], None]) -> Callable[..., None]:
    """The handler, for messages that are what they should be."""

    def on_message(msg: Any, **_: Any) -> None:
        try:
            data = gate.check(name, msg.data)
        except gate.MessageError as error:
            logger.error("a message of the master's is passed over: %s", error)
        else:
            handler(data)

    return on_message


def _name() -> str:
    return f"{socket.gethostname()}:{os.getpid()} (Python {platform.python_version()})"
