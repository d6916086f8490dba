"""Public: the hooks of a run, for listeners in a locustfile."""

from typing import NoReturn

from loadgen.protocol.events import chat_finished, first_token, launched, run_finished

__all__ = ["chat_finished", "first_token", "launched", "run_finished"]


def __getattr__(name: str) -> NoReturn:
    raise AttributeError(f"loadgen.events has no hook {name}; there are: {', '.join(__all__)}")
