"""What stands between client and server: do streams arrive as a server sends them?"""

from reports.metrics.gaps import token_flow
from reports.runs.runs import Run
from reports.verdict.rule import Rule, Verdict, not_checked, rule

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


def _advice(pause: float) -> str:
    measured_anew = "TTFT and ITL are the buffer's until then (docs/gateways.md)"
    if any(low <= pause <= high for low, high in _DELAYED_ACK):
        return (
            "the pauses are those of Nagle's algorithm with delayed acknowledgements: set "
            f"`option http-no-delay` in HAProxy, TCP_NODELAY elsewhere; {measured_anew}"
        )
    return f"something between server and client, or the server itself, holds chunks back; {measured_anew}"
