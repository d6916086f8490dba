"""What a worker tells the master every second, so that people can watch: counts, digests and histograms.

Counts are of the whole run so far; digests and histograms of what came since the last pulse. Digests keep
the warm-up apart, as the report does: nobody compares percentiles that hold a server's first requests.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

import numpy as np
from locust.env import Environment
from locust.event import EventHook

from loadgen.live.histogram import Digest, Histogram, empty_digests
from loadgen.live.instruments import histograms
from loadgen.protocol import events
from loadgen.records.metrics import METRICS, Metric, Moments, Since, moments, value
from loadgen.records.record import FAILED, OVERLOADED, Record, gone, timed_out
from loadgen.workload.arrival import Arrival
from loadgen.workload.scenario import Slo

_KNOWN_AT: dict[Since, list[Metric]] = {
    since: [each for each in METRICS.values() if each.since == since and each.seconds]
    for since in get_args(Since)
}


@dataclass
class Figures:
    """Of one workload."""

    counts: Counter[str] = field(default_factory=Counter)
    digests: dict[str, Digest] = field(default_factory=empty_digests)
    warmup: dict[str, Digest] = field(default_factory=empty_digests)
    histograms: dict[str, Histogram] = field(default_factory=histograms)
    gaps: dict[bool, list[np.ndarray]] = field(default_factory=lambda: {True: [], False: []})

    def add(self, since: Since, of: Moments, judged: bool) -> None:
        """Enter each metric of a request that is known from this moment on."""
        for each in _KNOWN_AT[since]:
            seconds = value(of, each)
            if seconds is not None:
                (self.digests if judged else self.warmup)[each.name].add(seconds)
                self.histograms[each.name].add(seconds)

    def count_gaps(self) -> None:
        """Enter the ITL of the answers whose gaps have been laid aside: together they cost far less."""
        for judged, parts in self.gaps.items():
            if parts:
                seconds = np.concatenate(parts)
                (self.digests if judged else self.warmup)["itl"].extend(seconds)
                self.histograms["itl"].extend(seconds)
                parts.clear()


class Pulse:
    """Listens to the hooks of `loadgen.protocol.events` for one lane's run; `close` ends that."""

    def __init__(self, environment: Environment, slo: Slo | None = None) -> None:
        self._environment = environment
        self._wait = math.inf if slo is None or slo.ttft is None else slo.ttft
        self._open: dict[int, float] = {}  # by request under way, when it will have missed the SLO, s
        self._figures: dict[str, Figures] = {}
        self._warming: set[int] = set()  # numbers of the warm-up's requests under way
        self._listeners: list[tuple[EventHook, Callable[..., None]]] = [
            (events.launched, self._on_launched),
            (events.first_token, self._on_first_token),
            (events.chat_finished, self._on_chat_finished),
        ]
        for hook, listener in self._listeners:
            hook.add_listener(listener)

    def close(self) -> None:
        """Listen no more; a second call changes nothing."""
        for hook, listener in self._listeners:
            hook.remove_listener(listener)
        self._listeners.clear()

    def undecided(self, now: float) -> int:
        """Requests under way that may still meet the SLO; `now`: seconds from the start."""
        return sum(late > now for late in self._open.values())

    def take(self) -> dict[str, Any]:
        """`counts`, `digests`, `warmup` (digests, too) and `histograms`, each by workload.

        What the last three held is gone from here.
        """
        taken: dict[str, Any] = {"counts": {}, "digests": {}, "warmup": {}, "histograms": {}}
        for workload, figures in self._figures.items():
            figures.count_gaps()
            taken["counts"][workload] = dict(figures.counts)
            taken["digests"][workload] = _take(figures.digests)
            taken["warmup"][workload] = _take(figures.warmup)
            taken["histograms"][workload] = _take(figures.histograms)
        return taken

    def _of(self, workload: str) -> Figures:
        if workload not in self._figures:
            self._figures[workload] = Figures()
        return self._figures[workload]

    def _on_launched(self, arrival: Arrival, due: float, now: float, **_: Any) -> None:
        figures = self._of(arrival.workload)
        judged = due >= arrival.warmup_end
        if not judged:
            self._warming.add(arrival.number)
        self._open[arrival.number] = due + self._wait
        figures.counts["sent"] += 1
        figures.add("sent", Moments(due=due, sent=now), judged)

    def _on_first_token(self, arrival: Arrival, ttft: float, scheduled_ttft: float, **_: Any) -> None:
        figures, judged = self._of(arrival.workload), arrival.number not in self._warming
        self._open[arrival.number] = math.inf if scheduled_ttft <= self._wait else -math.inf
        figures.add("first token", Moments(due=-scheduled_ttft, sent=-ttft, first_token=0.0), judged)
        figures.histograms["first_chunk"].add(ttft)

    def _on_chat_finished(self, arrival: Arrival, record: Record, **_: Any) -> None:
        figures, judged = self._of(record.workload), record.due >= arrival.warmup_end
        self._warming.discard(arrival.number)
        self._open.pop(arrival.number, None)
        figures.counts[record.status] += 1
        figures.counts["tokens"] += record.output_tokens or 0
        figures.counts["refused"] += _refused(record)
        times = record.chunk_times
        if times is not None and len(times) > 1:
            figures.gaps[judged].append(np.diff(times))
        for name, tokens in (("input_tokens", record.prompt_tokens), ("output_tokens", record.output_tokens)):
            if tokens is not None:
                figures.histograms[name].add(tokens)
        if record.status == FAILED and record.sent is not None and record.end is not None:
            figures.histograms["failure"].add(record.end - record.sent)
        figures.add("end", moments(record), judged)


def _refused(record: Record) -> bool:
    """Whether it failed in a way that says the server had too much to do; as the verdict's rule has it."""
    if record.status != FAILED:
        return False
    error = record.error or ""
    return (record.http_status in OVERLOADED and not gone(error)) or timed_out(error)


def _take(parts: Mapping[str, Digest | Histogram]) -> dict[str, Any]:
    """What each part that has counted anything gives; the others are left out."""
    return {name: part.take() for name, part in parts.items() if part.count}
