"""Whether the model has room for every request of a schedule, prompt and answer together."""

import math
from itertools import chain

import numpy as np

from common.usage import UsageError
from loadgen.workload.arrival import Arrival
from loadgen.workload.dataset_rows import Source
from loadgen.workload.lengths import Lengths
from loadgen.workload.schedule import Schedule


def require_room(load: Schedule, limit: int | None) -> None:
    """Raise UsageError for a request of more than `limit` tokens; None: the server names no limit."""
    if limit is None or not load.arrivals:
        return
    parts = [load.arrivals.numbers(name) for name in ("prefix_tokens", "prompt_tokens", "output_tokens")]
    longest = max(
        chain([load.arrivals[int(np.sum(parts, axis=0).argmax())]], *load.sessions.values()), key=_tokens
    )
    if _tokens(longest) > limit:
        raise UsageError(_too_long(load, longest, limit))
    if load.scenario.conversation and _bound(load) > limit:
        _require_room_for_turns(load, limit)


def _require_room_for_turns(load: Schedule, limit: int) -> None:
    """Each turn sends all that was said before. What the template adds for each is not counted: it is known
    only when the prompts are made."""
    tokens, last = max((_last_turn(load, first) for first in load.arrivals), key=lambda turn: turn[0])
    if tokens > limit:
        raise UsageError(
            f"scenario {load.scenario.name}: turn {last.turn + 1} of a conversation comes to {tokens} tokens "
            f"with all that was said before, the server takes {limit} (--max-model-len); lower "
            "conversation.turns, or prompt_tokens or output_tokens"
        )


def _last_turn(load: Schedule, arrival: Arrival) -> tuple[int, Arrival]:
    """The last turn that can come due before the end, however fast the answers are, and its tokens."""
    tokens, due = _tokens(arrival), arrival.due or 0.0
    while (following := load.next_in_chain(arrival)) and due + following.think < load.end:
        tokens, due, arrival = tokens + _tokens(following), due + following.think, following
    return tokens, arrival


def _bound(load: Schedule) -> float:
    """What no turn of the schedule exceeds, without looking at each."""
    longest = max(
        _most(each.prompt_tokens) + _most(each.output_tokens) for each in load.scenario.mix.values()
    )
    return float(load.arrivals.numbers("prefix_tokens").max()) + load.most_turns * longest


def _most(lengths: Lengths) -> float:
    return max(1, math.ceil(lengths.most)) if lengths.bounded else math.inf


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
