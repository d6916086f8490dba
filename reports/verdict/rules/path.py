"""What stands between client and server: do streams arrive as a server sends them, and when it does?"""

import numpy as np

from loadgen.records.record import FAILED, timed_out
from reports.metrics.gaps import token_flow
from reports.metrics.gateway import gateway
from reports.metrics.server_side import server_side
from reports.metrics.stalls import stalls
from reports.runs.runs import Run
from reports.text.formatting import milliseconds
from reports.verdict.both_sides import between, ttft
from reports.verdict.rule import Rule, Verdict, not_checked, rule

LIMITS = (30.0, 50.0, 60.0, 120.0, 300.0, 600.0)  # s: as gateways are delivered
NEAR = 0.5  # s
CUT = 0.005  # of the arrivals; chance cuts few at one of these moments
LUMPY = 0.1  # of the streams; more, and every p90 of ITL is the buffer's
# s, and of the client's mean TTFT. LiteLLM takes 15 ms and more. What vLLM's front end does before it begins
# to count takes 2 to 14 ms on an H200, up to 60 requests/s; what it does afterwards took longer in each run.
OUTSIDE, OUTSIDE_SHARE = 0.012, 0.1
LOST = 0.005  # of the segments; each holds a few chunks back, so that twice as many move a p99

# (from, to) in seconds: the pause that a cause leaves, as docs/gateways.md measured it.
_DELAYED_ACK = ((0.035, 0.050), (0.190, 0.240))


@rule
def stream_lumps(run: Run) -> Rule:
    """Share of the streams of 8 chunks or more whose chunks come in lumps, a pause apart: half of the gaps or
    more lie within lumps, and the pauses fill nine tenths of the stream's time ([gateways](gateways.md)).
    """
    name = "stream_lumps"
    found = token_flow(run).lumps
    if not found.streams:
        return not_checked(name, Verdict.VALID, LUMPY, "share", "no stream of 8 chunks or more")
    text = f"{found.lumpy:,} of {found.streams:,} streams came in lumps"
    if found.lumpy:
        text += f": {found.size:.1f} chunks at one moment, {1e3 * found.pause:.0f} ms apart (medians)"
    passed = found.share <= LUMPY
    return Rule(name, Verdict.VALID, passed, found.share, LUMPY, "share", text, _advice(found.pause))


@rule
def gateway_timeout(run: Run) -> Rule:
    """Share of arrivals whose answer, begun with status 200, broke off a round time after it was asked for,
    or after its last token: 30, 50, 60, 120, 300 or 600 s, to half a second.

    It only warns: the verdict on what failed stands. A server has no such times; gateways do.
    """
    name, numbers = "gateway_timeout", run.records.numbers
    judged = int(run.judged.sum())
    if not judged:
        return not_checked(name, Verdict.VALID, CUT, "share", "nothing was due in the window")
    codes, texts = run.records.codes("error")
    ours = [code for code, text in enumerate(texts) if timed_out(text)]
    broken = (
        run.judged & run.records.status_is(FAILED) & (numbers("http_status") == 200) & ~np.isin(codes, ours)
    )
    since = np.stack([numbers("sent"), np.fmax(numbers("sent"), numbers("last_token"))])
    lasted = (numbers("end") - since)[:, broken]  # in all, and since the last token
    counts = {limit: int((np.abs(lasted - limit) <= NEAR).any(axis=0).sum()) for limit in LIMITS}
    limit = max(LIMITS, key=lambda each: counts[each])
    figure = counts[limit] / judged
    text = f"{counts[limit]} of {judged} answers with status 200 broke off after {limit:.0f} s, "
    text += f"{broken.sum()} at any time"
    advice = (
        f"a gateway's time-out of {limit:.0f} s, not the server's: raise it (proxy_read_timeout in nginx, "
    )
    advice += "`timeout server` in HAProxy), or lower the rate"
    return Rule(name, Verdict.VALID, figure <= CUT, figure, CUT, "share", text, advice)


@rule
def outside_server(run: Run) -> Rule:
    """Mean TTFT of the client less the server's own: in its front end, in a gateway, or on the network.
    Bound: 12 ms, a tenth of the client's, or what the server's own front end takes. It only warns.
    """
    name, found = "outside_server", ttft(run)
    if isinstance(found, str):
        return not_checked(name, Verdict.VALID, OUTSIDE, "s", found)
    if still := stalls(run):
        why = f"no token came to anyone from {still[0].start:.0f} to {still[0].end:.0f} s"
        return not_checked(name, Verdict.VALID, OUTSIDE, "s", why)
    client, server = found
    front_end = server_side(run).front_end_mean or 0.0
    figure, bound = client - server, max(OUTSIDE, OUTSIDE_SHARE * client, front_end)
    text = f"of a mean TTFT of {milliseconds(client)} the server's own is {milliseconds(server)}"
    trip, named = _round_trip(run), between(run)
    if trip is not None:
        text += f", a round trip of the network {milliseconds(trip)}"
    if (past := gateway(run)) is not None:
        text += f"; past the gateway {past.past} requests had it {milliseconds(past.ttft)} earlier"
    at = f" ({named})" if named else ""
    advice = f"load the server itself, past what stands between{at}: the difference is no speed of the engine"
    return Rule(name, Verdict.VALID, figure <= bound, figure, bound, "s", text, advice)


@rule
def network_loss(run: Run) -> Rule:
    """Share of the TCP segments that were sent anew by the client's kernel, or came out of order: one before
    was lost. It only warns.
    """
    name = "network_loss"
    lanes = [(each.segments, each.segments_lost or 0) for each in run.manifest.lanes if each.segments]
    if not lanes:
        return not_checked(name, Verdict.VALID, LOST, "share", "no worker's kernel told of its connections")
    segments, lost = (sum(counts) for counts in zip(*lanes, strict=True))
    figure, trip = lost / segments, _round_trip(run)
    text = f"{lost:,} of {segments:,} segments were lost, or came after one that was"
    text += f"; a round trip takes {milliseconds(trip)} at least" if trip is not None else ""
    advice = "the network between client and server loses packets: its pauses are in TTFT and ITL"
    return Rule(name, Verdict.VALID, figure <= LOST, figure, LOST, "share", text, advice)


def _round_trip(run: Run) -> float | None:
    """Of the network alone, s: the shortest that the kernel of a worker timed."""
    return min(
        (each.round_trip_s for each in run.manifest.lanes if each.round_trip_s is not None), default=None
    )


def _advice(pause: float) -> str:
    measured_anew = "TTFT and ITL are the buffer's until then (docs/gateways.md)"
    if any(low <= pause <= high for low, high in _DELAYED_ACK):
        return (
            "the pauses are those of Nagle's algorithm with delayed acknowledgements: set "
            f"`option http-no-delay` in HAProxy, TCP_NODELAY elsewhere; {measured_anew}"
        )
    return f"something between server and client, or the server itself, holds chunks back; {measured_anew}"
