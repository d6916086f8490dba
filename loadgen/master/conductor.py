"""The master's side of a run, as Locust sees it: a load shape that lasts from the plan to the verdict.

Locust starts the shape (headless, or by the web UI's button) and asks it once a second how many users
there should be: one for each lane, until the run is over.
"""

import atexit
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import gevent
import locust.runners
from gevent.lock import RLock
from locust.env import Environment
from locust.runners import STATE_MISSING, MasterRunner

from common import terminal
from common.results import QUIET, SERVER, SUMMARY
from common.usage import USAGE, UsageError
from loadgen.host import child_process
from loadgen.master import status_line, worker_processes
from loadgen.master.beginning import FirstRequest, begin, reach
from loadgen.master.inbox import Inbox
from loadgen.master.load_shape import FixedDispatcher, Shape, Tick
from loadgen.master.run import ALL_LOST, LaneState, Run, Workers
from loadgen.protocol import events, messages
from loadgen.protocol.settings import Settings, same_server, settings_of

INTERRUPTED = 130
NOT_JUDGED = 1  # the run is written, and nobody has said what it is worth
WORKERS_WITHIN = 60.0  # s to wait for the workers that were announced
PATIENCE = 30  # s without a worker's heartbeat (one a second) after which it counts as lost
FIRST_WORKER_WITHIN = 10.0  # s to wait for any, where none was announced

logger = logging.getLogger(__name__)


class Conductor:
    """One per process that directs; it outlives the runs."""

    def __init__(self, environment: Environment, first_request: FirstRequest) -> None:
        self._environment, self._first_request = environment, first_request
        self._runner = environment.runner
        self._own_host = environment.host  # of the command line; the web UI's form may name another
        self._line = terminal.StatusLine(status_line.PLAIN_EVERY)
        self._stepping = RLock()
        self._interrupted = False
        self._processes: dict[str, dict[str, Any]] = {}  # of the workers that have said it, by Locust's id
        self.run: Run | None = None
        self.latest: Run | None = None  # the one that goes on, or the last one that began
        self.failure: str | None = None  # why the last start, or the run after it, came to nothing
        self.finished: list[tuple[Path, str]] = []  # this session's runs and their verdicts
        self._register()
        self._catch_signals()
        options = environment.parsed_options
        if options.headless:
            options.only_summary = True
            logging.getLogger("locust.stats_logger").disabled = not options.print_stats
            self._name_idle(options)
            self._check_early(options)
        self._announced = self._take_over_waiting(options)
        locust.runners.HEARTBEAT_LIVENESS = PATIENCE
        if options.processes:
            # before Locust's own, which waits for none that still runs
            atexit.register(worker_processes.await_end)

    def tick(self) -> Tick:
        """How many users there should be, and how fast they come; None when the run is over."""
        try:
            with self._stepping:
                return self._step()
        except UsageError as error:
            self._fail(str(error))
        except Exception as error:
            logger.exception("the run failed")
            self._fail(f"the run failed: {type(error).__name__}: {error}")
        return None

    def settings(self, form: Mapping[str, Any], host: str | None) -> Settings:
        """What the options add up to, changed by a form. Only the command line's host gets the key."""
        asked = settings_of(vars(self._environment.parsed_options) | dict(form), host)
        return replace(asked, with_key=same_server(asked.host, self._own_host))

    def _step(self) -> Tick:
        if self.run is None:
            self._interrupted, self.failure = False, None
            self._catch_signals()
            self.run = self.latest = begin(
                self.settings({}, self._environment.host),
                self._workers,
                self._send,
                self._say,
                self._first_request,
            )
            self.run.hand_out(each.__name__ for each in self._environment.user_classes)
        elif not self.run.started:
            if not (self.run.folder / SERVER).is_file():  # else the launcher has said it
                self._say(f"run folder {self.run.folder}")
            self.run.start(self._joined)
        else:
            self._say_lost(self.run.mark_lost(self._alive))
            going_on = self.run.step()
            if why := self.run.stop_early():
                self._say(why)
            self._line.show(self.run.line)
            if not going_on:
                self._finish(self.run)
                return None
        count = len(self.run.lanes)
        return count, float(count)

    def _finish(self, run: Run) -> None:
        """Collect, write, judge; whatever happens, the workers are told that it is over."""
        self._line.clear()
        try:
            self._say_lost(run.close(self._alive))
            run.write()
        except OSError as error:
            raise UsageError(
                f"{run.folder}: cannot be written: {error.strerror}; the records so far are kept in it: free "
                f"space, then `tokenswarm recover {run.folder}`"
            ) from None
        finally:
            run.end()
        code = self._judge(run)
        verdict = _verdict(run.folder)
        self._environment.process_exit_code = INTERRUPTED if self._interrupted else code
        self.finished.append((run.folder, verdict))
        events.run_finished.fire(environment=self._environment, folder=run.folder, verdict=verdict)
        self.run = None
        run.over.set()

    def _judge(self, run: Run) -> int:
        """Run `tokenswarm judge` in a process of its own, so that judging never disturbs a measurement."""
        words = ["judge", str(run.folder)]
        words += ["--quiet"] if os.environ.get(QUIET) else []
        allow = self._environment.parsed_options.allow
        code = child_process.run_verb(words + (["--allow", allow] if allow else [])).code
        if code < 0:
            self._say(
                f"the judge was ended by {signal.Signals(-code).name}; the run is written: "
                f"`tokenswarm judge {run.folder}` judges it"
            )
            return NOT_JUDGED
        return code

    def _fail(self, text: str) -> None:
        self._line.clear()
        terminal.say(f"tokenswarm: {text}")
        self.failure = terminal.shown(text)
        self._environment.process_exit_code = INTERRUPTED if self._interrupted else USAGE
        run, self.run = self.run, None
        if run is not None:
            if not run.started:
                self.latest = None
                run.discard()
            run.unwatch()
            run.end()
            run.over.set()

    def _workers(self) -> Workers:
        """The workers that take part, in the order in which they joined. Raises UsageError for none."""
        if not isinstance(self._runner, MasterRunner):
            return {"local": None}
        wanted, within = self._announced
        if not self._environment.parsed_options.processes and len(self._here()) < wanted:
            port = self._environment.parsed_options.master_bind_port
            self._say(f"waiting up to {within:g} s for {wanted} workers to join at port {port}")
        deadline = time.monotonic() + within
        while len(self._here()) < wanted and time.monotonic() < deadline:
            for client in self._runner.clients.ready:
                if client.id not in self._processes:
                    self._send(messages.ASK, {}, client.id)
            gevent.sleep(0.1)
        here, mute = self._here(), len(self._runner.clients.ready) - len(self._here())
        others = f"; {mute} more that joined do not answer as workers of this version" if mute else ""
        if not here:
            raise UsageError(f"no worker has joined; start one: make worker MASTER=<this host>{others}")
        if len(here) < wanted:
            raise UsageError(
                f"{wanted} workers were announced, {len(here)} joined within {within:g} s{others}"
            )
        if self._environment.parsed_options.headless and len(here) > wanted:
            self._say(f"{len(here) - wanted} more workers joined than were announced; they make no load")
            here = here[:wanted]
        return {worker: self._processes[worker] for worker in here}

    def _here(self) -> list[str]:
        """Those that have joined and answered as workers of ours do, in the order in which they joined."""
        found = [client.id for client in self._runner.clients.ready if client.id in self._processes]
        return sorted(sorted(found), key=self._runner.get_worker_index)

    def _takes_part(self, worker: str) -> bool:
        return self.run is not None and any(lane.worker == worker for lane in self.run.lanes)

    def _take_over_waiting(self, options: Any) -> tuple[int, float]:
        """How many workers a run waits for, and how long (s). Locust's own waiting for those announced would
        end with neither our exit code nor a word to the workers that had come."""
        if not (isinstance(self._runner, MasterRunner) and options.headless):
            return 1, FIRST_WORKER_WITHIN
        announced, options.expect_workers = options.expect_workers, 0
        return announced, options.expect_workers_max_wait or WORKERS_WITHIN

    def _joined(self, worker: str) -> bool:
        """Whether it is still with us; it may be silent for long while it makes its requests."""
        return not isinstance(self._runner, MasterRunner) or self._runner.clients.get(worker) is not None

    def _alive(self, worker: str) -> bool:
        if not isinstance(self._runner, MasterRunner):
            return True
        node = self._runner.clients.get(worker)
        return node is not None and node.state != STATE_MISSING

    def _send(self, name: str, data: dict[str, Any], worker: str) -> None:
        self._runner.send_message(name, data, client_id=worker)

    def _register(self) -> None:
        environment = self._environment
        environment.shape_class = Shape(self.tick)
        environment.shape_class.runner = self._runner
        environment.dispatcher_class = partial(FixedDispatcher, takes_part=self._takes_part)
        handlers = {
            messages.READY: Run.on_ready,
            messages.PONG: Run.on_pong,
            messages.BATCH: Run.on_batch,
            messages.PULSE: Run.on_pulse,
            messages.CLOSED: Run.on_closed,
        }
        self._inbox = Inbox(self._runner, handlers, lambda: self.run, self._on_here)
        environment.events.test_stopping.add_listener(self._on_stopping)

    def _on_here(self, worker: str, data: dict[str, Any]) -> None:
        self._processes[worker] = data["process"]

    def _on_stopping(self, **_: Any) -> None:
        """Locust stops the test: the web UI's button, a last worker gone. Drain and keep the run first."""
        run = self.run
        if run is None or gevent.getcurrent() is self._runner.shape_greenlet:
            return
        anybody = any(self._alive(lane.worker) for lane in run.lanes)
        run.interrupt("stopped by hand" if anybody else ALL_LOST)
        run.over.wait(run.schedule.scenario.drain + 120)

    def _catch_signals(self) -> None:
        """Ours go before Locust's, which would end the process with requests in flight."""
        for number in terminal.endings():
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: Any) -> None:
        if number == signal.SIGHUP:
            terminal.let_go()
        if self.run is None:
            headless = self._environment.parsed_options.headless
            if headless and (self.finished or self.failure):
                return  # all is written, and Locust is on its way out
            if number == signal.SIGINT and self._close_web_ui():
                return
            raise SystemExit(128 + number)
        if self.run.phase == "closing":
            self._say("the run is over; it is being written and judged")
        elif self.run.started:
            self._say("ending now" if self._interrupted else "draining; once more ends it at once")
        self._interrupted = True
        gevent.spawn(self.run.interrupt, f"interrupted by {signal.Signals(number).name}")
        if number != signal.SIGINT and not self._environment.parsed_options.headless:
            gevent.spawn(self._end_after, self.run, 128 + number)

    def _end_after(self, run: Run, code: int) -> None:
        """Beside a web UI, Ctrl-C ends a run; who says that the process shall end, has it end after it."""
        run.over.wait()
        self._environment.process_exit_code = code
        self._close_web_ui()

    def _close_web_ui(self) -> bool:
        """Locust ends in good order once its web UI's greenlet has; False where it has none."""
        ui = self._environment.web_ui
        if not ui or ui.greenlet is None:
            return False
        ui.greenlet.kill(block=False)
        return True

    def _name_idle(self, options: Any) -> None:
        """Options of Locust's that others know, and that decide nothing here."""
        if options.num_users is not None or options.spawn_rate is not None:
            self._say("-u and -r have no effect: --rps (or --concurrency) makes the load")

    def _check_early(self, options: Any) -> None:
        """Headless, a wrong option or a server that does not answer ends it before workers are waited for."""
        try:
            reach(self.settings({}, self._environment.host))
        except UsageError as error:
            terminal.say(f"tokenswarm: {error}")
            worker_processes.kill()
            sys.exit(USAGE)

    def _say_lost(self, lanes: list[LaneState]) -> None:
        for lane in lanes:
            self._say(f"worker {lane.worker} is lost, and with it what lane {lane.number} had still to send")

    def _say(self, text: str) -> None:
        self._line.say(text)


def _verdict(folder: Path) -> str:
    """What the judge wrote; its exit code may be 0 for more than one (--allow)."""
    try:
        return str(json.loads((folder / SUMMARY).read_text(encoding="utf-8"))["verdict"])
    except (OSError, ValueError, KeyError):
        return "not judged"
