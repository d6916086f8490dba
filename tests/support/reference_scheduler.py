"""The scheduler once more, step after step and as plainly as can be: what event skipping must equal."""

from dataclasses import dataclass, field

import numpy as np

from forecast.scheduler import PRIORITY, Engine, Load


@dataclass
class Running:
    """One request in the batch."""

    index: int
    computed: int
    got: int = 0
    first: int = -1


@dataclass
class Told:
    """As scheduler.Outcome, by request."""

    first: dict[int, int] = field(default_factory=dict)
    last: dict[int, int] = field(default_factory=dict)
    step_end: list[float] = field(default_factory=list)
    most: int = 0
    most_tokens: int = 0


def simulate(load: Load, engine: Engine, coefficients: np.ndarray, knot: float = np.inf) -> Told:
    """Without KV limits, chains and a horizon."""
    base, sequence, context, token, request, crowd = coefficients.tolist()
    order = sorted(range(len(load.ready)), key=lambda i: (load.ready[i], i))
    waiting: list[int] = []
    running: list[Running] = []
    leaving: list[tuple[int, Running]] = []
    told, now, step, before = Told(), 0.0, 0, -np.inf
    while order or waiting or running or leaving:
        leaving = [(at, one) for at, one in leaving if at > step]
        moment = before if engine.lookahead else now
        while order and load.ready[order[0]] <= moment:
            waiting.append(order.pop(0))
        if engine.policy == PRIORITY:
            waiting.sort(key=lambda i: (load.priority[i], load.ready[i], i))
        decoding = [one for one in running if one.got]
        budget = engine.max_num_batched_tokens - len(decoding)
        prefill: list[tuple[Running, int]] = []
        for one in running:
            part = min(load.prompt[one.index] - one.computed, budget)
            if not one.got and part > 0:
                prefill.append((one, part))
                budget -= part
        while waiting and budget > 0 and len(running) + len(leaving) < engine.max_num_seqs:
            index = waiting.pop(0)
            one = Running(index, load.cached[index])
            running.append(one)
            part = min(load.prompt[index] - one.computed, budget)
            prefill.append((one, part))
            budget -= part
        if not prefill and not decoding:
            if leaving:  # the pipeline is empty: their places are free
                leaving = []
                continue
            if not order:
                break
            now = before = max(now, load.ready[order[0]])
            continue
        told.most = max(told.most, len(running))
        tokens = sum(part for _, part in prefill)
        told.most_tokens = max(told.most_tokens, tokens + len(decoding))
        held = sum(load.prompt[one.index] + one.got for one in decoding)
        before = now
        now += base + sequence * len(decoding) + context * held + token * tokens + request * len(prefill)
        now += crowd * max(len(decoding) - knot, 0.0)
        told.step_end.append(now)
        for one in decoding:
            one.got += 1
        for one, part in prefill:
            one.computed += part
            if one.computed == load.prompt[one.index]:
                one.got, one.first = 1, step
        for one in [one for one in running if one.got == load.output[one.index]]:
            told.first[one.index], told.last[one.index] = one.first, step
            running.remove(one)
            if engine.lookahead:
                leaving.append((step + 1 + engine.lookahead, one))
        step += 1
    return told
