"""The metronome's /metrics, under vLLM's names and with vLLM's buckets (vLLM 0.32, v1/metrics)."""

from collections.abc import Callable, Iterable

import numpy as np
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

# fmt: off
_LATENCY = (0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680)
_TTFT = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80,
         160, 640, 2560)
_ITL = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80)
# fmt: on


class _Histogram:
    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = np.array(bounds)
        self._counts = np.zeros(len(bounds) + 1, dtype=np.int64)
        self._sum = 0.0

    def observe(self, values: np.ndarray) -> None:
        where = np.searchsorted(self._bounds, values)  # a value on a bound belongs below it
        self._counts += np.bincount(where, minlength=len(self._counts))
        self._sum += float(values.sum())

    def samples(self) -> tuple[list[tuple[str, float]], float]:
        names = [repr(float(bound)) for bound in self._bounds] + ["+Inf"]
        return list(zip(names, np.cumsum(self._counts).tolist(), strict=True)), self._sum


class Gauges(Collector):
    """Counts of what the server did; histograms are fed when a request has ended."""

    def __init__(self, model: str, running: Callable[[], int], waiting: Callable[[], int]) -> None:
        self.prompt_tokens = 0
        self.generation_tokens = 0
        self.finished = {"length": 0, "abort": 0}
        self._running = running
        self._waiting = waiting
        self._labels = {"engine": "0", "model_name": model}
        self._histograms = {
            "time_to_first_token_seconds": _Histogram(_TTFT),
            "inter_token_latency_seconds": _Histogram(_ITL),
            "request_time_per_output_token_seconds": _Histogram(_ITL),
            "e2e_request_latency_seconds": _Histogram(_LATENCY),
            "request_queue_time_seconds": _Histogram(_LATENCY),
            "request_prefill_time_seconds": _Histogram(_LATENCY),
            "request_decode_time_seconds": _Histogram(_LATENCY),
        }
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def complete(self, read: float, start: float, sent: np.ndarray) -> None:
        """One request was answered in full; `sent` holds the time of each token."""
        self.finished["length"] += 1
        seconds = {
            "time_to_first_token_seconds": sent[:1] - read,
            "inter_token_latency_seconds": np.diff(sent),
            "e2e_request_latency_seconds": sent[-1:] - read,
            "request_queue_time_seconds": np.array([start - read]),
            "request_prefill_time_seconds": sent[:1] - start,
            "request_decode_time_seconds": sent[-1:] - sent[:1],
        }
        if len(sent) > 1:
            tpot = (sent[-1:] - sent[:1]) / (len(sent) - 1)
            seconds["request_time_per_output_token_seconds"] = tpot
        for name, values in seconds.items():
            self._histograms[name].observe(values)

    def collect(self) -> Iterable[Metric]:
        names, values = list(self._labels), list(self._labels.values())
        for name, count in (
            ("num_requests_running", self._running()),
            ("num_requests_waiting", self._waiting()),
        ):
            gauge = GaugeMetricFamily(f"vllm:{name}", name.replace("_", " "), labels=names)
            gauge.add_metric(values, count)
            yield gauge
        for name, count in (
            ("prompt_tokens", self.prompt_tokens),
            ("generation_tokens", self.generation_tokens),
            ("prefix_cache_queries", 0),  # it has no prefix cache and never preempts
            ("prefix_cache_hits", 0),
            ("num_preemptions", 0),
        ):
            counter = CounterMetricFamily(f"vllm:{name}", name.replace("_", " "), labels=names)
            counter.add_metric(values, count)
            yield counter
        success = CounterMetricFamily(
            "vllm:request_success", "requests ended", labels=[*names, "finished_reason"]
        )
        for reason, count in self.finished.items():
            success.add_metric([*values, reason], count)
        yield success
        for name, histogram in self._histograms.items():
            family = HistogramMetricFamily(f"vllm:{name}", name.replace("_", " "), labels=names)
            buckets, total = histogram.samples()
            family.add_metric(values, buckets, total)
            yield family

    def text(self) -> bytes:
        """The Prometheus text format."""
        return generate_latest(self._registry)
