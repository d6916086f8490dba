"""The load of a result of `vllm bench serve`: what was asked, and what it tells of when requests were due.

They are due at a rate (`request_rate`, with gaps of the shape `burstiness`), on a ramp (`ramp_up_strategy`),
or by a trace (`--self-timed`, where the rate is "inf"), else all at once. `max_concurrency` lets no more than
so many be in flight; how long others were held back, newer versions say in `queue_times`.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from reports.runs.importers.imported import number, one_burst
from reports.runs.runs import LATE_SHARE, Floats, Limits

_NO_LANES = "the tool is one process"
_NO_SLO = "the file does not hold the SLO of --goodput"
_NO_QUEUE_TIMES = "the file has no queue_times (an older vLLM)"
_WHOLE = "the window is all the time from the first send to the last token"


@dataclass(frozen=True)
class Load:
    """What was asked, and what came of it."""

    rate: float | None  # 1/s
    limit: int | None  # max_concurrency
    arrivals: dict[str, Any]  # as a scenario has them
    by_itself: bool  # requests came due at moments of their own: at a rate, or by a trace
    due: Floats  # seconds of the client's clock; when sent, where the file does not tell
    longest_wait: float | None  # seconds that the client held a request back; None: the file does not tell
    at_limit: int  # requests that left when the limit was reached
    sent_rate: float  # 1/s

    @property
    def held_unknown(self) -> bool:
        """Whether the limit may have held back so many that it matters, the file does not tell how long."""
        return self.longest_wait is None and self.at_limit > LATE_SHARE * len(self.due)

    @property
    def open_loop(self) -> bool:
        """Whether requests came due by themselves, as far as the file tells."""
        return self.by_itself and not self.held_unknown

    @property
    def asked(self) -> dict[str, Any]:
        """The load as a scenario has it."""
        return {"rate": self.rate, "arrivals": self.arrivals, "requests": len(self.due)}


def read_load(path: Path, found: dict[str, Any], sent: Floats, end: Floats, held: Floats | None) -> Load:
    """`sent`, `end`: of each request, seconds of the client's clock; `held`: its queue time.

    Raises UsageError for nonsense.
    """
    rate, bound = (_bound(path, found, name) for name in ("request_rate", "max_concurrency"))
    limit, ramp = None if bound is None else int(bound), bool(found.get("ramp_up_strategy"))
    due = sent if held is None else sent - held
    unasked = rate is None and limit is None and not ramp
    trace = unasked and held is not None and not one_burst(due, float(end.max() - due.min()))
    by_itself = trace or (rate is not None and not ramp)
    return Load(
        rate=rate,
        limit=limit,
        arrivals=_arrivals(path, found, rate, limit, trace),
        by_itself=by_itself,
        due=due if by_itself else sent,
        longest_wait=None if held is None else float(held.max()),
        at_limit=0 if limit is None else _at_limit(sent, end, limit),
        sent_rate=(len(sent) - 1) / max(float(np.ptp(sent)), 1e-9),
    )


def load_limits(load: Load) -> Limits:
    """What no such file tells, and what this one does not."""
    figures = {"slo_attainment": _NO_SLO, "goodput_rate": _NO_SLO, "lost": _NO_LANES}
    rules = {"lanes_lost": _NO_LANES}
    if (why := _no_due(load)) is not None:
        figures |= dict.fromkeys(("scheduled_ttft", "scheduled_latency"), why)
        rules |= dict.fromkeys(("dispatch_delay_p99", "late_share", "unsent_share"), why)
        if not load.open_loop:
            figures["offered_rate"] = why
            rules |= dict.fromkeys(("backlog", "backlog_at_end"), _no_backlog(load))
    return Limits(figures, rules)


def load_notes(load: Load) -> list[str]:
    """What the client's limit did, and what it means that no rate was offered."""
    notes = [] if load.limit is None else [_held(load, load.limit)]
    if load.arrivals["process"] == "trace":
        notes.append(
            "request_rate is inf and there is no max_concurrency, yet requests were due at moments of their "
            "own: those of a trace (--self-timed)."
        )
    elif not load.by_itself:
        notes.append(
            f"There was no offered rate (request_rate inf, or a ramp): {_WHOLE}, and nothing follows for a "
            "load that comes by itself."
        )
    return notes


def _bound(path: Path, found: dict[str, Any], name: str) -> float | None:
    """None where the file has none, or says that it was infinite."""
    value = found.get(name)
    return None if value in (None, 0, "inf", math.inf) else number(value, f"{path}: {name}")


def _arrivals(
    path: Path, found: dict[str, Any], rate: float | None, limit: int | None, trace: bool
) -> dict[str, Any]:
    """The arrival process, by the names that scenarios have, and the client's limit."""
    held = {} if limit is None else {"max_concurrency": limit}
    if ramp := found.get("ramp_up_strategy"):
        return (
            {"process": f"{ramp} ramp"}
            | {end: found.get(f"ramp_up_{end}_rps") for end in ("start", "end")}
            | held
        )
    if rate is not None:
        return _gaps(path, found.get("burstiness")) | held
    if limit is not None:
        return {"process": "closed-loop", "concurrency": limit}
    return {"process": "trace" if trace else "all at once"}


def _gaps(path: Path, burstiness: object) -> dict[str, Any]:
    """Of requests at a rate: vLLM draws gamma gaps, which are Poisson's at burstiness 1, its default."""
    if burstiness in (None, 1):
        return {"process": "poisson"}
    if burstiness in ("inf", math.inf):
        return {"process": "constant"}
    return {"process": "gamma", "burstiness": number(burstiness, f"{path}: burstiness")}


def _at_limit(sent: Floats, end: Floats, limit: int) -> int:
    """How many left when all other places of the limit were taken."""
    ended = np.searchsorted(np.sort(end), np.sort(sent), "right")
    return int((np.arange(len(sent)) - ended >= limit - 1).sum())


def _no_due(load: Load) -> str | None:
    """Why no scheduled time can be said; None where the file tells when requests were due."""
    if load.held_unknown and load.by_itself:
        return f"the client's limit held requests back, and {_NO_QUEUE_TIMES}, so not when they were due"
    if not load.by_itself:
        return "requests were sent as fast as the client's limit let them, or at a ramp: none was due"
    return None if load.longest_wait is not None else f"{_NO_QUEUE_TIMES}, so not when requests were due"


def _no_backlog(load: Load) -> str:
    if load.by_itself:
        return f"a backlog stood in the client, and {_NO_QUEUE_TIMES}"
    return "without an offered rate there is no backlog"


def _held(load: Load, limit: int) -> str:
    """What the client's limit did to the load."""
    text = f"The client held requests back at {limit} in flight (max_concurrency)"
    if not load.by_itself:
        return f"{text}."
    if load.longest_wait is not None:
        return (
            f"{text}, up to {load.longest_wait:.3g} s each: the tool's TTFT and latency leave that wait out, "
            "the scheduled figures hold it."
        )
    if not load.held_unknown:
        return (
            f"The client's limit of {limit} in flight (max_concurrency) held back hardly any: "
            f"{load.at_limit:,} of {len(load.due):,} requests left when it was reached."
        )
    return (
        f"{text}, for how long is not in the file (no queue_times: an older vLLM): {load.at_limit:,} of "
        f"{len(load.due):,} left when the limit was reached, perhaps only because another had ended. It sent "
        f"{load.sent_rate:.4g} requests/s, asked were {load.rate:.4g}; {_WHOLE}."
    )
