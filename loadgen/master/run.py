"""One run on the master: its lanes, what has come from them, and the files that it becomes."""

import contextlib
import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast

import gevent
from gevent.event import Event
from gevent.lock import BoundedSemaphore

from common.results import MACHINE, MANIFEST, METRICS, now, write_json
from common.usage import UsageError
from loadgen.host import calibration, clock, machine
from loadgen.host.clock import Exchange, Offset
from loadgen.live.live import Live
from loadgen.master import partner, status_line
from loadgen.master.machines import Machines
from loadgen.master.overload import ANSWERED, NOTICE, Seen, beyond_doubt, due_between, of_one_rate, seen_of
from loadgen.master.partner import Partner
from loadgen.master.scrape import Scraper
from loadgen.protocol import messages
from loadgen.protocol.messages import Plan
from loadgen.records import collect
from loadgen.records.collect import Collector
from loadgen.records.record import Record
from loadgen.records.same_fault import MOST, SameFault
from loadgen.workload.schedule import Schedule

READY_WITHIN = 300.0  # s for workers to make their prompts
PINGS = 20
PONG_WITHIN = 2.0  # s
LEAD = 1.0  # s between the word to start and the start
CLOSE_WITHIN = 30.0  # s for a lane to close and for its last batches to come
STEP = 0.02  # s between two looks
ALL_LOST = "every worker was lost"  # why a run ended

_Result = TypeVar("_Result")
Workers = Mapping[str, dict[str, Any] | None]  # Locust's ids, and the process of each where it is known
Send = Callable[[str, dict[str, Any], str], None]  # message, its data, the worker


@dataclass
class LaneState:
    """What the master knows of one lane."""

    number: int
    worker: str  # Locust's id of the worker
    process: dict[str, Any] | None  # loadgen.host.machine.this_process of the worker
    ready: dict[str, Any] | None = None
    before: Offset | None = None
    after: Offset | None = None
    closed: dict[str, Any] | None = None
    lost: bool = False
    pongs: list[Exchange] = field(default_factory=list)


class Run:
    """`send` reaches a worker; `draft` is the manifest's beginning."""

    def __init__(
        self,
        folder: Path,
        schedule: Schedule,
        plan: Plan,
        draft: dict[str, Any],
        workers: Workers,
        scraper: Callable[[Callable[[], float]], Scraper],
        send: Send,
        machines: Machines,
        keep_going: bool = False,
        stop_when_saturated: bool = False,
        beside: Partner | None = None,
    ) -> None:
        """keep_going: although the first answers all fail for one reason. stop_when_saturated: where that is
        beyond doubt, and the load is of one rate. beside: the run that is to begin at the same moment."""
        self.folder, self.schedule, self.plan = folder, schedule, plan
        self.lanes = [LaneState(number, *each) for number, each in enumerate(workers.items())]
        self.live = Live(schedule.end, (schedule.window_start, schedule.window_end), len(workers))
        self.scraper = scraper(lambda: self.now)
        self._machines, self._beside = machines, beside
        self.over = Event()
        self.phase = "preparing"
        self.stopped_why: str | None = None
        self.stopped_early: str | None = None  # why the rest of the window was not needed
        self._trouble: OSError | None = None  # the first batch that could not be kept
        self._taking = True  # batches, until the records are put together
        self._writing = BoundedSemaphore()
        self._draft, self._send = draft, send
        self._collector = Collector(folder)
        self._same_fault = None if keep_going else SameFault()
        self._zero: float | None = None
        self._end = schedule.end
        self._deadline = schedule.end + schedule.scenario.drain
        self._drained_at = 0.0
        self._seen: list[Seen] | None = [] if stop_when_saturated and of_one_rate(schedule) else None

    @property
    def now(self) -> float:
        """Seconds from the run's start; below 0 before it."""
        return -LEAD if self._zero is None else time.perf_counter() - self._zero

    @property
    def left(self) -> float:
        """Seconds until launching ends; while draining, until the drain ends at the latest."""
        return max((self._deadline if self.phase == "draining" else self._end) - self.now, 0.0)

    def line(self, width: int | None) -> str:
        """How it goes, in one line of up to `width` columns."""
        return status_line.line(self.live, self.now, self.phase, self.left, width)

    @property
    def started(self) -> bool:
        return self._zero is not None

    def hand_out(self, users: Iterable[str]) -> None:
        """Tell each worker its lane, and the user classes. It gets ready once Locust starts its user.

        Raises UsageError.
        """
        self._write_draft()
        for lane in self.lanes:
            data = {"plan": self.plan.to_dict(), "lane": lane.number, "folder": str(self.folder.absolute())}
            self._send(messages.PLAN, data | {"users": list(users)}, lane.worker)

    def start(self, joined: Callable[[str], bool]) -> None:
        """Wait for the lanes, measure their clocks, give the common start. Raises UsageError, also for an
        interruption or a worker that left (`joined` tells) before the first request."""
        self._wait(lambda: self._settled or bool(self.mark_lost(joined)), READY_WITHIN)
        self._require_whole()
        for lane in self.lanes:
            if lane.ready is None:
                raise UsageError(f"not ready within {READY_WITHIN:g} s: {lane.worker}; see the worker's log")
            if lane.ready["error"]:
                raise UsageError(lane.ready["error"])
            lane.before = self._measure(lane)
        self._draft["clocks"] = [_known(lane) for lane in self.lanes]
        self._write_draft()
        agreed = self._meet(self._beside, joined) if self._beside else 0.0
        self.scraper.take()  # before the first request: what counters stood at
        self._require_going_on()
        ready = {lane.number: lane.ready for lane in self.lanes if lane.ready is not None}
        watching = self._machines.start(
            ready, lambda: self.now, self._beside.launcher if self._beside else None
        )
        self._zero = max(time.perf_counter() + LEAD, agreed)
        if self._beside:
            self._draft["beside"] = {"run": self._beside.run, "zero": self._zero}
            self._write_draft()
        self.scraper.start()
        for lane in self.lanes:
            assert lane.before is not None
            said = {"zero": self._zero + lane.before.seconds, "beside": watching.get(lane.number)}
            self._send(messages.START, said, lane.worker)
        self.phase = "running"

    def _meet(self, beside: Partner, joined: Callable[[str], bool]) -> float:
        """Wait until the run beside ours could begin, too; the moment at which both do (time.perf_counter).

        Raises UsageError. Whoever started the two ends ours where the other comes to nothing.
        """
        try:
            own = partner.say_ready(self.folder)
        except OSError as error:
            raise UsageError(f"{self.folder}: cannot be written: {error.strerror}") from None

        def settled() -> bool:
            return bool(beside.ready or self.stopped_why or self.mark_lost(joined))

        self._wait(settled, math.inf)
        self._require_whole()
        return max(own, beside.ready or own) + partner.LEAD

    def _require_whole(self) -> None:
        """Raise UsageError where the run was stopped or lost a worker before the first request."""
        self._require_going_on()
        for lane in self.lanes:
            if lane.lost:
                raise UsageError(f"worker {lane.worker} was lost before the run began; start it again")

    def interrupt(self, why: str) -> None:
        """Stop launching and drain; a second time: end at once. A run that is over stays what it is."""
        if self.phase == "closing":
            return
        if self.stopped_why is None:
            self.stopped_why = why
            self._end = min(self._end, max(self.now, 0.0))
            self._deadline = min(self._deadline, self._end + self.schedule.scenario.drain)
            for lane in self.lanes:  # one that is given up may live on
                self._send(messages.DRAIN, {"end": self._end}, lane.worker)
        else:
            self._deadline = self.now

    def discard(self) -> None:
        """Leave nothing of a run that never began, but what the launcher put into its folder."""
        (self.folder / collect.DRAFT).unlink(missing_ok=True)
        partner.take_back(self.folder)
        with contextlib.suppress(OSError):
            self.folder.rmdir()  # goes only where it is empty

    def mark_lost(self, alive: Callable[[str], bool]) -> list[LaneState]:
        """Note lanes whose worker is gone, or has left before its time; those newly lost."""

        def gone(lane: LaneState) -> bool:
            if lane.closed is not None:
                return bool(lane.closed["left"])
            return _ended(lane) or not alive(lane.worker)

        return self._lose([lane for lane in self._living if gone(lane)])

    def step(self) -> bool:
        """Look how far it is; False once nothing is left to wait for."""
        if self.now >= self._end:
            self.phase = "draining"
        self.live.tick(self.now, self.scraper.latest)
        waiting = self.now < self._end or (not self.live.idle and self._drains)
        return waiting and any(lane.closed is None for lane in self._living)

    @property
    def _drains(self) -> bool:
        """Whether answers are waited for: of a run that was stopped early as long as its figures need."""
        if self.stopped_early is None or self.stopped_why is not None:
            return self.now < self._deadline
        if self.now < self._deadline and not self.live.decided:
            return True
        warmup = due_between(self.schedule, 0, self.schedule.window_start)
        needed = warmup + ANSWERED * due_between(self.schedule, self.schedule.window_start, self._end)
        return self.now < self._end + self.schedule.scenario.drain and seen_of(self.live).answered < needed

    def stop_early(self) -> str | None:
        """Launch no more once the server falls behind beyond doubt, and drain as long as the figures need:
        the SLO is decided, and the median of the TTFT seen. Returns why, when that has just been found."""
        if self._seen is None or self.phase != "running" or self.stopped_early or self.stopped_why:
            return None
        self._seen.append(seen_of(self.live))
        window = self.schedule.window_start, self.schedule.window_end
        why = beyond_doubt(self._seen, window, due_between(self.schedule, self._seen[-1].t, window[1]))
        if why is None:
            return None
        self._end = self.live.end = min(self._end, self.now + NOTICE)
        self._deadline = min(self._deadline, self._end + self.schedule.drain)
        for lane in self.lanes:
            self._send(messages.DRAIN, {"end": self._end}, lane.worker)
        judged = f"{self._end - window[0]:.1f} of {window[1] - window[0]:g} s"
        self.stopped_early = f"the server falls behind beyond doubt: {why}"
        return f"stopped after {judged}: {self.stopped_early}"

    def close(self, alive: Callable[[str], bool]) -> list[LaneState]:
        """End what is in flight and collect the rest; the lanes that were lost meanwhile."""
        self.phase = "closing"
        lost: list[LaneState] = []
        for lane in self.lanes:
            self._send(messages.CLOSE, {}, lane.worker)

        def settled() -> bool:
            lost.extend(self.mark_lost(alive))
            return all(map(self._done, self._living))

        self._wait(settled, CLOSE_WITHIN)
        lost += self._lose([lane for lane in self._living if not self._done(lane)])
        self._drained_at = self.now
        for lane in self._living:
            lane.after = self._measure(lane)
        self.unwatch()
        return lost

    def unwatch(self) -> None:
        """Take no more samples of the server and of our machine."""
        self.scraper.stop()
        self._machines.stop()

    def end(self) -> None:
        """Let the workers forget the run."""
        for lane in self.lanes:
            self._send(messages.END, {"written": self.phase == "written"}, lane.worker)

    def write(self) -> None:
        """Write the run's files. Raises OSError; what was collected stays where it is then."""
        if self._trouble is not None and not all(map(self._whole, self.lanes)):
            raise self._trouble
        self._taking = False
        lost = self._find_lost(self._on_disk(self._collector.settle))
        counts = self._on_disk(self._collector.write, lost)
        self._on_disk(self.scraper.write, self.folder / METRICS)
        self._on_disk(self._machines.write, self.folder / MACHINE)
        why = self._why_ended()
        lanes = [self._describe(lane, counts, [record.lane for record in lost]) for lane in self.lanes]
        whole = self._draft | {
            "lanes": lanes,
            "due": sum(lane["arrivals"] for lane in lanes),
            "schedule_end": self._end,
            "scheduled": int((self.schedule.arrivals.numbers("due") < self._end).sum()),
            "drained_at": self._drained_at,
            "ended_at": now(),
            "ended": "complete" if why is None else "interrupted",
            "ended_why": why,
            "stopped_early": self.stopped_early,
            "client_error": self._client_error(),
        }
        if self._collector.set_aside:
            whole["set_aside"] = [asdict(each) for each in self._collector.set_aside]
        for name in collect.DRAFT_ONLY:
            whole.pop(name)
        write_json(self.folder / MANIFEST, whole)
        (self.folder / collect.DRAFT).unlink(missing_ok=True)
        partner.take_back(self.folder)
        self._collector.discard()
        self.phase = "written"

    def _find_lost(self, counts: dict[int, int]) -> list[Record]:
        """A record for each arrival that came due and has none, whoever is to blame."""

        def missing(lane: LaneState, found: Mapping[int, int]) -> int:
            due = lane.closed["due"] if lane.closed and not lane.lost else 0
            return int(due) - found.get(lane.number, 0)

        if not any(lane.lost or missing(lane, counts) for lane in self.lanes):
            return []
        scenario, seed, lanes = self.schedule.scenario, self.schedule.seed, len(self.lanes)
        known = self._on_disk(collect.known_arrivals, self.folder)
        lost = self._on_disk(collect.lost_records, scenario, seed, lanes, known, self._end)
        total = Counter(counts) + Counter(record.lane for record in lost)
        turns = {lane.number: missing(lane, total) for lane in self.lanes}
        if any(count > 0 for count in turns.values()):
            known |= {record.arrival for record in lost}
            lost += self._on_disk(collect.lost_turns, scenario, seed, lanes, known, turns)
        for record in lost:
            if not self.lanes[record.lane].lost:
                record.error = "its record was lost"
        return lost

    def _why_ended(self) -> str | None:
        """Why the run is not complete; None where it is."""
        why = self.stopped_why or (None if self._living else ALL_LOST)
        said = collect.said_of(self._collector.set_aside, self._collector.gone)
        return f"{why}{said}" if why else said.removeprefix("; ") or None

    def on_pulse(self, data: dict[str, Any]) -> None:
        self.live.pulse(data)

    def on_ready(self, data: dict[str, Any]) -> None:
        self.lanes[data["lane"]].ready = data

    def on_pong(self, data: dict[str, Any]) -> None:
        exchange = Exchange(data["sent"], data["theirs"], time.perf_counter())
        self.lanes[data["lane"]].pongs.append(exchange)

    def on_batch(self, data: dict[str, Any]) -> None:
        """Keep it, in a greenlet of its own, so that a disk that makes us wait holds up no other message."""
        gevent.spawn(self._keep, data)

    def _keep(self, data: dict[str, Any]) -> None:
        lane = self.lanes[data["lane"]]
        if not self._taking:  # of a lane that was given up
            return
        try:
            self._on_disk(self._collector.receive, lane.number, data["number"], data["content"])
        except OSError as error:
            if self._trouble is None:
                self._trouble = error
                self.interrupt(f"{self.folder}: records cannot be written: {error.strerror}")
            return
        self._send(messages.GOT, {"number": data["number"]}, lane.worker)
        why = self._same_fault.look(data["content"]) if self._same_fault else None
        if why is not None and self.stopped_why is None:
            self.interrupt(f"the first {MOST} answers all failed: {why} (--keep-going for more of it)")

    def on_closed(self, data: dict[str, Any]) -> None:
        self.lanes[data["lane"]].closed = data
        if data["watched"] is not None:
            self._machines.take(data["watched"])

    @property
    def _living(self) -> list[LaneState]:
        return [lane for lane in self.lanes if not lane.lost]

    @property
    def _settled(self) -> bool:
        """Nothing is left to wait for before the start: every lane is ready, or somebody stopped the run."""
        return self.stopped_why is not None or all(lane.ready for lane in self.lanes)

    def _write_draft(self) -> None:
        """The manifest's beginning, for `loadgen.records.collect recover`. Raises UsageError."""
        try:
            write_json(self.folder / collect.DRAFT, self._draft)
        except OSError as error:
            raise UsageError(f"{self.folder}: cannot be written: {error.strerror}") from None

    def _require_going_on(self) -> None:
        if self.stopped_why is not None:
            raise UsageError(f"{self.stopped_why} before the first request; nothing was measured")

    def _done(self, lane: LaneState) -> bool:
        """It is closed, and all its batches have come; those for which there is no room, it keeps."""
        return lane.closed is not None and (self._whole(lane) or self._trouble is not None)

    def _whole(self, lane: LaneState) -> bool:
        return lane.closed is None or self._collector.received(lane.number) >= lane.closed["batches"]

    def _lose(self, lanes: list[LaneState]) -> list[LaneState]:
        for lane in lanes:
            lane.lost = True
            self.live.lost.add(lane.number)
        if not self._living and self.started:  # nobody is left to send what is still to come
            self._end = min(self._end, max(self.now, 0.0))
        return lanes

    def _measure(self, lane: LaneState) -> Offset | None:
        """The clock of one lane's worker; None when it does not answer."""
        lane.pongs.clear()
        for number in range(PINGS):
            sent = time.perf_counter()
            ping = {"run": self.plan.run, "lane": lane.number, "number": number, "sent": sent}
            self._send(messages.PING, ping, lane.worker)
            if not self._wait(lambda: len(lane.pongs) > number, PONG_WITHIN, STEP / 20):  # noqa: B023
                break
        same = lane.ready is not None and lane.ready["boot"] == clock.boot() != ""
        return clock.offset(lane.pongs, same) if lane.pongs else None

    def _on_disk(self, write: Callable[..., _Result], *given: Any) -> _Result:
        """Have a thread do it, one thing at a time, while the event loop goes on. Raises what it raises."""

        def attempt() -> tuple[Any, Exception | None]:
            try:
                return write(*given), None
            except Exception as error:  # gevent would print one that leaves the thread
                return None, error

        with self._writing:
            result, error = gevent.get_hub().threadpool.apply(attempt)
        if error is not None:
            raise error
        return cast(_Result, result)

    def _wait(self, done: Callable[[], bool], within: float, step: float = STEP) -> bool:
        deadline = time.monotonic() + within
        while not done():
            if time.monotonic() > deadline:
                return False
            gevent.sleep(step)
        return True

    def _describe(self, lane: LaneState, counts: dict[int, int], lost: list[int]) -> dict[str, Any]:
        closed = lane.closed or {}
        records = counts.get(lane.number, 0)
        before, after = lane.before, lane.after
        drift = after.seconds - before.seconds if before and after else None
        return {
            **_known(lane),
            "arrivals": closed["due"] if lane.closed and not lane.lost else records + lost.count(lane.number),
            "records": records,
            "batches_sent": closed.get("batches"),
            "batches_received": self._collector.received(lane.number),
            "lost": lane.lost,
            "clock_drift_s": drift,
            **(closed.get("cost") or {}),
            "connections": closed.get("connections"),
            "peak_in_flight": closed.get("peak_in_flight"),
            "open_files_limit": closed.get("open_files_limit"),
            "beside_server": closed.get("beside_server"),
            "cores": closed.get("cores"),
            "stamps": closed.get("stamps"),
            **(closed.get("network") or {}),
            "scheduling": closed.get("scheduling"),
        }

    def _client_error(self) -> dict[str, Any] | None:
        """The calibration at the load of the busiest lane; None where there is none."""
        seen = [lane.events for lane in self.live.lanes.values()]
        try:
            return calibration.nearest(max(seen) / max(self._end, 1.0))
        except UsageError as error:  # that says nothing against the run
            logging.getLogger(__name__).warning("%s; until then the client's error is not known", error)
            return None


def _known(lane: LaneState) -> dict[str, Any]:
    """What is known of a lane before the first request; a run that is recovered has it from the draft."""
    return {
        "lane": lane.number,
        "worker": lane.worker,
        "host": (lane.ready or {}).get("worker"),
        "clock_offset_s": lane.before.seconds if lane.before else None,
        "clock_rtt_s": lane.before.round_trip if lane.before else None,
    }


def _ended(lane: LaneState) -> bool:
    """Whether the worker is a process of this host that is gone: seen at once, not by its silence."""
    return lane.process is not None and machine.has_ended(lane.process)
