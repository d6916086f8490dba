"""What client and server say of the same requests, and so where they waited: in the server or before it."""

from dataclasses import dataclass

import numpy as np

from reports.metrics import machine
from reports.metrics.gateway import gateway
from reports.metrics.server_side import server_side
from reports.runs.runs import Floats, Run, kept
from reports.text.formatting import milliseconds

COUNTS = 0.01  # client and server may differ by this share: what a scrape cuts, a request more or less
AGE = "scrape:age_seconds"  # for which a page of metrics had lain in a cache
ROUGHLY = 0.25  # likewise, where only the larger part of the TTFT is asked for: a drain may cut some
MOST = 0.5  # of the client's mean TTFT
NAMED = 100  # characters of what a gateway calls itself
FRONT_END = ("API server", "APIServer")  # how the processes before vLLM's engine are called
_TTFT = "vllm:time_to_first_token_seconds"
_MORE_PROCESSES = "try --api-server-count 2, or vLLM's Rust front end"


@dataclass(frozen=True)
class Elsewhere:
    """Who kept requests waiting where it was not the server's engine."""

    who: str
    text: str
    advice: str
    outside: bool  # of the server


def whole(run: Run) -> tuple[float, float]:
    """The whole run with its warm-up and drain: from before the first send to the last scrape."""
    return float(np.nanmin(run.records.numbers("sent"), initial=run.window[1])), np.inf


def why_no_counters(run: Run, name: str) -> str | None:
    last = np.nanmax(run.records.numbers("last_token"), initial=-np.inf)
    if name not in run.server.names:
        return f"the server exports no {name}"
    if (age := run.server.gauge(AGE, "max")) is not None:
        return f"a cache answered for /metrics (up to {age[1].max():.0f} s old): give METRICS_HOST= past it"
    if not run.server.covers(whole(run)[0], float(last)):
        return "the scrapes of /metrics do not span the run"
    return None


def means(run: Run, histogram: str, ours: Floats, within: float = COUNTS) -> tuple[float, float] | str:
    """(client's, server's) mean of the same requests, s; or why they cannot be compared. `within`: the share
    by which they may count different numbers of them."""
    seen = ours[~np.isnan(ours)]
    if (why := why_no_counters(run, f"{histogram}_count")) is not None:
        return why
    theirs = run.server.histogram(histogram, *whole(run))
    if theirs is None or theirs.mean is None or not len(seen):
        return "nothing to compare"
    if abs(theirs.count - len(seen)) > within * len(seen):
        return f"the server counted {theirs.count:.0f} requests, the client {len(seen)}"
    return float(seen.mean()), theirs.mean


def ttft(run: Run, within: float = COUNTS) -> tuple[float, float] | str:
    """(client's, server's) mean TTFT of the same requests, s; or why they cannot be compared. See `means`."""
    return means(run, _TTFT, run.records.numbers("first_token") - run.records.numbers("sent"), within)


@kept
def elsewhere(run: Run) -> Elsewhere | None:
    """Where more than half of the mean TTFT was spent, if not in the server's engine: before the server, or
    in its front end. None where it was the engine, or nobody knows."""
    found, way = ttft(run, ROUGHLY), gateway(run)
    if way is not None and way.low > MOST * (way.low + way.past_ttft):
        text = f"past the gateway TTFT is {milliseconds(way.past_ttft)} (p50 of {way.past}), "
        return _before_it(run, "the gateway", f"{text}through it {milliseconds(way.ttft)} longer")
    if isinstance(found, str):
        return None
    client, server = found
    if client - server > MOST * client:
        text = f"of a mean TTFT of {milliseconds(client)} the server's own is {milliseconds(server)}"
        return _before_it(run, "what stands between, or the network", text)
    front_end = server_side(run).front_end_mean
    if front_end is None or front_end <= MOST * client:
        return None
    full = [each for each in machine.server_processes(run) if each.thread > machine.FULL]
    full = [each for each in full if each.name.startswith(FRONT_END)]
    who = f"the server's front end ({full[0].name})" if full else "the server's front end"
    text = f"of a mean TTFT of {milliseconds(client)} its front end had {milliseconds(front_end)}"
    return Elsewhere(who, text, f"{who} holds requests back, not the engine: {_MORE_PROCESSES}", False)


def _before_it(run: Run, unnamed: str, text: str) -> Elsewhere:
    who = between(run) or unnamed
    advice = f"{who} holds requests back: give it more workers, or load the server past it"
    return Elsewhere(who, text, f"{advice}. The server itself was not at its limit", True)


def between(run: Run) -> str | None:
    """What a gateway between client and server calls itself."""
    told = (run.manifest.model_extra or {}).get("between")
    return str(told)[:NAMED] if told else None
