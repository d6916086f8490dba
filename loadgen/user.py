"""The Locust user class that launches each arrival of the schedule on time. Import it in a locustfile.

    class ChatUser(OpenLoopUser):
        path = "/v1/chat/completions"

        def body(self, arrival, history):
            return {"messages": self.prompts.messages(arrival, history), "max_tokens": arrival.output_tokens}

Each worker runs one user. Its task only launches what is due and returns; its wait_time lasts until the
next arrival is due. So the load is open loop: no answer is waited for.
"""

import difflib
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
from loadgen.workload.arrival import Arrival
from loadgen.workload.prompts import PromptMaker
from loadgen.workload.vocabulary import Messages


class OpenLoopUser(User):
    """Subclass it, give `api`, or a `body` of your own; the answer is read and recorded for you."""

    abstract = True
    api: ClassVar[str] = "chat"  # the kind, of loadgen.api; a scenario or --api may name another
    path: ClassVar[str | None] = None  # None: the kind's
    wants_text: ClassVar[bool] = False  # whether `check` reads the answer's text or tool calls
    lane: Lane

    def body(self, arrival: Arrival, history: Messages) -> dict[str, Any]:
        """The request's JSON, without what `request` adds. `history`: the conversation's turns before."""
        return self.lane.kind.body(self.prompts, arrival, history, self.lane.scenario)

    def check(self, arrival: Arrival, reply: Reply) -> str | None:
        """What is wrong with an answer that came whole; it then counts as failed. None: nothing."""
        return None

    @property
    def makes_body(self) -> bool:
        """Whether the class has a body of its own."""
        return type(self).body is not OpenLoopUser.body

    @property
    def prompts(self) -> PromptMaker:
        """Makes prompts of the asked length in the served model's tokens."""
        return self.lane.prompts

    def request(self, arrival: Arrival, history: Messages) -> dict[str, Any]:
        """The whole request: streamed, with the server's own token counts, of a fixed length on vLLM."""
        plan = self.lane.plan
        whole: dict[str, Any] = {"model": arrival.adapter or plan.model}
        whole |= self.lane.kind.frame(plan.extensions, plan.run)
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


HOOKS = ("api", "body", "check", "path", "request", "wants_text", "on_start", "on_stop")
NEARLY = 0.8  # of two names; "chek" and "check" are at 0.89, "request_body" and "request" at 0.74


def _say_misspelt(user: type[User]) -> None:
    """Say each name of the class that is nearly one of HOOKS: nothing of ours would call it."""
    for name in vars(user):
        close = difflib.get_close_matches(name, HOOKS, n=1, cutoff=NEARLY)
        if close and name[0] != "_" and not hasattr(OpenLoopUser, name):
            terminal.say(
                f"{user.__name__}.{name} is no hook; did you mean {close[0]}? A client may have: "
                f"{', '.join(HOOKS)} (docs/writing-a-client.md)"
            )


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
    if not isinstance(environment.runner, WorkerRunner):
        for each in environment.user_classes:
            _say_misspelt(each)
    if environment.parsed_options.dry_run:
        try:
            print(preview.request(environment))
        except UsageError as error:
            _refuse(error)
        sys.exit(0)
    environment.parsed_options.header = []  # Locust sends all options to its workers
    options.take_run_time(environment.parsed_options)
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
