"""Whether the model has room for every request of a schedule, prompt and answer together."""

from common.usage import UsageError
from loadgen.schedule import Arrival, Schedule
from loadgen.source import Source


def require_room(load: Schedule, limit: int | None) -> None:
    """Raise UsageError for a request of more than `limit` tokens; None: the server names no limit."""
    if limit is None or not load.arrivals:
        return
    longest = max(load.arrivals, key=_tokens)
    if _tokens(longest) > limit:
        raise UsageError(_too_long(load, longest, limit))


def _tokens(arrival: Arrival) -> int:
    return arrival.prefix_tokens + arrival.prompt_tokens + arrival.output_tokens


def _too_long(load: Schedule, arrival: Arrival, limit: int) -> str:
    tokens, takes = _tokens(arrival), f"the server takes {limit} (--max-model-len)"
    if load.scenario.dataset is None:
        return (
            f"scenario {load.scenario.name} asks for up to {tokens} tokens in one request, {takes}; "
            "choose another scenario, or a lower max in it"
        )
    row = Source(load.scenario).row_of(arrival.prompt_tokens, arrival.output_tokens)
    where = row.where if row else load.scenario.dataset.path
    about = "about " if arrival.dialogue else ""  # of a text the length is estimated
    return (
        f"{where}: asks for {about}{tokens} tokens, {takes}; "
        f"with `max_tokens: {limit}` the scenario's dataset passes longer rows over"
    )
