"""One variant against the baseline: which of their runs pair, and how the intervals are made."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from reports.comparison import claims, resampling, side_by_side, starts
from reports.comparison.claims import Setting
from reports.comparison.starts import Spread
from reports.document.metric import Method
from reports.document.run import UNUSABLE
from reports.runs.conditions import by_number, incomparable, same_schedule
from reports.runs.importers.imported import one_burst
from reports.runs.index import Entry
from reports.runs.runs import Run
from reports.statistics import intervals, queue_memory
from reports.statistics.drift import Drift
from reports.statistics.intervals import Blocks
from reports.text import formatting
from reports.verdict.rules import server

AT_ONCE = "all requests were sent at once, so only repeats can show what chance does"


@dataclass(frozen=True)
class Pair:
    """One variant against the baseline: their runs, and how the interval is made."""

    name: str
    baseline: list[Run]
    other: list[Run]
    method: Method
    blocks: tuple[Blocks, Blocks] | None
    setting: Setting
    spread: Spread | None = None  # what one start of each leaves open
    drifts: bool = False  # whether a drift over the order of the runs is shown, and taken out
    stopped: float | None = None  # when the first of its runs was stopped early, s from the start


def pair_up(
    baseline: str,
    other: str,
    groups: Mapping[str, list[Run]],
    verdicts: Mapping[str, str],
    minimum_effect: float,
    known: Sequence[Entry] = (),
    confidence: float = claims.level(),
) -> Pair:
    """The pair of two variants. `groups`: each variant's runs; `verdicts` by run; `known`: of the history."""
    before, after = groups[baseline], groups[other]
    unusable = [
        f"{run.name} is {verdicts[run.name]}" for run in (*before, *after) if verdicts[run.name] in UNUSABLE
    ]
    saturated = [
        name for name in (baseline, other) if any(verdicts[run.name] == "SATURATED" for run in groups[name])
    ]
    growing = [name for name in saturated if any(server.growing(run) for run in groups[name])]
    at_once = [run.name for run in (*before, *after) if by_number(run) and not _last_send(run)]
    setting = Setting(
        baseline,
        other,
        minimum_effect,
        incomparable(before, after) or "; ".join(unusable) or (AT_ONCE if at_once else None),
        tuple(saturated),
        tuple(growing),
        confidence=confidence,
        side_by_side=side_by_side.in_pairs(before, after),
    )
    blocks: tuple[Blocks, Blocks] | None = None
    if len(before) != 1 or len(after) != 1:
        method = by_runs(before, after)
    elif at_once:
        method = no_interval(at_once, other)
    else:
        method, blocks = by_time(before[0], after[0], growing=bool(growing))
    spread, beside = starts.spread(before, after, known), side_by_side.text(before, after)
    # A drift meets both runs of a pair alike, so there is none in their differences.
    drift = None if beside else claims.without_drift(starts.PACE, before, after)
    told = [method.text, beside, *([spread.text] if spread else []), *([_drifted(drift)] if drift else [])]
    method = method.model_copy(
        update={
            "text": " ".join(each for each in told if each),
            "confidence": confidence,
            "start_sd": spread and spread.sd,
            "start_sd_from": spread and spread.source,
        }
    )
    drifts = drift is not None and drift.shown and drift.separable
    return Pair(other, before, after, method, blocks, setting, spread, drifts)


def _drifted(drift: Drift) -> str:
    """What became of a drift of the pace over the runs; '' where none is shown."""
    if not drift.shown:
        return ""
    text = f"From run to run the pace drifted by {formatting.percent(math.expm1(drift.slope))}"
    if drift.separable:
        return f"{text}, which is taken out of the changes (a regression on the order of the runs)."
    return f"{text}. The runs of the two do not take turns, so that cannot be told from the change."


def by_time(baseline: Run, other: Run, growing: bool = False) -> tuple[Method, tuple[Blocks, Blocks]]:
    """Blocks of time: the same for both runs where arrival k of one is arrival k of the other.

    `growing`: a queue grew in one of them, so blocks are drawn from near their place.
    """
    seed, other_seed = _seed(baseline.name, other.name), _seed(other.name, baseline.name)
    queue = 0.0 if growing else max(queue_memory.stretch(baseline), queue_memory.stretch(other))
    if same_schedule(baseline, other):
        length = resampling.block_length(baseline, other)
        one = _draw(baseline, length, queue, seed, growing)
        blocks = one, one
        text = "Both runs had the same arrivals, so the same blocks of time were drawn for both"
    else:
        length = max(resampling.block_length(baseline), resampling.block_length(other))
        one = _draw(baseline, length, queue, seed, growing)
        blocks = one, _draw(other, length, queue, other_seed, growing)
        text = (
            "The runs had different arrivals and are not paired; blocks of time were drawn for each by itself"
        )
    text += f": {intervals.RESAMPLES} resamples, {one.count} blocks of {one.length:.1f} s."
    if by_number(baseline) or by_number(other):
        text += (
            " The end, when all was sent and fewer and fewer requests were at work, is in each resample once,"
            " earlier or later by as much as latencies differ."
        )
    if growing:
        text += (
            " A queue grew, so the local block bootstrap was used. The intervals of TTFT, latency and"
            " SLO attainment hold what chance in the served rate does to a queue."
        )
    if queue > one.length:
        text += (
            f" A queue came and went, and its autocorrelation time is {_seconds(queue, one.window)}. The"
            " intervals of TTFT, latency and SLO attainment are widened for that."
        )
    if one.wander > 1:
        text += (
            f" The autocorrelation time is {_seconds(length, one.window)}, so the window holds few"
            " independent stretches, and every interval is widened for that."
            " Repeats (make compare REPEATS=3) give a narrower one."
        )
    method = Method(
        variant=other.manifest.variant,
        kind="paired blocks of time" if blocks[0] is blocks[1] else "unpaired blocks of time",
        text=text,
        confidence=claims.level(),
        block_s=one.length,
        blocks=one.count,
        resamples=intervals.RESAMPLES,
        seed=seed,
        repeats=[1, 1],
    )
    return method, blocks


def _seconds(time: float, window: float) -> str:
    """'about 12.5 s'; a window shows nothing longer than itself."""
    return f"about {time:.1f} s" if time < window else f"longer than the window of {window:.4g} s"


def blocks_of(run: Run, growing: bool = False) -> Blocks:
    """Blocks of time of one run by itself; `growing`: a queue grew in it."""
    queue = 0.0 if growing else queue_memory.stretch(run)
    return _draw(run, resampling.block_length(run), queue, _seed(run.name), growing)


def _draw(run: Run, length: float, queue: float, seed: int, local: bool) -> Blocks:
    """Blocks of about `length` seconds, or `queue`, those of one stretch of a queue that came and went."""
    if by_number(run):
        drawn = _with_end(intervals.draw_blocks(_last_send(run), max(length, queue), seed), run, seed)
    else:
        drawn = intervals.draw_blocks(run.window_length, max(length, queue), seed, local=local)
    wander = 1.0 if local else max(length / drawn.length, 1.0)
    return replace(drawn, together=max(queue / drawn.length, 1.0), wander=wander)


def _with_end(drawn: Blocks, run: Run, seed: int) -> Blocks:
    """The blocks, and the rest of the window, which every resample has about once.

    The last answer may come earlier or later by as much as latencies differ (their standard deviation). The
    rest's weight differs by twice that against its length, since in it half as many are at work as before.
    """
    numbers, cells, rest = run.records.numbers, drawn.weights.shape[1], run.window_length - drawn.window
    more = math.ceil(rest / drawn.window * cells)
    differ = min(2 * float(np.nanstd(numbers("last_token") - numbers("sent"))) / rest, 1.0)
    chance = np.random.default_rng([seed, 1]).standard_normal((len(drawn.weights), 1))
    end = np.maximum(1 + differ * chance, 0.0).repeat(more, axis=1)
    return replace(drawn, window=drawn.window * (1 + more / cells), weights=np.hstack([drawn.weights, end]))


def _last_send(run: Run) -> float:
    """Seconds into the window; from there on fewer and fewer are at work. 0 where all were sent at once.

    Until then any time may stand for another. So may the beginning: who came first waited together, and is
    often the whole p99, of which an interval without that would know nothing.
    """
    sent = run.records.numbers("sent") - run.window[0]
    return 0.0 if one_burst(sent, run.window_length) else float(sent.max())


def by_runs(before: Sequence[Run], after: Sequence[Run]) -> Method:
    """Repeats: in pairs where two ran at once, or each has arrivals of its own; else as two groups."""
    beside = side_by_side.in_pairs(before, after)
    schedules = {run.manifest.seed for run in (*before, *after)}
    paired = beside or (
        len(before) == len(after)
        and len(schedules) == len(before)
        and all(same_schedule(one, two) for one, two in zip(before, after, strict=True))
    )
    text = (
        "The interval is Student's t of the differences between repeats with the same arrivals"
        if paired
        else "The interval is Welch's t of the repeats"
    )
    if beside:
        text = "The interval is Student's t of the differences between runs that went side by side"
    if min(len(before), len(after)) == 1:
        text += "; the variant with one run borrows the other's variance"
    return Method(
        variant=after[0].manifest.variant,
        kind="runs in pairs" if paired else "runs",
        text=f"{text} ({len(before)} and {len(after)} runs); of logarithms except counts and shares.",
        block_s=None,
        blocks=None,
        confidence=claims.level(),
        repeats=[len(before), len(after)],
    )


def no_interval(at_once: Sequence[str], variant: str) -> Method:
    """Of runs whose requests were sent at once, which have no blocks of time to draw from."""
    return Method(
        variant=variant,
        kind="none",
        text=f"No interval: in {formatting.listed(list(at_once))} {AT_ONCE}.",
        block_s=None,
        blocks=None,
        confidence=claims.level(),
        repeats=[1, 1],
    )


def _seed(*names: str) -> int:
    """The bootstrap's seed: from the runs' names, so that the same runs give the same report."""
    return int.from_bytes(hashlib.sha256("\n".join(names).encode()).digest()[:4])
