"""Synthetic run folders with known truth: manifest.json, requests.parquet, server_metrics.parquet.

`make_run(folder, Shape(...))` writes one and returns the Truth. Arrivals meet a first-come-first-served
queue with `slots` servers (M/D/c when the lengths are constant and arrivals are Poisson), so a rate above
`Shape.capacity` saturates. Everything follows from `seed` (arrivals, lengths) and `noise_seed` (the
server's wobble and jitter, which requests fail): two runs with one seed have the same arrivals.

    tokenswarm bench synthetic FOLDER --records 1000000 --output 20
"""

import argparse
import dataclasses
import heapq
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from loadgen.master.overload import NOTICE, Seen, beyond_doubt
from loadgen.records.record import COMPLETED, FAILED, LOST, METRICS_SCHEMA, SCHEMA, UNFINISHED
from loadgen.records.watched import table

Floats = NDArray[np.float64]
STATUS_NAMES = [COMPLETED, FAILED, UNFINISHED, LOST]
_BUCKETS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, math.inf)


@dataclass(frozen=True)
class Shape:
    """What a synthetic run is like. Times in seconds, rates per second."""

    rate: float = 20.0
    duration: float = 60.0  # of the window
    warmup: float = 5.0
    drain: float = 60.0
    arrivals: str = "poisson"  # or "constant"
    steps: tuple[float, ...] = ()  # rates of equally long steps in the window, in place of `rate`
    seed: int = 1
    noise_seed: int = 1
    lanes: int = 1
    slots: int | None = None  # requests served at once; None: no queue
    ttft: float = 0.05  # from the start of service to the first token
    tpot: float = 0.01
    jitter: float = 0.0  # sd of the log of a request's own ttft and tpot
    wobble: float = 0.0  # sd of the log of the server's speed, which drifts slowly
    wobble_time: float = 5.0  # correlation time of that drift
    cold: float = 0.0  # extra ttft of the first request; decays with cold_time
    cold_time: float = 5.0
    prompt: int = 50
    output: int = 40  # tokens; the mean when output_sd > 0 (lognormal)
    output_sd: float = 0.0
    tokens_per_chunk: int = 1
    failed_share: float = 0.0
    broken_share: float = 0.0  # fail in the middle of the stream
    hung_share: float = 0.0  # never get a token: unfinished
    lost_lane: int | None = None  # this lane dies half way through the window
    dispatch_delay: float = 0.0002  # mean of an exponential
    network: float = 0.0005  # client's durations minus the server's
    prefix_hits: float = 0.0  # share of prompt tokens
    others: tuple[
        tuple[float, float, float], ...
    ] = ()  # from, to (s): share of the cores that a program takes
    variant: str = "baseline"
    target: str = "cpu-tiny"
    scenario_name: str = "chat-medium"
    slo: dict[str, float] | None = field(default_factory=lambda: {"ttft": 0.5, "tpot": 0.05, "share": 0.99})
    started_at: str = "2026-01-01T00:00:00+00:00"

    @property
    def service(self) -> float:
        """Seconds that a request of mean length holds a slot."""
        return self.ttft + self.tpot * (self.output - 1)

    @property
    def capacity(self) -> float:
        """Requests per second that the slots can serve."""
        return math.inf if self.slots is None else self.slots / self.service


@dataclass
class Truth:
    """What really happened, before any clock stopped looking. Arrays have one entry per arrival."""

    due: Floats
    sent: Floats
    first_token: Floats  # inf where it never comes
    last_token: Floats
    tokens: NDArray[np.int64]
    status: NDArray[np.int8]  # index into STATUS_NAMES
    window: tuple[float, float]
    drained_at: float

    @property
    def judged(self) -> NDArray[np.bool_]:
        return (self.due >= self.window[0]) & (self.due < self.window[1])

    def counts(self, judged_only: bool = True) -> dict[str, int]:
        status = self.status[self.judged] if judged_only else self.status
        return {name: int((status == code).sum()) for code, name in enumerate(STATUS_NAMES)}


def make_run(folder: Path, shape: Shape | None = None, **changes: Any) -> Truth:
    """Write a run folder; `changes` are fields of Shape. Returns the truth."""
    shape = dataclasses.replace(shape or Shape(), **changes)
    truth = simulate(shape)
    folder.mkdir(parents=True, exist_ok=True)
    write_records(folder / "requests.parquet", shape, truth)
    write_server_metrics(folder / "server_metrics.parquet", shape, truth)
    write_machine(folder / "machine.parquet", shape, truth)
    manifest = make_manifest(folder.name, shape, truth)
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2), encoding="utf-8")
    return truth


def write_machine(path: Path, shape: Shape, truth: Truth) -> None:
    """A machine of two cores: client and server take 0.2 and 0.5 of one, `shape.others` what it says."""
    t = np.arange(-1.0, truth.drained_at + 2.0)
    taken = sum(
        (2 * share * (np.clip(t, begin, end) - begin) for begin, end, share in shape.others), np.zeros(len(t))
    )
    lasted = t - t[0]
    used = {
        "client": 0.2 * lasted,
        "server": 0.5 * lasted,
        "others": taken,
        "interrupts": 0 * t,
        "steal": 0 * t,
    }
    used["idle"] = 2 * lasted - sum(used.values())
    series: list[tuple[str, dict[str, str], Floats]] = [
        ("host:cores", {}, np.full(len(t), 2.0)),
        ("host:server_known", {}, np.ones(len(t))),
    ]
    series += [("host:cpu_seconds_total", {"who": who}, values) for who, values in used.items()]
    series += [("host:other_cpu_seconds_total", {"process": "burner"}, taken)]
    for name, share in (("cpu", 0.5), ("busiest_thread", 0.45), ("run_queue", 0.01)):
        series.append((f"host:process_{name}_seconds_total", {"process": "EngineCore"}, share * lasted))
    rows = [
        (at, name, json.dumps({"machine": "master"} | labels, sort_keys=True), value)
        for name, labels, values in series
        for at, value in zip(t.tolist(), values.tolist(), strict=True)
    ]
    pq.write_table(table(rows), path)


def edit_manifest(folder: Path, **changes: Any) -> None:
    """Change keys of a written manifest; `lanes` changes every lane by the given keys."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    for lane in manifest["lanes"]:
        lane.update(changes.get("lanes", {}))
    manifest.update({key: value for key, value in changes.items() if key != "lanes"})
    path.write_text(json.dumps(manifest), encoding="utf-8")


def simulate(shape: Shape) -> Truth:
    """Arrivals through the queue; fates are decided and the drain cuts what is still running."""
    noise = np.random.default_rng(10_000 + shape.noise_seed)
    due, tokens = arrivals_of(shape, shape.seed)
    count = len(due)
    window = (shape.warmup, shape.warmup + shape.duration)
    sent = due + noise.exponential(shape.dispatch_delay, count) if shape.dispatch_delay else due.copy()
    speed = _speed(shape, noise, window[1])(due) * np.exp(shape.jitter * noise.standard_normal(count))
    prefill = (shape.ttft + shape.cold * np.exp(-due / shape.cold_time)) * speed
    decode = shape.tpot * speed * (tokens - 1)
    start = queue_starts(sent, prefill + decode, shape.slots)
    first = start + prefill + shape.network
    last = first + decode

    fate = noise.random(count)
    failed = fate < shape.failed_share + shape.broken_share
    broken = failed & (fate >= shape.failed_share)
    hung = ~failed & (fate < shape.failed_share + shape.broken_share + shape.hung_share)
    first[(failed & ~broken) | hung] = np.inf
    last[hung] = np.inf
    status = np.zeros(count, np.int8)
    cut = window[1] + shape.drain
    done_at = float(last[~hung].max(initial=window[1]))
    drained_at = cut if hung.any() or done_at > cut else min(cut, done_at + 0.01)
    status[last > drained_at] = 2
    status[failed & (last <= drained_at)] = 1
    if shape.lost_lane is not None:
        lane = np.arange(count) % shape.lanes
        status[(lane == shape.lost_lane) & (due > sum(window) / 2)] = 3
    return Truth(due, sent, first, last, tokens, status, window, drained_at)


def arrivals_of(shape: Shape, seed: int) -> tuple[Floats, NDArray[np.int64]]:
    """When the arrivals of a seed are due, and how many tokens they ask for."""
    load = np.random.default_rng(seed)
    due = _arrivals(shape, load)
    return due, _lengths(shape, load, len(due))


def stopped(truth: Truth, drain: float) -> tuple[Truth, str] | None:
    """The same, had it been stopped where the server falls behind beyond doubt, and why; None: it is not.

    Those who came later stood behind those that are left, so their times stay what they are.
    """
    sent, first = np.sort(truth.sent), np.sort(truth.first_token)
    start, end = truth.window
    seen: list[Seen] = []
    for t in np.arange(math.ceil(start), end):
        seen.append(Seen(float(t), int(np.searchsorted(sent, t)), int(np.searchsorted(first, t))))
        to_come = int(((truth.due >= t) & (truth.due < end)).sum())
        if (why := beyond_doubt(seen, truth.window, to_come)) is not None:
            break
    else:
        return None
    at = min(float(t) + NOTICE, end)
    kept, last = truth.due < at, float(truth.last_token[truth.due < at].max())
    drained = min(at + drain, last + 0.01)
    status = np.where(truth.last_token > drained, 2, 0).astype(np.int8)
    cut = Truth(
        truth.due[kept],
        truth.sent[kept],
        truth.first_token[kept],
        truth.last_token[kept],
        truth.tokens[kept],
        status[kept],
        (start, at),
        drained,
    )
    return cut, why


def queue_starts(arrivals: Floats, service: Floats, slots: int | None) -> Floats:
    """When each job starts in a first-come-first-served queue with that many servers."""
    if slots is None:
        return arrivals.copy()
    starts = np.empty_like(arrivals)
    free = [0.0] * slots
    for index, (arrival, length) in enumerate(zip(arrivals.tolist(), service.tolist(), strict=True)):
        begin = max(arrival, free[0])
        heapq.heapreplace(free, begin + length)
        starts[index] = begin
    return starts


def _arrivals(shape: Shape, rng: np.random.Generator) -> Floats:
    end = shape.warmup + shape.duration
    if shape.steps:
        rates = (shape.steps[0], *shape.steps)
        lasts = (shape.warmup, *[shape.duration / len(shape.steps)] * len(shape.steps))
        counts = rng.poisson(np.multiply(rates, lasts))
        starts = np.cumsum((0.0, *lasts[:-1]))
        parts = [start + last * rng.random(n) for start, last, n in zip(starts, lasts, counts, strict=True)]
        return np.sort(np.concatenate(parts))
    if shape.arrivals == "constant":
        return np.arange(round(shape.rate * end)) / shape.rate
    count = int(shape.rate * end + 10 * math.sqrt(shape.rate * end) + 10)
    due = np.cumsum(rng.exponential(1 / shape.rate, count))
    return due[due < end]


def _lengths(shape: Shape, rng: np.random.Generator, count: int) -> NDArray[np.int64]:
    if not shape.output_sd:
        return np.full(count, shape.output, np.int64)
    spread = math.log1p((shape.output_sd / shape.output) ** 2)
    drawn = rng.lognormal(math.log(shape.output) - spread / 2, math.sqrt(spread), count)
    return np.maximum(2, np.rint(drawn)).astype(np.int64)


def _speed(shape: Shape, rng: np.random.Generator, end: float) -> Any:
    """The server's slowness over time: exp of an AR(1) series with one value per second."""
    steps = int(end) + 2
    keep = math.exp(-1 / shape.wobble_time)
    noise = rng.standard_normal(steps) * math.sqrt(1 - keep**2)
    level = np.empty(steps)
    level[0] = rng.standard_normal()
    for step in range(1, steps):
        level[step] = keep * level[step - 1] + noise[step]
    slowness = np.exp(shape.wobble * level)
    return lambda times: np.interp(times, np.arange(steps), slowness)


def write_records(path: Path, shape: Shape, truth: Truth, rows_per_group: int = 50_000) -> None:
    with pq.ParquetWriter(path, SCHEMA, compression="zstd", compression_level=1) as writer:
        for begin in range(0, max(len(truth.due), 1), rows_per_group):
            writer.write_table(_table(shape, truth, slice(begin, begin + rows_per_group)))


def _table(shape: Shape, truth: Truth, rows: slice) -> pa.Table:
    due, sent, tokens = truth.due[rows], truth.sent[rows], truth.tokens[rows]
    first, last, status = truth.first_token[rows], truth.last_token[rows], truth.status[rows]
    count, lost = len(due), truth.status[rows] == 3
    numbers = np.arange(count) + rows.start
    stopped = np.full(count, truth.drained_at)
    broken = (status == 1) & np.isfinite(first)
    stopped[broken] = (first[broken] + last[broken]) / 2
    stopped[(status == 1) & ~broken] = sent[(status == 1) & ~broken] + shape.ttft
    closed = np.where(status == 0, last, stopped)
    closed[lost] = np.nan
    got_first = (first <= closed) & ~lost

    step = shape.tokens_per_chunk
    decode = np.where(got_first, last, 0) - np.where(got_first, first, 0)
    pace = decode / np.maximum(tokens - 1, 1)
    chunks = np.where(got_first, -(-tokens // step), 0)
    offsets = np.concatenate([[0], np.cumsum(chunks)])
    index = np.arange(offsets[-1]) - np.repeat(offsets[:-1], chunks)
    upto = np.minimum((index + 1) * step, np.repeat(tokens, chunks))
    times = np.repeat(first, chunks) + (upto - 1) * np.repeat(pace, chunks)
    times[index == 0] = first[chunks > 0]
    sizes = upto - index * step
    seen = times <= np.repeat(closed, chunks) + 1e-9
    kept = np.add.reduceat(np.append(seen, False), offsets[:-1]) if len(times) else np.zeros(count, np.int64)
    kept = np.where(chunks > 0, kept, 0)
    times, sizes = times[seen], sizes[seen]
    ends = np.concatenate([[0], np.cumsum(kept)])
    sums = np.concatenate([[0], np.cumsum(sizes)])
    output = sums[ends[1:]] - sums[ends[:-1]]
    final = np.where(kept > 0, times[np.maximum(ends[1:] - 1, 0)] if len(times) else np.nan, np.nan)

    def nullable(values: Any, missing: Any) -> pa.Array:
        return pa.array(values, mask=np.asarray(missing, bool))

    names = np.array(STATUS_NAMES)
    columns: dict[str, Any] = {
        "arrival": numbers.astype(np.int32),
        "lane": (numbers % shape.lanes).astype(np.int16),
        "workload": pa.DictionaryArray.from_arrays(np.zeros(count, np.int8), ["chat"]).cast(pa.string()),
        "conversation": pa.nulls(count, pa.int32()),
        "turn": pa.nulls(count, pa.int16()),
        "due": due,
        "sent": nullable(sent, lost),
        "first_byte": nullable(first, ~got_first),
        "first_token": nullable(first, ~got_first),
        "first_answer": nullable(first, ~got_first),
        "last_token": nullable(final, kept == 0),
        "end": nullable(closed, lost),
        "status": pa.DictionaryArray.from_arrays(status, names).cast(pa.string()),
        "error": nullable(np.full(count, "HTTP 500"), status != 1),
        "http_status": nullable(np.where(status == 1, 500, 200).astype(np.int16), lost),
        "finish_reason": nullable(np.full(count, "length"), status != 0),
        "prompt_asked": np.full(count, shape.prompt, np.int32),
        "prompt_tokens": nullable(np.full(count, shape.prompt, np.int32), status != 0),
        "output_asked": tokens.astype(np.int32),
        "output_tokens": nullable(output.astype(np.int32), lost),
        "reasoning_tokens": pa.nulls(count, pa.int32()),
        "tokens_from": nullable(np.where(status == 0, "usage", "chunks"), lost),
        "chunk_times": pa.ListArray.from_arrays(ends.astype(np.int32), times),
        "chunk_tokens": pa.ListArray.from_arrays(ends.astype(np.int32), sizes.astype(np.int32)),
        "new_connection": nullable(np.zeros(count, bool), lost),
    }
    columns |= {name: pa.nulls(count) for name in SCHEMA.names if name not in columns}
    return pa.table(
        [pa.array(columns[name]).cast(SCHEMA.field(name).type) for name in SCHEMA.names], schema=SCHEMA
    )


def write_server_metrics(path: Path, shape: Shape, truth: Truth) -> None:
    """What /metrics would have said once a second, from one second before the run to one after."""
    served = np.isfinite(truth.first_token)
    first, last, arrived = truth.first_token[served], truth.last_token[served], truth.sent[served]
    tokens, ttft = truth.tokens[served], first - arrived - shape.network
    finished = last <= truth.drained_at
    latency = (last - arrived - shape.network)[finished]
    starts = np.concatenate([[-1.0], np.arange(0.0, truth.drained_at), [truth.drained_at + 1]])
    order = np.sort(arrived), np.sort(first), np.sort(last)
    rows: list[tuple[Floats, str, str, Floats]] = []

    def add(name: str, values: Any, **labels: str) -> None:
        rows.append((starts, f"vllm:{name}", json.dumps(labels, sort_keys=True), np.asarray(values, float)))

    def histogram(name: str, ends: Floats, values: Floats) -> None:
        by_end = np.argsort(ends)
        ends, values = ends[by_end], values[by_end]
        for bound in _BUCKETS:
            below = np.sort(ends[values <= bound])
            label = "+Inf" if math.isinf(bound) else repr(bound)
            add(f"{name}_bucket", np.searchsorted(below, starts, "right"), le=label)
        seen = np.searchsorted(ends, starts, "right")
        add(f"{name}_count", seen)
        add(f"{name}_sum", np.concatenate([[0.0], np.cumsum(values)])[seen])

    running = np.searchsorted(order[0], starts, "right") - np.searchsorted(order[2], starts, "right")
    slots = shape.slots or len(truth.due)
    add("num_requests_running", np.minimum(running, slots))
    add("num_requests_waiting", np.maximum(running - slots, 0))
    add("kv_cache_usage_perc", np.minimum(running, slots) / max(slots, 1) * 0.5)
    prompts = np.searchsorted(order[1], starts, "right") * shape.prompt
    add("prompt_tokens_total", prompts)
    add("prefix_cache_queries_total", prompts)
    add("prefix_cache_hits_total", np.floor(prompts * shape.prefix_hits))
    add("generation_tokens_total", [_generated(first, last, tokens, now) for now in starts])
    histogram("time_to_first_token_seconds", first, ttft)
    histogram("e2e_request_latency_seconds", last[finished], latency)
    columns = (
        np.concatenate([row[0] for row in rows]),
        pa.array([row[1] for row in rows for _ in starts]),
        pa.array([row[2] for row in rows for _ in starts]),
        np.concatenate([row[3] for row in rows]),
    )
    pq.write_table(pa.table([pa.array(c) for c in columns], schema=METRICS_SCHEMA), path, compression="zstd")


def _generated(first: Floats, last: Floats, tokens: NDArray[np.int64], now: float) -> float:
    running = (first <= now) & (now < last)
    part = (now - first[running]) / np.maximum(last[running] - first[running], 1e-12)
    return float(tokens[last <= now].sum() + np.floor(1 + part * (tokens[running] - 1)).sum())


def make_manifest(name: str, shape: Shape, truth: Truth) -> dict[str, Any]:
    count = len(truth.due)
    end = truth.window[1]
    lanes = []
    for lane in range(shape.lanes):
        arrivals = len(range(lane, count, shape.lanes))
        lost = lane == shape.lost_lane
        lanes.append(
            {"lane": lane, "worker": f"worker-{lane}", "host": "localhost", "arrivals": arrivals}
            | {"records": arrivals - int((truth.status[lane :: shape.lanes] == 3).sum())}
            | {"batches_sent": None if lost else 20, "batches_received": 12 if lost else 20, "lost": lost}
            | {
                "clock_offset_s": 0.0,
                "clock_rtt_s": 0.0,
                "clock_drift_s": 0.0,
                "cpu_s": 0.2 * end,
                "wall_s": end,
            }
            | {"stall_p99_ms": 0.8, "stall_max_ms": 4.0, "connections": 40, "peak_in_flight": 40}
            | {"open_files_limit": 65536, "beside_server": True, "cores": 2}
            | {"round_trip_s": 0.00005, "segments": 20_000, "segments_lost": 0}
        )
    process: Any = shape.arrivals
    if shape.steps:
        listed = [{"rate": step, "duration": 1} for step in shape.steps]
        process = {"process": "stages", "stages": listed}
    rate = None if shape.steps else shape.rate
    scenario = {"arrivals": process, "rate": rate, "duration": shape.duration, "slo": shape.slo}
    return {
        "format": 1,
        "run": name,
        "variant": shape.variant,
        "target": shape.target,
        "model": "synthetic",
        "host": "http://127.0.0.1:8000",
        "scenario": scenario,
        "scenario_name": shape.scenario_name,
        "scenario_hash": "0123456789ab",
        "seed": shape.seed,
        "window": {"start": truth.window[0], "end": end},
        "schedule_end": end,
        "drain_limit": shape.drain,
        "drained_at": truth.drained_at,
        "started_at": shape.started_at,
        "ended_at": shape.started_at,
        "ended": "complete",
        "ended_why": "the schedule and the drain are over",
        "due": count,
        "scheduled": count,
        "prompts": {"how": "tokenize", "exact": True, "unique": True, "worst_error": 0},
        "lanes": lanes,
        "server": None,
        "versions": {
            "tokenswarm": "0" * 40,
            "python": "3.11",
            "locust": "2.47.0",
            "gevent": "26.9.0",
            "vllm": "0.32.0",
        },
        "machine": {
            "cpu": "synthetic",
            "cores": 2,
            "memory_bytes": 2**34,
            "kernel": "0",
            "hostname_hash": "0",
        },
        "client_error": None,
    }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("folder", type=Path)
    parser.add_argument("--records", type=int, help="about this many; sets the duration")
    for entry in dataclasses.fields(Shape):
        kind = {"int": int, "float": float, "int | None": int}.get(
            str(getattr(entry.type, "__name__", entry.type)), str
        )
        if entry.name != "slo":
            parser.add_argument(f"--{entry.name.replace('_', '-')}", type=kind, default=entry.default)


def run(given: argparse.Namespace) -> int:
    """Write the folder."""
    shape = {each.name: getattr(given, each.name) for each in dataclasses.fields(Shape) if each.name != "slo"}
    if given.records:
        shape["duration"] = given.records / given.rate - given.warmup
    truth = make_run(given.folder, Shape(**shape))
    print(f"{given.folder}: {len(truth.due)} records, {truth.counts()}")
    return 0
