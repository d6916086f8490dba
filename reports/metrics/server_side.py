"""What the server says about one run: where TTFT went, how large the batch was, what a step cost.

Histograms of times are differenced between the start and the end of the run, warm-up included, and so
are the client's own means beside them; counters of work between the start of the window and the end of
the drain. Gauges are averaged over the window, weighted by time.
"""

import numpy as np
from numpy.typing import NDArray

from common import commandline
from reports.document.run import ServerSide
from reports.metrics import request_metrics
from reports.metrics.gateway import gateway
from reports.metrics.rates import amounts
from reports.runs.runs import Run
from reports.runs.server_metrics import Histogram, Together

Floats = NDArray[np.float64]

QUEUE = "vllm:request_queue_time_seconds"
PREFILL = "vllm:request_prefill_time_seconds"
DECODE = "vllm:request_decode_time_seconds"
INFERENCE = "vllm:request_inference_time_seconds"
TTFT = "vllm:time_to_first_token_seconds"
STEP_TOKENS = "vllm:iteration_tokens_total"  # a histogram with one observation for each engine step
COUNTS_AGREE = 0.01  # share by which client and server may differ in how many first tokens they saw
ROUNDING = 0.001  # s; two clocks, one of them read in a busy loop
FLOPS = "vllm:estimated_flops_per_gpu_total"
READ_BYTES = "vllm:estimated_read_bytes_per_gpu_total"
WRITE_BYTES = "vllm:estimated_write_bytes_per_gpu_total"
KV_CACHE = ("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc")  # new name, old name


def server_side(run: Run) -> ServerSide:
    """Everything of one run that explains its latencies. What was not exported is None."""
    flops, reads, writes = (_increase(run, name) for name in (FLOPS, READ_BYTES, WRITE_BYTES))
    moved = (
        None if reads is None or writes is None else (reads + writes) or None
    )  # vLLM's 0: it did not count
    step_tokens = _histogram(run, STEP_TOKENS, run.window[0])
    if _api_servers(run) > 1:  # each observes what it gets of a step, so a step counts once for each of them
        step_tokens = None
    steps = step_tokens.count if step_tokens else None
    running, waiting = _gauge(run, "vllm:num_requests_running"), _gauge(run, "vllm:num_requests_waiting")
    cache = _cache(run, "mean")
    fullest = _cache(run, "max")
    way = gateway(run)
    return ServerSide(
        dispatch_delay_mean=_lag(run),
        network_mean=_network(run),
        gateway_ttft=way.ttft if way else None,
        gateway_low=way.low if way else None,
        gateway_high=way.high if way else None,
        gateway_past=way.past if way else None,
        front_end_mean=_front_end(run),
        ttft_mean=_mean(run, TTFT),
        queue_mean=_mean(run, QUEUE),
        prefill_mean=_mean(run, PREFILL),
        parts_count=_count(run, QUEUE),
        first_tokens=int((~np.isnan(run.records.numbers("first_token"))).sum()),
        decode_mean=_mean(run, DECODE),
        inference_mean=_mean(run, INFERENCE),
        running_mean=running and running[0],
        running_max=running and running[1],
        waiting_mean=waiting and waiting[0],
        waiting_max=waiting and waiting[1],
        kv_cache_mean=cache and cache[0],
        kv_cache_max=fullest and fullest[1],
        preemptions=_increase(run, "vllm:num_preemptions_total"),
        prefix_hit_share=_ratio(
            _increase(run, "vllm:prefix_cache_hits_total"), _increase(run, "vllm:prefix_cache_queries_total")
        ),
        steps=steps,
        tokens_per_step=step_tokens.mean if step_tokens else None,
        flops=flops,
        read_bytes=reads,
        write_bytes=writes,
        bytes_per_step=_ratio(moved, steps),
        flops_per_byte=_ratio(flops, moved),
        gpu_power_mean=_power(run),
        joules_per_token=request_metrics.rate(run, "energy_per_token").value,
    )


def _api_servers(run: Run) -> int:
    """How many processes speak HTTP, as far as the launcher's command says."""
    value = commandline.flag(commandline.words(run.manifest.server or {}), "--api-server-count")
    return int(value) if value and value.isdigit() else 1


def mean_over(times: Floats, values: Floats, start: float, end: float) -> float | None:
    """The mean of a gauge over [start, end), each value holding until the next scrape."""
    if not len(times):
        return None
    edges = np.clip(np.append(times, max(end, times[-1])), start, end)
    held = np.diff(edges)
    return float(held @ values / held.sum()) if held.sum() > 0 else None


def _cache(run: Run, how: Together) -> tuple[float, float] | None:
    """A share of one engine's memory: of several it is no sum."""
    return next((found for name in KV_CACHE if (found := _gauge(run, name, how)) is not None), None)


def _gauge(run: Run, name: str, how: Together = "sum") -> tuple[float, float] | None:
    """(mean, maximum) over the window."""
    found = run.server.gauge(name, how)
    if found is None:
        return None
    times, values = found
    mean = mean_over(times, values, *run.window)
    inside = values[(times >= run.window[0]) & (times < run.window[1])]
    return (mean, float(inside.max())) if mean is not None and len(inside) else None


def _increase(run: Run, name: str) -> float | None:
    return run.server.increase(name, run.window[0], run.manifest.drained_at)


def _histogram(run: Run, name: str, start: float = 0.0) -> Histogram | None:
    found = run.server.histogram(name, start, run.manifest.drained_at)
    return found if found is not None and found.count > 0 else None


def _mean(run: Run, name: str) -> float | None:
    found = _histogram(run, name)
    return found.mean if found else None


def _count(run: Run, name: str) -> float | None:
    found = _histogram(run, name)
    return found.count if found else None


def _ratio(part: float | None, whole: float | None) -> float | None:
    return part / whole if part is not None and whole else None


def _lag(run: Run) -> float | None:
    """None where the run's source has no due times: what stands for them is when requests were sent."""
    if "dispatch_delay_p99" in run.limits.rules:
        return None
    return _mean_of(run.records.numbers("sent") - run.records.numbers("due"))


def _network(run: Run) -> float | None:
    """Client's mean TTFT less the server's, where both saw the same number of first tokens.

    Not where it is negative: no token arrives before it leaves, so the two then saw other requests.
    """
    server = _histogram(run, TTFT)
    seen = run.records.numbers("first_token") - run.records.numbers("sent")
    ours, count = _mean_of(seen), int((~np.isnan(seen)).sum())
    if server is None or server.mean is None or ours is None:
        return None
    if abs(server.count - count) > COUNTS_AGREE * count or ours < server.mean - ROUNDING:
        return None
    return ours - server.mean


def _front_end(run: Run) -> float | None:
    """The server's mean TTFT less its queue and prefill: HTTP, tokenizing, the way to the engine and back.

    The engine counts queue and prefill of requests that finished, the front end every first token. Not where
    they are different requests (COUNTS_AGREE), nor where the rest is negative.
    """
    whole, parts = _histogram(run, TTFT), [_histogram(run, name) for name in (QUEUE, PREFILL)]
    if whole is None or whole.mean is None:
        return None
    means = [part.mean for part in parts if part is not None and part.mean is not None]
    counts = [part.count for part in parts if part is not None]
    if len(means) < len(parts) or any(
        abs(count - whole.count) > COUNTS_AGREE * whole.count for count in counts
    ):
        return None
    rest = whole.mean - sum(means)
    return max(rest, 0.0) if rest >= -ROUNDING else None


def _power(run: Run) -> float | None:
    """W of all the server's GPUs, over the window."""
    joules = amounts(run, "energy_per_token").total
    return None if np.isnan(joules) or not run.window_length else joules / run.window_length


def _mean_of(values: Floats) -> float | None:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else None
