"""Public: the hooks of a run, for listeners in a locustfile."""

from loadgen.protocol.events import chat_finished, first_token, launched, run_finished

__all__ = ["chat_finished", "first_token", "launched", "run_finished"]
