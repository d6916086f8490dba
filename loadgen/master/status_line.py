"""The live line of a headless run, in words."""

from loadgen.live.live import Live

PLAIN_EVERY = 5.0  # s between two lines in a log


def line(live: Live, now: float, phase: str, left: float, width: int | None = None) -> str:
    """Elapsed and left, rates, in flight; TTFT and TPOT so far, without the warm-up's.

    As fully as `width` columns allow: without the tokens and p99 first, then with shorter words.
    """
    now = max(now, 0.0)
    phase = "warm-up" if phase == "running" and now < live.window[0] else phase
    text = ""
    for brevity in range(4):
        text = " | ".join(_parts(live, now, phase, left, brevity))
        if width is None or len(text) <= width:
            return text
    return text[:width]


def _parts(live: Live, now: float, phase: str, left: float, brevity: int) -> list[str]:
    """The line's parts; `brevity` 0: all of it, 3: what an 80-column terminal has room for at any time."""
    parts = [_clock(now, phase, left, brevity), *_rates(live, phase, brevity), f"in flight {live.in_flight}"]
    if live.counts()["failed"]:
        parts.append(f"failed {live.counts()['failed']}")
    return parts + _times(live, brevity)


def _clock(now: float, phase: str, left: float, brevity: int) -> str:
    if brevity < 2:
        return f"{phase} {now:5.1f} s, {left:.0f} s left"
    return f"{'' if phase == 'running' else f'{phase} '}{now:.0f} s, {left:.0f} left"


def _rates(live: Live, phase: str, brevity: int) -> list[str]:
    if not live.points:
        return []
    found = live.points[-1].rates
    offered, completed = f"{found['offered_rate']:.1f}", f"{found['completed_rate']:.1f}"
    if brevity < 2:
        rates = [f"offered {offered}/s, completed {completed}/s"]
        return rates if brevity else [*rates, f"{found['output_token_throughput']:,.0f} tok/s"]
    of = "" if phase == "draining" else f" of {offered}"
    return [f"{'done ' if brevity == 2 else ''}{completed}{of}/s"]


def _times(live: Live, brevity: int) -> list[str]:
    found = live.percentiles()
    times = []
    for name, label in (("ttft", "TTFT"), ("tpot", "TPOT")):
        middle, high = found[name]["p50"], found[name]["p99"]
        if middle is not None and high is not None:
            full = f"{label} p50 {middle * 1e3:.0f} p99 {high * 1e3:.0f} ms"
            times.append(f"{label} {_short(middle, brevity)}" if brevity else full)
    together = " " if brevity == 3 else ", "
    return [together.join(times)] if brevity and times else times


def _short(seconds: float, brevity: int) -> str:
    if seconds >= 1:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds * 1e3:.0f} ms" if seconds >= 0.1 or brevity == 3 else f"{seconds * 1e3:.1f} ms"
