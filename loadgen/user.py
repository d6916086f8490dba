"""The Locust user class that launches each arrival of the schedule on time. Import it in a locustfile.

    class ChatUser(OpenLoopUser):
        path = "/v1/chat/completions"

        def body(self, arrival, history):
            return {"messages": self.prompts.messages(arrival, history), "max_tokens": arrival.output_tokens}

Each worker runs one user. Its task only launches what is due and returns; its wait_time lasts until the
next arrival is due. So the load is open loop: no answer is waited for.
"""

import sys
from functools import partial
from typing import Any, ClassVar, NoReturn

from locust import User, events, task
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment
from locust.exception import StopUser
from locust.runners import LocalRunner, MasterRunner, WorkerRunner

from common import terminal
from common.usage import USAGE, UsageError
from loadgen import options, preview
from loadgen.client.outcome import Reply
from loadgen.master.conductor import Conductor
from loadgen.protocol import access
from loadgen.telemetry import otlp
from loadgen.telemetry.prometheus import Export
from loadgen.web.webui import WebUi
from loadgen.worker.lane import Lane
from loadgen.worker.worker import Worker
from loadgen.workload.prompts import PromptMaker
from loadgen.workload.schedule import Arrival
from loadgen.workload.vocabulary import Messages


class OpenLoopUser(User):
    """Subclass it, give `path` and `body`; the streamed answer is read and recorded for you."""

    abstract = True
    path: ClassVar[str] = "/v1/chat/completions"
    wants_text: ClassVar[bool] = False  # whether `check` reads the answer's text or tool calls
    lane: Lane

    def body(self, arrival: Arrival, history: Messages) -> dict[str, Any]:
        """The request's JSON, without what `request` adds. `history`: the conversation's turns before."""
        raise NotImplementedError

    def check(self, arrival: Arrival, reply: Reply) -> str | None:
        """What is wrong with an answer that came whole; it then counts as failed. None: nothing."""
        return None

    @property
    def prompts(self) -> PromptMaker:
        """Makes prompts of the asked length in the served model's tokens."""
        return self.lane.prompts

    def request(self, arrival: Arrival, history: Messages) -> dict[str, Any]:
        """The whole request: streamed, with the server's own token counts, of a fixed length on vLLM."""
        plan = self.lane.plan
        usage = {name: True for name in ("include_usage", *plan.extensions) if "usage" in name}
        whole: dict[str, Any] = {"model": plan.model, "stream": True, "stream_options": usage}
        # The salt keeps this run's prompts from meeting an earlier run's in the prefix cache.
        known = {"ignore_eos": True, "cache_salt": plan.run}
        whole |= {name: known[name] for name in known if name in plan.extensions}
        if arrival.priority is not None:
            whole["priority"] = arrival.priority
        return whole | self.body(arrival, history)

    def on_start(self) -> None:
        self._has_lane = worker_of(self.environment).take_lane(self) is not None

    def wait_time(self) -> float:
        return self.lane.until_next()

    @task
    def launch(self) -> None:
        if not self._has_lane:  # the master knows why, or Locust moved a second user to this worker
            raise StopUser
        self.lane.launch_due()


def worker_of(environment: Environment) -> Worker:
    """The process's worker side."""
    worker: Worker = environment.tokenswarm_worker
    return worker


@events.init_command_line_parser.add_listener
def on_init_command_line_parser(parser: LocustArgumentParser, **_: Any) -> None:
    options.add_arguments(parser)
    try:
        options.adapt(parser, sys.argv[1:])
        token = options.token_of(parser, sys.argv[1:])
    except UsageError as error:
        _refuse(error)
    if token is not None:
        access.protect_locust(token)


@events.init.add_listener
def on_init(environment: Environment, **_: Any) -> None:
    terminal.guard_logs()
    if not any(issubclass(each, OpenLoopUser) for each in environment.user_classes):
        _refuse(
            "no user class of the locustfile comes from loadgen.user.OpenLoopUser (docs/writing-a-client.md)"
        )
    if environment.parsed_options.dry_run:
        try:
            print(preview.request(environment))
        except UsageError as error:
            _refuse(error)
        sys.exit(0)
    environment.parsed_options.header = []  # Locust sends all options to its workers
    if environment.parsed_options.otel:
        otlp.attend(environment)
    if isinstance(environment.runner, WorkerRunner | LocalRunner):
        environment.tokenswarm_worker = Worker(environment)
    if isinstance(environment.runner, MasterRunner | LocalRunner):
        environment.tokenswarm_conductor = Conductor(environment, partial(preview.first_request, environment))
        Export(environment, environment.tokenswarm_conductor)
        if environment.web_ui:
            WebUi(environment, environment.tokenswarm_conductor)


def _refuse(why: object) -> NoReturn:
    """Before Locust's runners, which would print a traceback of it."""
    terminal.say(f"tokenswarm: {why}")
    sys.exit(USAGE)
