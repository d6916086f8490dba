"""What stands between client and server: do streams arrive as a server sends them?"""

import numpy as np

from loadgen.records.record import FAILED, timed_out
from reports.metrics.gaps import token_flow
from reports.runs.runs import Run
from reports.verdict.rule import Rule, Verdict, not_checked, rule

LIMITS = (30.0, 50.0, 60.0, 120.0, 300.0, 600.0)  # s: as gateways are delivered
NEAR = 0.5  # s
CUT = 0.005  # of the arrivals; chance cuts few at one of these moments
LUMPY = 0.1  # of the streams; more, and every p90 of ITL is the buffer's

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
    """Share of arrivals whose answer, begun with status 200, broke off a round time after it was asked for:
    30, 50, 60, 120, 300 or 600 s, to half a second.

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
    lasted = (numbers("end") - numbers("sent"))[broken]
    counts = {limit: int((np.abs(lasted - limit) <= NEAR).sum()) for limit in LIMITS}
    limit = max(LIMITS, key=lambda each: counts[each])
    figure = counts[limit] / judged
    text = f"{counts[limit]} of {judged} answers with status 200 broke off after {limit:.0f} s, "
    text += f"{len(lasted)} at any time"
    advice = (
        f"a gateway's time-out of {limit:.0f} s, not the server's: raise it (proxy_read_timeout in nginx, "
    )
    advice += "`timeout server` in HAProxy), or lower the rate"
    return Rule(name, Verdict.VALID, figure <= CUT, figure, CUT, "share", text, advice)


def _advice(pause: float) -> str:
    measured_anew = "TTFT and ITL are the buffer's until then (docs/gateways.md)"
    if any(low <= pause <= high for low, high in _DELAYED_ACK):
        return (
            "the pauses are those of Nagle's algorithm with delayed acknowledgements: set "
            f"`option http-no-delay` in HAProxy, TCP_NODELAY elsewhere; {measured_anew}"
        )
    return f"something between server and client, or the server itself, holds chunks back; {measured_anew}"
