"""The load of a forecast: a schedule's arrivals as requests that reach an engine, chains included. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from forecast.scheduler import Load
from loadgen.workload.arrival import Arrival
from loadgen.workload.schedule import Schedule

TRACE_BLOCK = 512  # tokens that one hash id of a trace stands for (loadgen's prompts spell them so)
UNKNOWN_PROMPT = 100  # tokens, of a dataset's text whose length nobody said


@dataclass
class Traffic:
    """The arrivals in the order in which they reach the engine, and what an engine's Load says of them.

    `lag`: the dispatch delay, s; `delay`: from there to the engine. `longer`: tokens of an answer / those
    asked.
    """

    schedule: Schedule
    delay: float
    longer: float = 1.0
    caching: bool = True
    block_size: int = 16
    lag: float = 0.0
    arrivals: list[Arrival] = field(default_factory=list)
    due: list[float] = field(default_factory=list)
    load: Load = field(default_factory=lambda: Load([], [], [], [], []))
    _history: list[int] = field(default_factory=list)  # tokens of a conversation after this turn
    _groups: set[object] = field(default_factory=set)  # beginnings that the cache holds

    def __post_init__(self) -> None:
        for arrival in sorted(self.schedule.arrivals, key=_due):
            self._add(arrival, _due(arrival), 0)

    def follow(self, index: int, ended: float) -> tuple[float, int, int, int, int] | None:
        """What follows request `index`, whose answer ended at `ended` seconds; see scheduler.Follow."""
        arrival = self.schedule.next_in_chain(self.arrivals[index])
        if arrival is None:
            return None
        due = ended + arrival.think
        if due >= self.schedule.end:
            return None
        self._add(arrival, due, self._history[index] if arrival.history else 0)
        load = self.load
        # the scheduler puts it there itself
        return load.ready.pop(), load.prompt.pop(), load.output.pop(), load.priority.pop(), load.cached.pop()

    def _add(self, arrival: Arrival, due: float, history: int) -> None:
        prompt = history + arrival.prefix_tokens * (not history) + arrival.prompt_tokens
        if arrival.dialogue and not arrival.prompt_tokens:
            prompt = UNKNOWN_PROMPT
        output = max(round(arrival.output_tokens * self.longer), 1)
        self.arrivals.append(arrival)
        self.due.append(due)
        self._history.append(prompt + output)
        load = self.load
        load.ready.append(due + self.lag + self.delay)
        load.prompt.append(prompt)
        load.output.append(output)
        load.priority.append(arrival.priority or 0)
        load.cached.append(self._cached(arrival, history, prompt) if self.caching else 0)

    def _cached(self, arrival: Arrival, history: int, prompt: int) -> int:
        """Prompt tokens in the cache: whole blocks, and never the last token (it has to be computed)."""
        known = history
        if not history and arrival.prefix_tokens:
            key = ("prefix", arrival.prefix_group)
            known = arrival.prefix_tokens if key in self._groups else 0
            self._groups.add(key)
        elif arrival.blocks:
            known = self._leading(arrival.blocks) * TRACE_BLOCK
        return min(known, prompt - 1) // self.block_size * self.block_size

    def _leading(self, blocks: Sequence[int]) -> int:
        """How many of the first ids came before, in this order."""
        count = 0
        for place, block in enumerate(blocks):
            if (place, block) in self._groups:
                count = place + 1
            else:
                break
        self._groups.update(enumerate(blocks))
        return count


def _due(arrival: Arrival) -> float:
    assert arrival.due is not None, "a schedule's own arrivals have due times"
    return arrival.due
