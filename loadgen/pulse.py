"""What a worker tells the master every second, so that people can watch: counts, digests and histograms.

Counts are of the whole run so far; digests and histograms of what came since the last pulse.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from locust.env import Environment
from locust.event import EventHook

from loadgen import events
from loadgen.digest import METRICS, Digest
from loadgen.histogram import Histogram
from loadgen.instruments import histograms
from loadgen.record import COMPLETED, FAILED, Record
from loadgen.schedule import Arrival


@dataclass
class Figures:
    """Of one workload."""

    counts: Counter[str] = field(default_factory=Counter)
    digests: dict[str, Digest] = field(default_factory=lambda: {name: Digest() for name in METRICS})
    histograms: dict[str, Histogram] = field(default_factory=histograms)

    def add(self, metric: str, seconds: float) -> None:
        self.digests[metric].add(seconds)
        self.histograms[metric].add(seconds)

    def extend(self, metric: str, seconds: np.ndarray) -> None:
        self.digests[metric].extend(seconds)
        self.histograms[metric].extend(seconds)


class Pulse:
    """Listens to the hooks of `loadgen.events` for one lane's run; `close` ends that."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._figures: dict[str, Figures] = {}
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

    def take(self) -> dict[str, Any]:
        """`counts`, `digests` and `histograms` by workload; what the latter two held is gone from here."""
        taken: dict[str, Any] = {"counts": {}, "digests": {}, "histograms": {}}
        for workload, figures in self._figures.items():
            taken["counts"][workload] = dict(figures.counts)
            for kind, parts in (("digests", figures.digests), ("histograms", figures.histograms)):
                taken[kind][workload] = {name: part.take() for name, part in parts.items() if part.count}
        return taken

    def _of(self, workload: str) -> Figures:
        if workload not in self._figures:
            self._figures[workload] = Figures()
        return self._figures[workload]

    def _on_launched(self, arrival: Arrival, due: float, now: float, **_: Any) -> None:
        figures = self._of(arrival.workload)
        figures.counts["sent"] += 1
        figures.add("send_lag", now - due)

    def _on_first_token(self, arrival: Arrival, ttft: float, scheduled_ttft: float, **_: Any) -> None:
        figures = self._of(arrival.workload)
        figures.add("ttft", ttft)
        figures.add("scheduled_ttft", scheduled_ttft)

    def _on_chat_finished(self, record: Record, **_: Any) -> None:
        figures = self._of(record.workload)
        figures.counts[record.status] += 1
        figures.counts["tokens"] += record.output_tokens or 0
        times = record.chunk_times
        if times is not None and len(times) > 1:
            figures.extend("itl", np.diff(times))
        for name, tokens in (("input_tokens", record.prompt_tokens), ("output_tokens", record.output_tokens)):
            if tokens is not None:
                figures.histograms[name].add(tokens)
        if record.status == FAILED and record.sent is not None and record.end is not None:
            figures.histograms["failure"].add(record.end - record.sent)
        if record.first_token is None or record.last_token is None or record.status != COMPLETED:
            return
        if record.output_tokens is not None and record.output_tokens > 1:
            figures.add("tpot", (record.last_token - record.first_token) / (record.output_tokens - 1))
        figures.add("scheduled_latency", record.last_token - record.due)
        if record.sent is not None:
            figures.add("latency", record.last_token - record.sent)
