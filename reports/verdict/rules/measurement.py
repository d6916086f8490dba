"""INVALID: is the measurement itself whole: every arrival, every stamp, and enough of them?"""

from dataclasses import dataclass

import numpy as np

from loadgen.records.record import COMPLETED, EMPTY, FAILED, LOST, STATUSES, UNFINISHED
from reports.metrics import durations, request_metrics
from reports.metrics.durations import Durations
from reports.metrics.gaps import token_flow
from reports.metrics.stages import stages
from reports.metrics.stalls import stalls
from reports.metrics.survival import needed
from reports.runs.runs import Run
from reports.statistics import trend
from reports.text.formatting import counted, milliseconds
from reports.verdict.rule import Rule, Verdict, not_checked, rule
from reports.verdict.rules.server import saturated
from reports.verdict.shares import overloaded, worst_share

CLOCK = 0.05  # s; durations never cross clocks: this only shifts lanes and the server's series (1 per s)
EARLY = 0.001  # s; a timer may round a send this much before its due time
ORDER = 1e-6  # s; rounding between stamps of one clock
CONFIDENCE = 0.99
HIGHEST = 0.99  # the highest percentile that is printed
FAILED_SHARE = 0.01  # above it the p99 is of those that failed
ONE_PIECE = 0.01  # share of the answers whose pace may be unseen; they move no p50 of the others
UNSEEN = 1.5  # tokens of a chunk, on average: two a chunk are a draft model's, or tokens that were not sent
WARM_BLOCKS = 20  # of the window
WARM_FIRST = (1, 2, 3, 4, 6, 8, 10)  # how many of them a beginning may last: up to half of the window
WARM_SHOWN = 2  # the blocks that a beginning without anything conspicuous is stated for
WARM_SIZE = 0.2  # the p99 is of the slowest hundredth: it moves by as much even where the beginning is short
WARM_PER_BLOCK = 10  # requests; medians of fewer are noise
WARM_LEAST = 0.001  # s; a smaller difference is no transient of a server
_NONE_COMPLETED = "see the errors and the server's log for why none completed"

_INVALID = Verdict.INVALID


@rule
def ran_to_the_end(run: Run) -> Rule:
    """Arrivals were launched, and watched, at least to the end of the window. Bound: the window's end."""
    manifest = run.manifest
    end = run.window[1] if manifest.stopped_early else manifest.window.end
    whole, last = manifest.ended == "complete", manifest.drained_at
    if not whole:
        last = min(last, manifest.schedule_end)
    why = f" ({manifest.ended_why})" if manifest.ended_why else ""
    text = f"{manifest.ended}{why}; {'watched' if whole else 'launched'} until {last:.1f} s, "
    text += f"the window ends at {end:.1f} s"
    passed = whole or last >= end
    return Rule("ran_to_the_end", _INVALID, passed, last, end, "s", text, "run it again, to the end")


@rule
def accounting(run: Run) -> Rule:
    """Due = completed + failed + unfinished + lost, each arrival once; so say manifest, lanes, schedule
    (the schedule: without those that follow an answer).
    """
    counts, manifest = request_metrics.accounting(run, window_only=False), run.manifest
    arrivals = run.records.numbers("arrival")
    wrong = [abs(manifest.due - len(arrivals)), len(arrivals) - len(np.unique(arrivals))]
    wrong.append(len(arrivals) - sum(counts[status] for status in STATUSES))
    begun = int((~(run.records.numbers("turn") > 0)).sum())  # later turns come on top of the schedule's
    wrong.append(max((manifest.scheduled or 0) - begun, 0))
    lane, lost = run.records.numbers("lane"), run.records.status_is(LOST)
    for one in manifest.lanes:
        here = lane == one.lane
        wrong.append(abs(one.arrivals - int(here.sum())) if one.arrivals is not None else 0)
        wrong.append(abs(one.records - int((here & ~lost).sum())) if one.records is not None else 0)
    parts = " + ".join(f"{status} {counts[status]}" for status in STATUSES)
    missing = begun < (manifest.scheduled or 0)
    of = f" ({begun} of {manifest.scheduled} scheduled)" if missing else ""
    text = f"due {manifest.due}{of} = {parts}" + (f"; {sum(wrong)} do not reconcile" if any(wrong) else "")
    advice = "records are missing or double: keep the folder, run again, and report it as a defect"
    return Rule("accounting", _INVALID, not any(wrong), sum(wrong), 0, "arrivals", text, advice)


@rule
def lanes_lost(run: Run) -> Rule:
    """No worker died, no arrival was lost with one."""
    dead = [lane.label for lane in run.manifest.lanes if lane.lost]
    lost = int(run.records.status_is(LOST).sum())
    text = (
        f"{counted(lost, 'arrival')} lost with {counted(len(dead), 'lane')} ({', '.join(dead)})"
        if dead or lost
        else "no lane lost"
    )
    advice = "see the worker's log (killed? out of memory?), then run again"
    return Rule(
        "lanes_lost", _INVALID, not dead and not lost, max(len(dead), int(lost > 0)), 0, "lanes", text, advice
    )


@rule
def batches_lost(run: Run) -> Rule:
    """Every batch of records that a living worker sent has arrived."""
    lanes = [lane for lane in run.manifest.lanes if not lane.lost]
    if not lanes:
        return not_checked("batches_lost", _INVALID, 0, "batches", "no lane reported")
    silent = [lane.label for lane in lanes if lane.batches_sent is None]
    missing = sum(
        abs((lane.batches_sent or 0) - (lane.batches_received or 0)) for lane in lanes if lane.batches_sent
    )
    text = f"{missing} batches missing of {sum(lane.batches_sent or 0 for lane in lanes)}"
    text += f"; {', '.join(silent)} never said how many" if silent else ""
    advice = "the connection between worker and master broke: see both logs, then run again"
    return Rule("batches_lost", _INVALID, not missing and not silent, missing, 0, "batches", text, advice)


@rule
def clocks(run: Run) -> Rule:
    """How far a lane's clock may be off the master's: half the ping-pong's round trip plus the drift;
    fails where a lane that lived was not measured and others were.

    Of no lane: not checked. Of some only: nobody knows of the others.
    """
    found = [
        (lane.clock_rtt_s / 2 + abs(lane.clock_drift_s or 0.0), lane.label)
        for lane in run.manifest.lanes
        if lane.clock_rtt_s is not None
    ]
    if not found:
        return not_checked("clocks", _INVALID, CLOCK, "s", "no lane's clock was measured")
    figure, worst = max(found)
    silent = [lane.label for lane in run.manifest.lanes if not lane.lost and lane.clock_rtt_s is None]
    text = f"the clock of {worst} is known to {milliseconds(figure)}"
    text += f"; that of {', '.join(silent)} was not measured" if silent else ""
    advice = "use a shorter network path between master and worker, or a steadier clock on that host"
    return Rule("clocks", _INVALID, figure <= CLOCK and not silent, figure, CLOCK, "s", text, advice)


@rule
def times_in_order(run: Run) -> Rule:
    """No stamp before the one that must come first."""
    numbers = run.records.numbers
    order = [(numbers("due") - EARLY, "due", "sent")]
    order += [(numbers(one) - ORDER, one, two) for one, two in _pairs("sent", "first_byte", "first_token")]
    order += [(numbers(one) - ORDER, one, two) for one, two in _pairs("first_token", "last_token", "end")]
    wrong = {f"{two} before {one}": int((numbers(two) < earliest).sum()) for earliest, one, two in order}
    total = sum(wrong.values())
    text = (
        ", ".join(f"{count} records with {what}" for what, count in wrong.items() if count)
        or "all stamps in order"
    )
    return Rule("times_in_order", _INVALID, not total, total, 0, "records", text, "report it as a defect")


@rule
def enough_requests(run: Run) -> Rule:
    """Requests that say how long the server took, against what the highest printed percentile needs
    (MLPerf's early stopping); INVALID where none completed. Bound: 459: a p99 at 99 % confidence with none
    beyond it; 662 with one.

    One that still waited, or that an overloaded server turned away, says that it took longer than what was
    seen. But where none completed, nothing tells a slow server from a broken one.
    """
    done, bound = request_metrics.accounting(run)[COMPLETED], needed(HIGHEST, CONFIDENCE, 0)
    longer = int((run.judged & (run.records.status_is(UNFINISHED) | overloaded(run))).sum())
    figure = done + longer if done else 0
    text = f"{done} completed" + (f", {longer} took longer than was seen" if longer else "")
    text += f"; a p99 at {100 * CONFIDENCE:.0f} % confidence needs {bound} with none beyond it, "
    text += f"{needed(HIGHEST, CONFIDENCE, 1)} with one"
    text += "".join(f"; {each}" for each in (_thin(run) if figure >= bound else ()))
    advice = _more(run, 1.2 * bound * run.window_length / figure) if figure else _NONE_COMPLETED
    verdict = Verdict.TOO_SHORT if figure else _INVALID
    return Rule("enough_requests", verdict, figure >= bound, figure, bound, "requests", text, advice)


def _more(run: Run, seconds: float) -> str:
    """How this load comes to so many requests as it does in `seconds`."""
    if run.process == "trace":
        return f"replay a longer trace (of {np.ceil(seconds):.0f} s)"
    longer = f"run longer (--duration {np.ceil(seconds):.0f})"
    return longer if run.closed_loop or saturated(run) else f"{longer}, or at a higher rate"


def _thin(run: Run) -> list[str]:
    """The highest percentiles that fewer requests have than they need, though the run has enough."""
    found = []
    for name, label in (("tpot", "TPOT"), ("itl", "ITL")):
        figure = request_metrics.percentile(run, name, HIGHEST)
        if request_metrics.thin(figure, HIGHEST):
            found.append(f"the p99 of {label} is of {figure.count} only, too few")
    return found


@rule
def streamed(run: Run) -> Rule:
    """Share of the completed answers of 2 tokens or more that came in one piece, whose pace nobody saw.

    It only warns: that may be how this server answers. TPOT leaves them out.
    """
    answers = run.judged & run.records.status_is(COMPLETED) & (run.records.numbers("output_tokens") >= 2)
    whole, count = int((answers & durations.in_one_piece(run)).sum()), int(answers.sum())
    if not count:
        return not_checked("streamed", Verdict.VALID, ONE_PIECE, "share", "no answer of 2 tokens or more")
    figure = whole / count
    rest = f"TPOT is of the other {count - whole}" if whole < count else "there is no TPOT"
    text = f"{whole} of {count} answers came in one piece" + (f", so {rest}" if whole else "")
    advice = "see whether the server, or a proxy before it, holds tokens back"
    passed = figure <= ONE_PIECE
    return Rule("streamed", Verdict.VALID, passed, figure, ONE_PIECE, "share", text, advice)


@rule
def tokens_seen(run: Run) -> Rule:
    """Share of the completed answers that count 1.5 times as many tokens as chunks, or more, where the server
    does not say how many each chunk has; or reasoning that was not streamed.

    It only warns: TPOT then takes as many for each chunk, and that reasoning for what came before the first.
    """
    name, numbers = "tokens_seen", run.records.numbers
    flow = token_flow(run)
    answers = run.judged & run.records.status_is(COMPLETED) & (flow.chunks > 0)
    if not answers.any():
        return not_checked(name, Verdict.VALID, ONE_PIECE, "share", "no answer whose chunks are known")
    hidden = answers & flow.unsaid & (numbers("output_tokens") > UNSEEN * flow.chunks)
    reasoned = answers & (flow.unseen > 0)
    figure = float((hidden | reasoned).sum() / answers.sum())
    text = f"{hidden.sum()} of {answers.sum()} answers count more tokens than chunks"
    if reasoned.any():
        text += f", {reasoned.sum()} reasoning that was not streamed, "
        text += f"{flow.unseen[reasoned].mean():.0f} tokens each: their TTFT is that of the answer"
    advice = "ask for the tokens of each chunk (stream_options.continuous_usage_stats)"
    return Rule(name, Verdict.VALID, figure <= ONE_PIECE, figure, ONE_PIECE, "share", text, advice)


@rule
def warmup_long_enough(run: Run) -> Rule:
    """The window's beginning, be it a twentieth or half, does not stand out by a minimum effect size.

    Medians of blocks of time, so that a burst or the noise of single requests is no beginning; and apart
    from all that comes later, once that has settled (`trend.stands_apart`): near its capacity a server has
    slow stretches anywhere, and one that drifts over the whole window would do so after any warm-up. In
    simulation (bench.verdict's server, windows of 60 s, 200 runs each) 0 to 3 % of the runs failed that
    had no such beginning, at loads of 67, 81, 87 and 92 %; of those whose first 3 to 30 s took 1.3 to 10
    times as long, all did at 67 % and 70 to 90 % at 81 %. Where a queue grows, the beginning differs for
    that alone, whichever way: a front end that is full hands tokens on in lumps, so TPOT falls.
    """
    span = _first_steady(run)
    if span is None:
        return not_checked("warmup_long_enough", _INVALID, WARM_SIZE, "share", "the load begins with a ramp")
    watched = [("TTFT", durations.of(run, "ttft"), WARM_LEAST), ("TPOT", durations.of(run, "tpot"), 0.0)]
    tried = [_beginning(run, span, *each) for each in watched]
    known = [found for found in tried if found is not None]
    if not known:
        least = WARM_BLOCKS * WARM_PER_BLOCK
        return not_checked("warmup_long_enough", _INVALID, WARM_SIZE, "share", f"fewer than {least} requests")
    queue = saturated(run)
    failing = [found for found in known if found.apart and not queue]
    if failing and (still := [each for each in stalls(run) if each.start < span[1] and each.end > span[0]]):
        why = (
            f"no token came to anyone from {still[0].start:.0f} to {still[0].end:.0f} s, which is no warm-up"
        )
        return not_checked("warmup_long_enough", _INVALID, WARM_SIZE, "share", why)
    shown = max(failing or known, key=lambda found: abs(found.change))
    first = (span[1] - span[0]) * shown.blocks / WARM_BLOCKS
    text = f"{shown.name} of the first {first:.3g} s is {100 * shown.change:+.0f} % against the rest"
    if not failing and abs(shown.change) > WARM_SIZE:
        text += ": a queue grows" if queue else ", but does not stand out from how the rest varies or drifts"
    advice = f"warm up longer: --warmup {np.ceil(run.window[0] + 2 * first):.0f}"
    return Rule("warmup_long_enough", _INVALID, not failing, shown.change, WARM_SIZE, "share", text, advice)


@rule
def failed_share(run: Run) -> Rule:
    """Share of arrivals that failed for other reasons than an overloaded server."""
    judged = int(run.judged.sum())
    if not judged:
        why, advice = "nothing was due in the window", "see the scenario's duration and warm-up"
        return Rule("failed_share", _INVALID, False, None, FAILED_SHARE, "share", why, advice)
    worst = worst_share(run, run.records.status_is(FAILED) & ~overloaded(run), FAILED_SHARE)
    common = next(iter(request_metrics.errors(run)), "")
    text = f"{worst} failed" + (f", most often: {common[:120]}" if worst.count else "")
    advice = "see the errors and the server's log: nothing about speed follows from requests that failed"
    passed = worst.share <= FAILED_SHARE
    return Rule("failed_share", _INVALID, passed, worst.share, FAILED_SHARE, "share", text, advice)


@rule
def empty_answers(run: Run) -> Rule:
    """Share of arrivals whose answer ended in good order and held no text, reasoning or tool call."""
    judged = int(run.judged.sum())
    if not judged:
        return not_checked("empty_answers", _INVALID, FAILED_SHARE, "share", "nothing was due in the window")
    worst = worst_share(run, run.records.status_is(EMPTY), FAILED_SHARE)
    text = f"{worst} answers held no text"
    advice = "see finish_reason in the records: nothing about speed follows from empty answers"
    passed = worst.share <= FAILED_SHARE
    return Rule("empty_answers", _INVALID, passed, worst.share, FAILED_SHARE, "share", text, advice)


def _pairs(*names: str) -> list[tuple[str, str]]:
    return list(zip(names, names[1:], strict=False))


@dataclass(frozen=True)
class _Beginning:
    """How the first blocks of one metric differ from the rest."""

    name: str
    blocks: int
    change: float  # their median / the rest's - 1
    apart: bool  # whether they stand out, by a minimum effect size


def _first_steady(run: Run) -> tuple[float, float] | None:
    """(start, end) of what is watched: the window, or its first step where the rate changes by plan."""
    planned = stages(run)
    if not planned:
        return run.window
    return (planned[0].start, planned[0].end) if planned[0].steady else None


def _beginning(
    run: Run, span: tuple[float, float], name: str, whole: Durations, least: float
) -> _Beginning | None:
    """The beginning that stands out most, else the first WARM_SHOWN blocks; None for too few requests.

    `least`: seconds, a difference below which there is none.
    """
    due, (start, end) = run.records.numbers("due")[whole.rows], span
    # One still waiting has taken at least so long: without it the rest of a saturated run would look fast.
    seen = np.isfinite(whole.seconds) & (due >= start) & (due < end)
    block = ((due[seen] - start) / (end - start) * WARM_BLOCKS).astype(np.int64)
    values = whole.seconds[seen]
    if len(values) < WARM_BLOCKS * WARM_PER_BLOCK or len(np.unique(block)) < WARM_BLOCKS:
        return None
    medians = np.array([np.median(values[block == each]) for each in range(WARM_BLOCKS)])

    def of(blocks: int) -> _Beginning:
        first, rest = np.median(values[block < blocks]), np.median(values[block >= blocks])
        change = float(first / rest - 1) if abs(first - rest) > least else 0.0
        return _Beginning(
            name, blocks, change, abs(change) > WARM_SIZE and trend.stands_apart(medians, blocks)
        )

    apart = [found for found in map(of, WARM_FIRST) if found.apart]
    return max(apart, key=lambda found: abs(found.change)) if apart else of(WARM_SHOWN)
