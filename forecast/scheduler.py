"""vLLM's V1 scheduler, simulated: which request is in which engine step, and when each step ends.

Steps in which nothing changes but the context's length are taken together (event skipping): between two
events their times are a quadratic in their number. Written after `vllm/v1/core/sched/scheduler.py` of 0.26
and 0.32; what it leaves out stands in docs/forecast.md. Pure; no I/O, no clock.
"""

import heapq
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FCFS, PRIORITY = "fcfs", "priority"
PACE_S = 0.5  # a pace that moves is looked up so often; it is given for whole seconds


@dataclass(frozen=True)
class Engine:
    """What the server's flags say. Tokens, sequences and blocks are counts."""

    max_num_seqs: int
    max_num_batched_tokens: int
    policy: str = FCFS
    blocks: int | None = None  # of KV cache; None: without limit
    block_size: int = 16
    lookahead: int = 0  # 1: asynchronous scheduling, which plans a step while the one before it runs
    chunked_prefill: bool = True


@dataclass(slots=True)
class Load:
    """Requests in the order in which they come to the engine. Lists of one length.

    `ready`: seconds. `cached`: prompt tokens that the prefix cache holds.
    """

    ready: list[float]
    prompt: list[int]
    output: list[int]
    priority: list[int]
    cached: list[int]


# (index of the request, time of its last token) -> what follows it: (ready, prompt, output, priority, cached)
Follow = Callable[[int, float], tuple[float, int, int, int, int] | None]


@dataclass(slots=True)
class Outcome:
    """What became of each request. A request emits one token at the end of each step first..last.

    `first`: -1 where it never got a token. `tokens`: how many came before the horizon. `pieces`: of those
    that were preempted, the (first, last) of each stretch. `step_end`: seconds, shape (steps,). `admitted`:
    seconds at which it was first scheduled, nan if never. `busy`: seconds in which a step ran.
    """

    first: Ints
    last: Ints
    tokens: Ints
    admitted: Floats
    step_end: Floats
    pieces: dict[int, list[tuple[int, int]]]
    preemptions: int
    busy: float
    totals: Floats  # (steps, decoding, context, prompt tokens, requests) summed over all steps


@dataclass(slots=True)
class _Segments:
    """Runs of like steps: start, seconds of the first, growth for each that follows, how many."""

    start: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    growth: list[float] = field(default_factory=list)
    count: list[int] = field(default_factory=list)

    def ends(self) -> Floats:
        """The end of each step, in order."""
        count = np.array(self.count, dtype=np.int64)
        if not len(count):
            return np.zeros(0)
        offset = np.cumsum(count) - count
        number = np.arange(count.sum()) - np.repeat(offset, count) + 1.0
        start, seconds, growth = (
            np.repeat(np.array(part), count) for part in (self.start, self.seconds, self.growth)
        )
        return np.asarray(start + number * seconds + growth * number * (number - 1) / 2)


def simulate(
    load: Load,
    engine: Engine,
    coefficients: Floats,
    horizon: float = math.inf,
    follow: Follow | None = None,
    pace: Callable[[float], float] | None = None,
    knot: float = math.inf,
) -> Outcome:
    """Run the load through the engine until `horizon` seconds. `coefficients`, seconds, and `knot`: as
    step_times has them.

    `load` grows by what `follow` gives (a conversation's next turn). `pace`: factor of step times over time.
    """
    return _Simulation(load, engine, coefficients, horizon, follow, pace, knot).run()


class _Simulation:
    """One run's state. `step` is the index of the step that is planned next, `now` its start."""

    def __init__(
        self,
        load: Load,
        engine: Engine,
        coefficients: Floats,
        horizon: float,
        follow: Follow | None,
        pace: Callable[[float], float] | None,
        knot: float,
    ) -> None:
        self.load, self.engine, self.horizon, self.follow, self.pace = load, engine, horizon, follow, pace
        self.terms, self.knot = [float(value) for value in coefficients], knot
        self.now, self.step = 0.0, 0
        self.before = -math.inf  # start of the step before: with lookahead a step is planned then
        self.pointer, self.sent = 0, len(load.ready)  # arrivals that were known from the beginning
        self.later: list[tuple[float, int]] = []  # arrivals that follow another
        self.waiting: deque[int] = deque()
        self.urgent: list[tuple[int, float, int]] = []  # waiting, by priority
        self.partial: list[int] = []  # admitted, prompt not yet computed whole
        self.computed: dict[int, int] = {}  # prompt tokens of these
        self.slots = 0  # requests that count against max_num_seqs
        self.decoding, self.context = 0, 0
        self.ends: list[tuple[int, int, int]] = []  # (step after the last token, request, ticket)
        self.frees: list[tuple[int, int]] = []  # (first step in which its slot is free, request)
        self.ticket: dict[int, int] = {}  # of running requests: a preempted one's end is void
        self.begun: dict[int, tuple[int, int]] = {}  # decoding: step of its first token, context after it
        self.promised = 0  # blocks of all running requests at their ends
        count = len(load.ready)
        self.first, self.last, self.tokens = [-1] * count, [-1] * count, [0] * count
        self.admitted = [math.nan] * count
        self.pieces: dict[int, list[tuple[int, int]]] = {}
        self.preemptions, self.busy, self.tickets = 0, 0.0, 0
        self.segments = _Segments()
        self.totals = [0.0, 0.0, 0.0, 0.0, 0.0]

    def run(self) -> Outcome:
        while self.now < self.horizon:
            self._release()
            self._arrive()
            prefill = self._plan()
            if prefill:
                self._mixed(prefill)
            elif self.decoding:
                self._decode()
            elif not self._idle():
                break
        return self._outcome()

    # What comes and goes ------------------------------------------------------------------------------

    def _release(self) -> None:
        """Requests that have got their last token leave the batch; a slot is free `lookahead` steps later."""
        ends, frees = self.ends, self.frees
        while ends and ends[0][0] <= self.step:
            end, index, ticket = heapq.heappop(ends)
            if self.ticket.get(index) != ticket:
                continue
            first, held = self.begun.pop(index)
            del self.ticket[index]
            self.decoding -= 1
            self.context -= held + end - 1 - first
            self._note(index, first, end - 1)
            heapq.heappush(frees, (end + self.engine.lookahead, index))
            if self.follow is not None:
                self._follow(index)
        while frees and frees[0][0] <= self.step:
            _, index = heapq.heappop(frees)
            self.slots -= 1
            self.promised -= self._final_blocks(index)

    def _follow(self, index: int) -> None:
        assert self.follow is not None
        found = self.follow(index, self.now)
        if found is None:
            return
        load = self.load
        for values, value in zip(
            (load.ready, load.prompt, load.output, load.priority, load.cached), found, strict=True
        ):
            values.append(value)  # type: ignore[attr-defined]
        self.first.append(-1)
        self.last.append(-1)
        self.tokens.append(0)
        self.admitted.append(math.nan)
        heapq.heappush(self.later, (found[0], len(load.ready) - 1))

    def _note(self, index: int, first: int, last: int) -> None:
        """A stretch of tokens, one at the end of each step first..last."""
        if self.first[index] < 0:
            self.first[index] = first
        elif index in self.pieces or self.last[index] >= 0:
            self.pieces.setdefault(index, [(self.first[index], self.last[index])]).append((first, last))
        self.last[index] = last
        self.tokens[index] += last - first + 1

    def _arrive(self) -> None:
        """What is there when the step is planned. With lookahead that is the start of the step before."""
        moment = self.before if self.engine.lookahead else self.now
        ready = self.load.ready
        while self.pointer < self.sent and ready[self.pointer] <= moment:
            self._wait(self.pointer)
            self.pointer += 1
        while self.later and self.later[0][0] <= moment:
            self._wait(heapq.heappop(self.later)[1])

    def _wait(self, index: int) -> None:
        if self.engine.policy == PRIORITY:
            heapq.heappush(self.urgent, (self.load.priority[index], self.load.ready[index], index))
        else:
            self.waiting.append(index)

    def _idle(self) -> bool:
        """Nothing runs: go on to what comes next. False when nothing does."""
        if self.frees:
            self.frees = [
                (self.step, index) for _, index in self.frees
            ]  # nothing runs: the pipeline is empty
            return True
        if self.waiting or self.urgent:
            return False  # a prompt that not even an empty engine can hold
        coming = self._next_arrival()
        if coming >= self.horizon:
            return False
        self.now = max(self.now, coming)
        self.before = self.now
        return True

    def _next_arrival(self) -> float:
        known = self.load.ready[self.pointer] if self.pointer < self.sent else math.inf
        return min(known, self.later[0][0]) if self.later else known

    # What a step holds --------------------------------------------------------------------------------

    def _plan(self) -> list[tuple[int, int, bool]]:
        """The prompts in the next step: (request, tokens, whether its prompt is then whole)."""
        if not (self.partial or ((self.waiting or self.urgent) and self.slots < self.engine.max_num_seqs)):
            return []
        budget = self.engine.max_num_batched_tokens - self.decoding
        chosen: list[tuple[int, int, bool]] = []
        for index in self.partial:
            budget = self._take(index, budget, chosen)
        while budget > 0 and self.slots < self.engine.max_num_seqs and (self.waiting or self.urgent):
            index = self.urgent[0][2] if self.urgent else self.waiting[0]
            need = self._prompt(index) - self._cached(index)
            if not self.engine.chunked_prefill and need > budget:
                break
            if not self._holds(index):
                break
            if self.urgent:
                heapq.heappop(self.urgent)
            else:
                self.waiting.popleft()
            self._admit(index)
            budget = self._take(index, budget, chosen)
        return chosen

    def _take(self, index: int, budget: int, chosen: list[tuple[int, int, bool]]) -> int:
        need = self._prompt(index) - self.computed[index]
        tokens = min(need, budget)
        if tokens > 0:
            chosen.append((index, tokens, tokens == need))
        return budget - max(tokens, 0)

    def _admit(self, index: int) -> None:
        self.slots += 1
        self.tickets += 1
        self.ticket[index] = self.tickets
        self.promised += self._final_blocks(index)
        self.computed[index] = self._cached(index)
        self.partial.append(index)
        if math.isnan(self.admitted[index]):
            self.admitted[index] = self.now

    def _prompt(self, index: int) -> int:
        """Tokens to compute before the next one comes: after a preemption those it had got, too."""
        return self.load.prompt[index] + self.tokens[index]

    def _cached(self, index: int) -> int:
        return 0 if self.tokens[index] else self.load.cached[index]

    # Steps --------------------------------------------------------------------------------------------

    def _mixed(self, prefill: list[tuple[int, int, bool]]) -> None:
        """One step with prompts in it."""
        if not self._room(1):
            return  # someone was preempted: plan anew
        tokens = sum(part[1] for part in prefill)
        self._advance(1, tokens, len(prefill))
        step = self.step - 1  # the one that was just made
        for index, part, whole in prefill:
            self.computed[index] += part
            if whole:
                self.partial.remove(index)
                del self.computed[index]
                held = self._prompt(index) + 1
                self.begun[index] = (step, held)
                self.decoding += 1
                self.context += held
                left = self.load.output[index] - self.tokens[index]
                heapq.heappush(self.ends, (step + left, index, self.ticket[index]))

    def _decode(self) -> None:
        """Steps without prompts until something changes."""
        while self.ends and self.ticket.get(self.ends[0][1]) != self.ends[0][2]:
            heapq.heappop(self.ends)
        count = self.ends[0][0] - self.step
        if self.frees:
            count = min(count, self.frees[0][0] - self.step)
        if self.slots < self.engine.max_num_seqs:
            coming = self._next_arrival()
            if coming < self.horizon:
                count = min(count, self._steps_until(coming) + self.engine.lookahead)
        if self.pace is not None:
            count = min(count, self._steps_until(self.now + PACE_S))
        if count * self._seconds(0, 0)[0] > self.horizon - self.now:
            count = min(count, self._steps_until(self.horizon))
        count = self._room(max(count, 1))
        if count:
            self._advance(count, 0, 0)

    def _steps_until(self, moment: float) -> int:
        """After how many steps like the next one the time is `moment` or later."""
        left = moment - self.now
        if left <= 0:
            return 0
        seconds, growth = self._seconds(0, 0)
        if growth <= 0 or growth * left < 1e-3 * seconds * seconds:  # hardly grows: linear is near enough
            count = left / seconds
        else:
            half = seconds - growth / 2
            count = (math.sqrt(half * half + 2 * growth * left) - half) / growth
        return max(math.ceil(count - 1e-9), 1)

    def _seconds(self, tokens: int, requests: int) -> tuple[float, float]:
        """(seconds of the next step, growth for each that follows)."""
        base, sequence, context, token, request, crowd = self.terms
        factor = self.pace(self.now) if self.pace is not None else 1.0
        seconds = (
            base + sequence * self.decoding + context * self.context + token * tokens + request * requests
        )
        seconds += crowd * max(self.decoding - self.knot, 0.0)
        return max(factor * seconds, 1e-7), factor * context * self.decoding

    def _advance(self, count: int, tokens: int, requests: int) -> None:
        seconds, growth = self._seconds(tokens, requests)
        segments = self.segments
        segments.start.append(self.now)
        segments.seconds.append(seconds)
        segments.growth.append(growth)
        segments.count.append(count)
        gained = count * (count - 1) // 2
        took = count * seconds + growth * gained
        last = seconds + growth * (count - 1)
        totals = self.totals
        totals[0] += count
        totals[1] += count * self.decoding
        totals[2] += count * self.context + self.decoding * gained
        totals[3] += tokens
        totals[4] += requests
        self.now += took
        self.before = self.now - last
        self.busy += took
        self.step += count
        self.context += count * self.decoding

    # KV blocks ----------------------------------------------------------------------------------------

    def _final_blocks(self, index: int) -> int:
        return -(-(self.load.prompt[index] + self.load.output[index]) // self.engine.block_size)

    def _holds(self, index: int) -> bool:
        """Whether the blocks suffice to admit a request."""
        blocks = self.engine.blocks
        if blocks is None or self.promised + self._final_blocks(index) <= blocks:
            return True
        return self._used(1) - (-self._prompt(index) // self.engine.block_size) <= blocks

    def _used(self, steps: int) -> int:
        """Blocks that are held once so many further steps have been made."""
        size, gone = self.engine.block_size, self.step + steps - 2
        used = sum(-(-(held + gone - first) // size) for first, held in self.begun.values())
        return used + sum(-(-self._prompt(index) // size) for index in self.partial)

    def _room(self, count: int) -> int:
        """How many of `count` steps the blocks allow; 0 where the last to come had to be preempted."""
        blocks = self.engine.blocks
        if blocks is None or self.promised <= blocks or self._used(count) <= blocks:
            return count
        low, high = 0, count  # `low` steps fit, `high` do not
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._used(middle) <= blocks else (low, middle)
        if not low and len(self.ticket) > 1:
            self._preempt()
            return 0
        return max(low, 1)

    def _preempt(self) -> None:
        """Take the last to come (or the least urgent) out of the batch; its tokens are computed anew."""
        if self.engine.policy == PRIORITY:
            index = max(self.ticket, key=lambda i: (self.load.priority[i], self.load.ready[i]))
        else:
            index = next(reversed(self.ticket))
        del self.ticket[index]
        self.slots -= 1
        self.promised -= self._final_blocks(index)
        if index in self.begun:
            first, held = self.begun.pop(index)
            self.decoding -= 1
            self.context -= held + self.step - 1 - first
            self._note(index, first, self.step - 1)
        else:
            self.partial.remove(index)
            del self.computed[index]
        self.preemptions += 1
        if self.engine.policy == PRIORITY:
            self._wait(index)
        else:
            self.waiting.appendleft(index)

    # The end ------------------------------------------------------------------------------------------

    def _outcome(self) -> Outcome:
        for index, (first, _) in self.begun.items():  # still decoding at the horizon
            end = next(
                (end - 1 for end, i, ticket in self.ends if i == index and ticket == self.ticket[index]),
                self.step - 1,
            )
            self._note(index, first, min(end, self.step - 1))
        return Outcome(
            np.array(self.first, dtype=np.int64),
            np.array(self.last, dtype=np.int64),
            np.array(self.tokens, dtype=np.int64),
            np.array(self.admitted),
            self.segments.ends(),
            self.pieces,
            self.preemptions,
            self.busy,
            np.array(self.totals),
        )
