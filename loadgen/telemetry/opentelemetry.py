"""The live metrics through OpenTelemetry, with the meter provider that Locust's `--otel` has set up.

Only the master exports, so a series has one writer, whatever the number of workers. OpenTelemetry takes a
distribution value by value only; a bucket's new values are recorded as that many times their mean, which
keeps every bucket's count and the sum as they are.
"""

from collections.abc import Callable, Iterable
from typing import Any

import gevent
from gevent.lock import RLock
from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Meter

from loadgen.live.histogram import Histogram
from loadgen.live.instruments import INSTRUMENTS, Instrument
from loadgen.protocol import events
from loadgen.telemetry.series import Observation, Observed

EVERY = 1.0  # s between two looks at the histograms
AT_ONCE = 100  # values that are recorded before others get their turn
METER = "tokenswarm"

Key = tuple[str, frozenset[tuple[str, str | int]]]


class OtelExport:
    """Exports what `observed` gives: the run that goes on, or the last one."""

    def __init__(self, observed: Callable[[], Observed | None], meter: Meter | None = None) -> None:
        self._observed = observed
        self._meter = meter or metrics.get_meter(METER)
        self._recording = RLock()
        self._known: dict[Key, tuple[list[int], list[float]]] = {}  # counts and sums that are recorded
        self._histograms = {
            each: self._meter.create_histogram(
                each.name, each.unit, each.text, explicit_bucket_boundaries_advisory=each.bounds
            )
            for each in INSTRUMENTS
            if each.kind == "histogram"
        }
        for each in INSTRUMENTS:
            if each.kind != "histogram":
                self._observe(each)
        events.run_finished.add_listener(self._on_run_finished)
        self._greenlet = gevent.spawn(self._follow)

    def close(self) -> None:
        """Record no more. A second call changes nothing."""
        events.run_finished.remove_listener(self._on_run_finished)
        self._greenlet.kill()

    def record(self) -> None:
        """Record what the histograms have counted since the last time."""
        observed = self._observed()
        if observed is None:
            return
        with self._recording:
            for seen in list(observed.observations()):
                if isinstance(seen.value, Histogram):
                    self._record(seen, seen.value)

    def _record(self, seen: Observation, whole: Histogram) -> None:
        key = seen.instrument.name, frozenset(seen.attributes.items())
        counts, sums = self._known.get(key) or ([0] * len(whole.counts), [0.0] * len(whole.sums))
        now = list(whole.counts), list(whole.sums)
        self._known[key] = now
        for before, count, old, total in zip(counts, now[0], sums, now[1], strict=True):
            for number in range(count - before):
                self._histograms[seen.instrument].record((total - old) / (count - before), seen.attributes)
                if number % AT_ONCE == AT_ONCE - 1:
                    gevent.sleep(0)

    def _observe(self, instrument: Instrument) -> None:
        """Let the counter or gauge be read whenever the provider exports."""

        def callback(_: CallbackOptions) -> Iterable[metrics.Observation]:
            observed = self._observed()
            for seen in observed.observations() if observed else ():
                if seen.instrument is instrument and not isinstance(seen.value, Histogram):
                    yield metrics.Observation(seen.value, seen.attributes)

        counter = instrument.kind == "counter"
        make = self._meter.create_observable_counter if counter else self._meter.create_observable_gauge
        make(instrument.name, [callback], instrument.unit, instrument.text)

    def _follow(self) -> None:
        while True:
            self.record()
            gevent.sleep(EVERY)

    def _on_run_finished(self, **_: Any) -> None:
        self.record()
