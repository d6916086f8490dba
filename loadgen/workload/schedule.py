"""The schedule: every arrival of a run, its due time, lengths and place, from scenario and seed alone.

Every quantity has a random stream of its own, and so have warm-up and window: the window's arrivals are
the same whatever the length of the warm-up, and a quantity added later reshuffles none of the others.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.usage import UsageError
from loadgen.workload.arrival import Arrival, Arrivals, Columns, joined
from loadgen.workload.arrivals.closed_loop import ClosedLoop
from loadgen.workload.arrivals.poisson import Poisson
from loadgen.workload.arrivals.trace import BUNCHED, Trace, bunches, spread
from loadgen.workload.dataset_rows import Source
from loadgen.workload.datasets import Row
from loadgen.workload.scenario import MOST_IMAGES, Scenario, SharedPrefix

Floats = NDArray[np.float64]

MOST_ARRIVALS = 5_000_000  # a schedule is made whole before the run: more would fill the memory

WINDOW, WARMUP, CHAIN = range(3)  # the first part of a random stream's name
TIMES, WORKLOAD, PROMPT, OUTPUT, GROUP, TURNS, ROW, ADAPTER, CANCEL = range(9)  # the second: what is drawn


class Schedule:
    """A run's arrivals with a due time of their own, and the rule for those that follow another.

    `arrivals`: by number, which is by due time. `window_start`, `window_end`: seconds from the start;
    what is due between them is judged. `end`: nothing is due at it or later. `prompts_unique`: no two
    prompts are meant to begin alike. `remarks`: what was done with rows of the dataset, a line each.
    """

    def __init__(
        self,
        scenario: Scenario,
        seed: int,
        arrivals: Arrivals,
        lead: int,
        turns: Sequence[int] = (),
        remarks: tuple[str, ...] = (),
        sessions: Mapping[int, Sequence[Arrival]] | None = None,
    ) -> None:
        """`lead`: how many of the arrivals are warm-up. `turns`: turns of each conversation, if any.
        `sessions`: the later turns of a trace's, by the number of the first."""
        self.sessions = sessions or {}
        self.remarks = remarks
        self.scenario, self.seed = scenario, seed
        self.arrivals = arrivals
        self.window_start = float(scenario.warmup)
        self.window_end = self.end = self.window_start + scenario.duration
        self.prompts_unique = not any(
            any(arrivals.values(name)) for name in ("blocks", "dialogue", "history", "prefix_tokens")
        )
        self._mix, self._lead, self._turns = Mix(scenario), lead, tuple(turns)

    @property
    def drain(self) -> float:
        """Seconds after which each answer has met the SLO or missed it; the scenario's drain where that is
        shorter, or the SLO does not say."""
        scenario = self.scenario
        longest = int(self.arrivals.numbers("output_tokens").max(initial=0))
        decided = scenario.slo.decided_after(longest) if scenario.slo else 0.0
        return min(scenario.drain, decided or scenario.drain)

    def told(self) -> dict[str, Any]:
        """What a manifest says of the load: all that follows from scenario and seed."""
        scenario = self.scenario
        return {
            "scenario": scenario.to_dict(),
            "scenario_defaults": scenario.defaults(),
            "scenario_name": scenario.name,
            "scenario_hash": scenario.hash(),
            "seed": self.seed,
            "window": {"start": self.window_start, "end": self.window_end},
            "schedule_end": self.end,
            "schedule_digest": self.digest,
            "drain_limit": scenario.drain,
        }

    def lane(self, index: int, lanes: int) -> Arrivals:
        """The arrivals that worker `index` (from 0) of `lanes` launches, in order."""
        return self.arrivals.take(np.flatnonzero(self.arrivals.numbers("lane_key") % lanes == index))

    def next_in_chain(self, arrival: Arrival) -> Arrival | None:
        """What follows when `arrival` has ended: due `think` seconds later, if that is before `end`.

        None when nothing follows. Depends on seed and number alone, not on when it is asked. Turn t of
        the chain that arrival c began has number t · (number of chains) + c.
        """
        if arrival.conversation is None:
            return None
        if self.sessions:
            return next(iter(self.sessions[arrival.conversation][arrival.turn : arrival.turn + 1]), None)
        scenario, chain, turn = self.scenario, arrival.conversation, arrival.turn + 1
        if isinstance(scenario.arrivals, ClosedLoop):
            think = scenario.arrivals.think
        elif scenario.conversation and turn < self._turns[chain]:
            think = scenario.conversation.think
        else:
            return None
        root = (WARMUP, chain) if chain < self._lead else (WINDOW, chain - self._lead)
        drawn = _stream(self.seed, CHAIN, *root, turn).random((8, 1))
        pick, prompt, output, group, wait, adapter, *given_up = drawn
        if scenario.conversation:
            request = self._mix.later_turn(arrival.workload, prompt, output)
        else:
            request = self._mix.requests(pick, prompt, output, group)
        request |= _extras(scenario, adapter, *given_up)
        if scenario.conversation:  # of one adapter from its first turn to its last
            request["adapter"] = arrival.adapter
        place = {
            "number": turn * len(self.arrivals) + chain,
            "due": None,
            "after": arrival.number,
            "think": float(think.draw(wait)[0]),
            "lane_key": chain,
            "conversation": chain,
            "turn": turn,
            "history": arrival.history,
            "warmup_end": arrival.warmup_end,
        }
        return Arrivals(1, request | place)[0]

    @property
    def most_turns(self) -> int:
        """Turns of the longest conversation; 1 where there is none."""
        return max(self._turns, default=1)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over all arrivals, and over what chained ones are drawn from: equal digests, equal load."""
        digest = hashlib.sha256()
        for text in self.arrivals.texts():
            digest.update(text)
        digest.update(self._rule)
        return digest.hexdigest()

    @cached_property
    def checksum(self) -> str:
        """Equal in processes that come to equal schedules; a tenth of the time that the digest takes."""
        return f"{self.arrivals.checksum()} {hashlib.sha256(self._rule).hexdigest()}"

    @property
    def _rule(self) -> bytes:
        """What chained arrivals are drawn from; nothing where there are none."""
        if self.arrivals.values("conversation") <= {None}:
            return b""
        return json.dumps([self.seed, self.scenario.hash(), self._lead, self._turns, self.end]).encode()


class Mix:
    """Turns uniform numbers into requests of a scenario's workloads."""

    def __init__(self, scenario: Scenario) -> None:
        self.workloads = scenario.mix
        self.names = list(self.workloads)
        self.edges = np.cumsum([workload.share for workload in self.workloads.values()])
        self.system_tokens = scenario.conversation.system_tokens if scenario.conversation else 0

    def requests(self, pick: Floats, prompt: Floats, output: Floats, group: Floats) -> Columns:
        """What arrivals ask for: one for each row of the four arrays of uniform numbers."""
        which = np.minimum(np.searchsorted(self.edges, pick, side="right"), len(self.names) - 1)
        prompts, outputs = np.empty(len(pick), dtype=np.int64), np.empty(len(pick), dtype=np.int64)
        groups, first_group = np.zeros(len(pick), dtype=np.int64), 0
        for index, workload in enumerate(self.workloads.values()):
            chosen = which == index
            prompts[chosen] = workload.prompt_tokens.tokens(prompt[chosen])
            outputs[chosen] = workload.output_tokens.tokens(output[chosen])
            if workload.shared_prefix:
                groups[chosen] = first_group + _group(workload.shared_prefix, group[chosen])
                first_group += workload.shared_prefix.groups
        parts = list(self.workloads.values())
        shared = [
            each.shared_prefix.length(each.prompt_tokens) if each.shared_prefix else 0 for each in parts
        ]
        found = {
            "workload": _of(which, self.names),
            "prompt_tokens": prompts,
            "output_tokens": outputs,
            "priority": _of(which, [each.priority for each in parts]),
        }
        if self.system_tokens:
            return found | {"prefix_group": 0, "prefix_tokens": self.system_tokens, "system": True}
        if not first_group:
            return found
        if not all(each.shared_prefix for each in parts):
            has = np.array([each.shared_prefix is not None for each in parts])[which]
            groups = np.where(has, groups.astype(object), np.array(None))
        return found | {"prefix_group": groups, "prefix_tokens": _of(which, shared)}

    def later_turn(self, name: str, prompt: Floats, output: Floats) -> Columns:
        """A conversation's next message, of the workload that it began with."""
        workload = self.workloads[name]
        return {
            "workload": name,
            "prompt_tokens": int(workload.prompt_tokens.tokens(prompt)[0]),
            "output_tokens": int(workload.output_tokens.tokens(output)[0]),
            "priority": workload.priority,
        }


def _of(which: NDArray[np.int64], values: Sequence[Any]) -> Any:
    """The value of each workload for each arrival; one value where all have the same."""
    if all(value == values[0] for value in values):
        return values[0]
    return np.array(values, dtype=object)[which]


def _group(prefix: SharedPrefix, drawn: Floats) -> NDArray[np.int64]:
    """Which group of a prefix, for uniform numbers."""
    if prefix.zipf is None:
        return (drawn * prefix.groups).astype(np.int64)
    return _ranked(np.arange(1.0, prefix.groups + 1) ** -prefix.zipf, drawn)


def _ranked(weights: NDArray[Any], drawn: Floats) -> NDArray[np.int64]:
    """The place that each uniform number falls to, where places have these weights."""
    edges = np.cumsum(weights) / np.sum(weights)
    return np.minimum(np.searchsorted(edges, drawn, side="right"), len(weights) - 1)


def _extras(scenario: Scenario, adapter: Floats, cancel: Floats, after: Floats) -> Columns:
    """Adapters, ends and pictures, for uniform numbers."""
    found: Columns = {}
    if scenario.adapters:
        weights = scenario.adapters.weights
        found["adapter"] = np.array(list(weights), object)[_ranked(np.array(list(weights.values())), adapter)]
    if scenario.cancel:
        ends = scenario.cancel.after.draw(after)
        given_up = cancel < scenario.cancel.share
        found["cancel_after"] = np.where(given_up, ends.astype(object), np.array(None))
    if scenario.images and scenario.dataset is None:
        found["images"] = scenario.images.count or 1
    return found


def _drawn_extras(scenario: Scenario, seed: int, phase: int, count: int) -> Columns:
    adapter = _stream(seed, phase, ADAPTER).random(count)
    return _extras(scenario, adapter, *_stream(seed, phase, CANCEL).random((2, count)))


def require_possible(scenario: Scenario) -> None:
    """Raise UsageError for a load that no machine could hold, such as a rate with zeros too many."""
    rate = scenario.mean_rate or 0
    count = max(rate * (scenario.warmup + scenario.duration), getattr(scenario.arrivals, "concurrency", 0))
    if count > MOST_ARRIVALS:
        raise UsageError(
            f"scenario {scenario.name} comes to {count:,.0f} requests, and {MOST_ARRIVALS:,} are the most: "
            "lower the rate, the duration or the concurrency"
        )
    if scenario.conversation:
        turns = count * scenario.conversation.turns.most
        if turns > MOST_ARRIVALS:
            raise UsageError(
                f"scenario {scenario.name} comes to {turns:,.0f} turns of conversations, and "
                f"{MOST_ARRIVALS:,} are the most: lower conversation.turns, the rate or the duration"
            )
    before = scenario.arrivals.settling
    if rate * before > MOST_ARRIVALS:
        raise UsageError(
            f"scenario {scenario.name}: its arrivals take {before:,.0f} s to settle, for which "
            f"{rate * before:,.0f} requests would be drawn, and {MOST_ARRIVALS:,} are the most: "
            f"{scenario.arrivals.calmer}"
        )


def require_arrivals(load: Schedule) -> None:
    """Raise UsageError for a schedule with none."""
    if not load.arrivals:
        raise UsageError(
            f"scenario {load.scenario.name} comes to no arrival at all: raise the rate or the duration"
        )


def schedule(scenario: Scenario, seed: int) -> Schedule:
    """The run's schedule. Reads the scenario's dataset, if any; raises UsageError if that does not serve."""
    require_possible(scenario)
    if isinstance(scenario.arrivals, ClosedLoop):
        clients = scenario.arrivals.concurrency
        due = np.arange(clients) * (scenario.warmup / clients)  # they set in one by one over the warm-up
        requests: Columns = _draw(scenario, seed, WARMUP, clients)
        arrivals = _place(scenario, due, requests, chained=True)
        return Schedule(scenario, seed, arrivals, clients)
    source = Source(scenario) if scenario.dataset else None
    links: list[Link] = []
    if isinstance(scenario.arrivals, Trace):
        assert source is not None
        lead, main, requests, links = _replayed(scenario, scenario.arrivals, seed, source)
    else:
        lead = _times(scenario, seed, WARMUP)
        main = _times(scenario, seed, WINDOW)
        if source is not None:
            requests = _taken(scenario, seed, source, len(lead), len(main))
        else:
            phases = ((WARMUP, len(lead)), (WINDOW, len(main)))
            warming, measured = (_draw(scenario, seed, *each) for each in phases)
            requests = joined(warming, len(lead), measured, len(main))
    if source and scenario.images and not np.any(requests.get("images", 0)):
        raise UsageError(f"{source.path}: no row has images: give images.count, or take images out")
    due = np.concatenate([lead, scenario.warmup + main])
    turns: list[int] = []
    if scenario.conversation:
        for phase, count in ((WARMUP, len(lead)), (WINDOW, len(main))):
            turns += scenario.conversation.turns.tokens(_stream(seed, phase, TURNS).random(count)).tolist()
    arrivals = _place(scenario, due, requests, chained=bool(turns), history=bool(turns))
    remarks = source.remarks if source is not None else ()
    if links:
        first, sessions = _linked(list(arrivals), links)
        return Schedule(scenario, seed, Arrivals.of(first), len(lead), remarks=remarks, sessions=sessions)
    return Schedule(scenario, seed, arrivals, len(lead), turns, remarks)


class Link(NamedTuple):
    """A turn's session, and the seconds between the end of the turn before and this one; None: not known."""

    session: str | None
    pause: float | None


def _linked(arrivals: list[Arrival], links: list[Link]) -> tuple[list[Arrival], dict[int, list[Arrival]]]:
    """The arrivals that follow no other, numbered anew, and those that do, by the number of the first.

    links: one for each of the last arrivals.
    """
    lead = len(arrivals) - len(links)
    chains: dict[str, list[Arrival]] = {}
    pauses: dict[int, float | None] = {}
    alone: list[list[Arrival]] = [[arrival] for arrival in arrivals[:lead]]
    for arrival, link in zip(arrivals[lead:], links, strict=True):
        chain = chains.setdefault(link.session, []) if link.session is not None else []
        pauses[arrival.number] = link.pause
        chain.append(arrival)
        if len(chain) == 1:
            alone.append(chain)
    first, sessions = [], {}
    for number, chain in enumerate(alone):
        conversation = number if len(chain) > 1 else None
        first.append(replace(chain[0], number=number, lane_key=number, conversation=conversation))
        if conversation is None:
            continue
        later = []
        for turn, each in enumerate(chain[1:], 1):
            pause = pauses[each.number]
            later.append(
                replace(
                    each,
                    number=turn * len(alone) + number,
                    due=each.due if pause is None else None,
                    after=(turn - 1) * len(alone) + number,
                    think=pause or 0.0,
                    lane_key=number,
                    conversation=number,
                    turn=turn,
                )
            )
        sessions[number] = later
    return first, sessions


def _place(
    scenario: Scenario,
    due: NDArray[np.floating],
    requests: Columns,
    chained: bool,
    history: bool = False,
) -> Arrivals:
    number = np.arange(len(due))
    place = {
        "number": number,
        "due": np.asarray(due, np.float64),
        "after": None,
        "think": 0.0,
        "lane_key": number,
        "conversation": number if chained else None,
        "turn": 0,
        "history": history,
        "warmup_end": float(scenario.warmup),
    }
    return Arrivals(len(due), requests | place)


def _draw(scenario: Scenario, seed: int, phase: int, count: int) -> Columns:
    draws = [_stream(seed, phase, what).random(count) for what in (WORKLOAD, PROMPT, OUTPUT, GROUP)]
    return Mix(scenario).requests(*draws) | _drawn_extras(scenario, seed, phase, count)


def _times(scenario: Scenario, seed: int, phase: int) -> Floats:
    """Due times from the phase's start."""
    rate, rng = scenario.mean_rate, _stream(seed, phase, TIMES)
    assert rate is not None, "only a closed loop and a trace have no rate"
    if phase == WARMUP:
        return scenario.arrivals.warm_up(rate, scenario.warmup, rng)
    return scenario.arrivals.times(rate, scenario.duration, rng)


def _taken(scenario: Scenario, seed: int, source: Source, lead: int, main: int) -> Columns:
    """Requests from the dataset in its order: the window takes the first rows, the warm-up the next."""
    rows = source.first(lead + main)
    short = lead + main - len(rows)
    if short > 0:
        if any(row.dialogue or row.blocks for row in rows) and not source.dataset.repeat:
            raise UsageError(
                f"{source.path}: holds {len(rows)} prompts, the run needs {lead + main} "
                f"(warm-up {lead}); lower rate or duration, or set dataset.repeat: true, "
                "with which the server's prefix cache will help"
            )
        if not rows:
            raise UsageError(f"{source.path}: holds no rows{source.but}")
        rows = [rows[index % len(rows)] for index in range(lead + main)]
    return _phases(scenario, seed, rows[main:], rows[:main])


def _replayed(
    scenario: Scenario, trace: Trace, seed: int, source: Source
) -> tuple[Floats, Floats, Columns, list[Link]]:
    """Warm-up times, window times, requests of a trace, and the window's links where turns wait for answers.

    The warm-up is Poisson at the window's mean rate, with made prompts of lengths that the window has too:
    its prompts are its own.
    """
    rows, main = _recorded(scenario, trace, source)
    lead = Poisson().times(len(main) / scenario.duration, scenario.warmup, _stream(seed, WARMUP, TIMES))
    drawn = _stream(seed, WARMUP, ROW).random(len(lead)) * len(rows)
    plain = [rows[int(index)]._replace(dialogue=(), blocks=()) for index in drawn]
    requests = _phases(scenario, seed, plain, rows)
    if not source.dataset.sessions:
        return lead, main, requests, []
    if all(row.session is None for row in rows):
        raise UsageError(f"{source.path}: {source.dataset.format} data tell of no sessions")
    return lead, main, requests, [Link(row.session, row.pause) for row in rows]


def _recorded(scenario: Scenario, trace: Trace, source: Source) -> tuple[list[Row], Floats]:
    """The window's rows and times: the trace from its start; with a rate, as many rows as come to it."""
    limit, rate = scenario.duration, scenario.rate
    if rate is None:
        rows, ended = source.timed_below(limit, MOST_ARRIVALS + 1)
    else:
        rows, ended = source.first_timed(max(1, min(round(rate * limit), MOST_ARRIVALS + 1)))
    if not rows:
        raise UsageError(f"{source.path}: holds no arrivals in its first {limit:g} s{source.but}")
    if len(rows) > MOST_ARRIVALS:
        raise UsageError(
            f"{source.path}: comes to more than {MOST_ARRIVALS:,} requests in {limit:g} s, and these are the "
            "most: lower the rate or the duration"
        )
    recorded = np.array([row.time for row in rows])
    distinct, most = bunches(recorded)
    if len(rows) > 1 and distinct < BUNCHED * len(rows):
        come = f"{len(rows):,} arrivals come at {distinct:,} moments, up to {most:,} at one"
        how = "they are spread" if source.dataset.spread else "`spread: true` in the dataset spreads them"
        source.remarks_on_times.append(f"{come}; {how} until the next moment")
    if source.dataset.spread:
        recorded = spread(recorded, limit if rate is None else np.inf)
    try:
        times = trace.replay(recorded, rate)
    except ValueError as error:
        raise UsageError(f"{source.path}: {error}") from None
    if ended and limit - times[-1] > max(1.0, 10 * times[-1] / len(times)):
        at = f", played at {rate:g}/s" if rate is not None else ""
        raise UsageError(
            f"{source.path}: ends after {times[-1]:.1f} s{at}, duration is {limit:g} s; set a shorter one"
        )
    return rows, times


def _phases(scenario: Scenario, seed: int, lead: list[Row], main: list[Row]) -> Columns:
    """The rows of warm-up and window as requests."""
    warming, measured = _asked(scenario, seed, WARMUP, lead), _asked(scenario, seed, WINDOW, main)
    return joined(warming, len(lead), measured, len(main))


def _asked(scenario: Scenario, seed: int, phase: int, rows: list[Row]) -> Columns:
    """The rows as requests; the scenario's output_tokens, where given, go before the rows'."""
    outputs: list[int | None] = [row.output_tokens for row in rows]
    if scenario.output_tokens:
        outputs = scenario.output_tokens.tokens(_stream(seed, phase, OUTPUT).random(len(rows))).tolist()
    for row, output in zip(rows, outputs, strict=True):
        if output is None:
            raise UsageError(f"{row.where}: says no output length; give the scenario output_tokens")
    asked = {
        "workload": [row.workload or scenario.name for row in rows],
        "prompt_tokens": [row.prompt_tokens for row in rows],
        "output_tokens": outputs,
        "blocks": [row.blocks for row in rows],
        "dialogue": [row.dialogue for row in rows],
        "block_tokens": [row.block_tokens for row in rows],
        "images": [_images(scenario, row) for row in rows],
    }
    return asked | _drawn_extras(scenario, seed, phase, len(rows))


def _images(scenario: Scenario, row: Row) -> int:
    """How many a row's request holds: the scenario's number, or else its own."""
    if scenario.images is None:
        return 0
    return min(row.images, MOST_IMAGES) if scenario.images.count is None else scenario.images.count


def _stream(seed: int, *name: int) -> np.random.Generator:
    """The random stream of this name, independent of all others."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=name))
