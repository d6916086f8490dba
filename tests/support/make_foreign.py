"""Result files of other tools for the tests of the audit: small, deterministic, in their own formats."""

import json
from pathlib import Path
from typing import Any

import numpy as np

EPOCH = 1_700_000_000.0
SENT, SECONDS = 767, 40.0


def make_story(folder: Path) -> tuple[Path, Path]:
    """The harness's pair that this project began with, as (baseline, optimized).

    767 chats sent in 40 s. The tool's pool lets 100 be answered at a time (baseline), the optimized server
    8; when the tool stops, 66 and 56 have finished and 601 and 703 have no first token. The tool counts
    each of the 767 without an error as successful, and its other figures are of the finished ones.
    """
    baseline = _harness(slots=100, finished=66, prefill=0.65, tpot=0.2317, spread=0.45, seed=8)
    optimized = _harness(slots=8, finished=56, prefill=0.02, tpot=0.0335, spread=0.03, seed=7)
    paths = folder / "baseline.json", folder / "optimized.json"
    for path, found in zip(paths, (baseline, optimized), strict=True):
        path.write_text(json.dumps(found), encoding="utf-8")
    return paths


def make_vllm(
    path: Path,
    count: int = 1200,
    limit: int | None = 32,
    slots: int = 64,
    rate: float | None = None,
    tpot: float = 0.02,
    seed: int = 1,
) -> Path:
    """A result of vllm bench serve whose server answers `slots` at a time, of requests at a rate or at none.

    Answers have 40 to 60 tokens, so that those which were sent together soon part.
    """
    rng = np.random.default_rng(seed)
    due = np.zeros(count) if rate is None else np.cumsum(rng.exponential(1 / rate, count))
    tokens = rng.integers(40, 61, count)
    clients, server = np.zeros(limit or count), np.zeros(slots)
    sent, first = np.empty(count), np.empty(count)
    gaps = [tpot * rng.uniform(0.8, 1.2, each - 1) for each in tokens]
    for k in range(count):
        client, slot = int(clients.argmin()), int(server.argmin())
        sent[k] = max(due[k], clients[client])
        first[k] = max(sent[k], server[slot]) + 0.01
        clients[client] = server[slot] = first[k] + gaps[k].sum()
    last = first + [each.sum() for each in gaps]
    took = float(last.max())
    found = {
        "backend": "openai",
        "model_id": "m",
        "num_prompts": count,
        "request_rate": rate or "inf",
        "burstiness": 1.0,
        "max_concurrency": limit,
        "duration": took,
        "completed": count,
        "failed": 0,
        "request_throughput": count / took,
        "output_throughput": float(tokens.sum()) / took,
        "median_ttft_ms": 1000 * float(np.median(first - sent)),
        "median_e2el_ms": 1000 * float(np.median(last - sent)),
        "input_lens": [100] * count,
        "output_lens": tokens.tolist(),
        "start_times": (5000 + sent).tolist(),
        "ttfts": (first - sent).tolist(),
        "itls": [each.tolist() for each in gaps],
        "latencies": (last - sent).tolist(),
        "queue_times": (sent - due).tolist(),
        "errors": [""] * count,
    }
    path.write_text(json.dumps(found), encoding="utf-8")
    return path


def _harness(
    slots: int, finished: int, prefill: float, tpot: float, spread: float, seed: int
) -> dict[str, Any]:
    """Whoever finds a slot free is answered at once; answers are as long as lets `finished` end in time."""
    rng = np.random.default_rng(seed)
    sent = np.sort(rng.uniform(0, SECONDS, SENT))
    sent = (sent - sent[0]) * SECONDS / (sent[-1] - sent[0])
    length = np.exp(spread * rng.standard_normal(SENT))
    pace = tpot * rng.normal(1.0, 0.03, SENT)
    shortest, longest = 10.0, 2000.0
    for _ in range(60):
        tokens = (shortest + longest) / 2
        first, last, wanted = _served(sent, pace, np.rint(tokens * length), slots, prefill)
        if (last <= SECONDS).sum() > finished:
            shortest = tokens
        else:
            longest = tokens
    first, last, wanted = _served(sent, pace, np.rint(longest * length), slots, prefill)
    assert (last <= SECONDS).sum() == finished
    return _as_file(sent, first, last, wanted)


def _served(sent: Any, pace: Any, wanted: Any, slots: int, prefill: float) -> tuple[Any, Any, Any]:
    """First and last token of each request of a first-come-first-served pool, and its tokens."""
    free = np.zeros(slots)
    first, last = np.empty(SENT), np.empty(SENT)
    for k in range(SENT):
        slot = int(free.argmin())
        first[k] = max(sent[k], free[slot]) + prefill
        last[k] = first[k] + pace[k] * (wanted[k] - 1)
        free[slot] = last[k]
    return first, last, wanted.astype(int)


def _as_file(sent: Any, first: Any, last: Any, wanted: Any) -> dict[str, Any]:
    done = last <= SECONDS
    begun = first <= SECONDS
    records = []
    for k in range(len(sent)):
        part = 1 + int((wanted[k] - 1) * (SECONDS - first[k]) / (last[k] - first[k])) if begun[k] else 0
        count = int(wanted[k]) if done[k] else part
        records.append(
            {
                "timestamp_sent": EPOCH + sent[k],
                "timestamp_first_token": EPOCH + first[k] if begun[k] else None,
                "timestamp_last_token": EPOCH + last[k] if done[k] else None,
                "input_tokens": 50,
                "output_tokens": count,
                "prompt_text": "a prompt",
                "output_text": "an answer",
                "error": None,
            }
        )
    latency, ttft = (last - sent)[done], (first - sent)[begun]
    tpot = ((last - first) / (wanted - 1))[done]
    metrics = {
        "total_requests": len(sent),
        "successful_requests": len(sent),
        "throughput_rps": len(sent) / SECONDS,
        "throughput_tok_s": float(wanted[done].sum()) / SECONDS,
    }
    for name, values in (("ttft", ttft), ("tpot", tpot), ("latency", latency)):
        for share in (50, 99):
            metrics[f"{name}_p{share}_ms"] = 1000 * float(np.percentile(values, share))
    return {"config": {"model": "m", "rate": 20.0}, "metrics": metrics, "records": records}
