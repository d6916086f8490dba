"""What comes to the master: from a worker of the run and in its right shape, or it is passed over."""

import logging
from collections.abc import Callable, Container, Mapping
from typing import Any

from locust.runners import MasterRunner

from loadgen.master.run import Run
from loadgen.protocol import gate, messages

Handler = Callable[[Run, dict[str, Any]], None]

JOINING = ("client_ready", "locustfile")  # what Locust's workers say first

logger = logging.getLogger(__name__)


class Inbox:
    """Hands each message to its handler. Nothing that a message holds ends the listening.

    `run` gives the one that goes on; `greet` gets a joined worker's name and what its HERE holds. What is
    wrong is said once for each kind: a flood of it fills no log.
    """

    def __init__(
        self,
        runner: Any,
        handlers: Mapping[str, Handler],
        run: Callable[[], Run | None],
        greet: Callable[[str, dict[str, Any]], None],
    ) -> None:
        self._run, self._alone = run, not isinstance(runner, MasterRunner)
        self._said: set[tuple[str, str]] = set()
        for name, handler in handlers.items():
            runner.register_message(name, self._gated(name, self._of_the_run(name, handler)))
        runner.register_message(
            messages.HERE,
            self._gated(messages.HERE, lambda sender, given: greet(sender, gate.check(messages.HERE, given))),
        )
        if not self._alone:
            handle = runner.handle_message
            runner.handle_message = lambda sender, msg: self._of_locust(handle, runner.clients, sender, msg)

    def _gated(self, name: str, handler: Callable[[str, Any], None]) -> Callable[..., None]:
        """The handler, which gets the sender's name, for messages that are what they should be."""

        def on_message(msg: Any, **_: Any) -> None:
            try:
                handler(msg.node_id, msg.data)
            except gate.MessageError as error:
                self._pass_over(msg.node_id, name, str(error))
            except Exception as error:  # a fault of ours must not cost what others send
                self._pass_over(msg.node_id, name, f"{name}: {type(error).__name__}: {error}")

        return on_message

    def _of_the_run(self, name: str, handler: Handler) -> Callable[[str, Any], None]:
        def handle(sender: str, given: Any) -> None:
            run = self._run()
            if run is None or not isinstance(given, dict) or given.get("run") != run.plan.run:
                return
            data = gate.check(name, given)
            lane = data["lane"]
            if lane >= len(run.lanes) or (run.lanes[lane].worker != sender and not self._alone):
                raise gate.MessageError(f"{name}: the sender has no lane {lane}")
            handler(run, data)

        return handle

    def _of_locust(self, handle: Callable[..., None], known: Container[str], sender: str, msg: Any) -> None:
        """Locust takes the sender's name from the message, and any shape of its data, from whomever."""
        kind = str(msg.type)[:100]
        if msg.node_id != sender:
            self._pass_over(sender, kind, f"{kind}: it names another sender")
            return
        if sender not in known and kind not in JOINING:
            self._pass_over(sender, kind, f"{kind}: it has not joined, or has left")
            return
        try:
            handle(sender, msg)
        except Exception as error:
            self._pass_over(sender, kind, f"{kind}: {type(error).__name__}: {error}")

    def _pass_over(self, sender: str, kind: str, why: str) -> None:
        if (sender, kind) not in self._said and len(self._said) < 100:
            self._said.add((sender, kind))
            logger.error(
                "a message of %s is passed over, and others like it: %s", repr(sender)[:100], repr(why)[:300]
            )


def _checked(name: str, handler: Callable[[str, dict[str, Any]], None]) -> Callable[[str, Any], None]:
    return lambda sender, given: handler(sender, gate.check(name, given))
