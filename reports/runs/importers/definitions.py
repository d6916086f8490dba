"""How tools reckon their figures from requests: mean, and percentiles by one of two rules.

`linear` interpolates between neighbours (numpy's default: vLLM, SGLang, AIPerf, inference-perf); `nearest`
takes an observation (nearest rank: GuideLLM, evalscope). Both are of the requests that the tool counts.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from loadgen.records.record import COMPLETED
from reports.runs.importers.number_lists import NumberLists
from reports.runs.importers.requests import Requests
from reports.runs.importers.streamed_ranks import values_at
from reports.runs.runs import Floats, Mask

Rule = Literal["linear", "nearest"]
RULES: tuple[Rule, ...] = ("linear", "nearest")
_METHODS: dict[Rule, Literal["linear", "inverted_cdf"]] = {"linear": "linear", "nearest": "inverted_cdf"}
SHARES = {"p50": 50, "p90": 90, "p95": 95, "p99": 99}
NAMED = {"mean": "mean", "median": "p50", "p90": "p90", "p95": "p95", "p99": "p99"}  # as most files have them


def statistics(durations: Mapping[str, ArrayLike], rule: Rule = "linear") -> dict[str, float]:
    """'<metric>_mean', '<metric>_p50', … of each metric that has values; NaN among them are left out."""
    found = {}
    for metric, each in durations.items():
        kept = np.asarray(each, dtype=np.float64)
        if np.isnan(kept).any():
            kept = kept[~np.isnan(kept)]
        if len(kept):
            found[f"{metric}_mean"] = float(kept.mean())
            values = np.percentile(kept, list(SHARES.values()), method=_METHODS[rule])
            found |= {f"{metric}_{name}": float(at) for name, at in zip(SHARES, values, strict=True)}
    return found


def pooled(metric: str, lists: NumberLists, kept: Mask, rule: Rule = "linear") -> dict[str, float]:
    """The same of all numbers in the lists of the requests that are kept; shape (requests,)."""

    def parts() -> Iterator[Floats]:
        for part in lists.parts():
            chosen = kept[part.rows]
            yield part.numbers if chosen.all() else part.numbers[np.repeat(chosen, part.counts)]

    count = int(lists.counts[kept].sum())
    if not count:
        return {}
    found = {f"{metric}_mean": math.fsum(float(each.sum()) for each in parts()) / count}
    places = [_place(share, count, rule) for share in SHARES.values()]
    ranks = sorted({min(rank + step, count - 1) for rank, _ in places for step in (0, 1)})
    at = dict(zip(ranks, values_at(ranks, count, parts), strict=True))
    for name, (rank, beyond) in zip(SHARES, places, strict=True):
        low, high = at[rank], at[min(rank + 1, count - 1)]
        found[f"{metric}_{name}"] = low + beyond * (high - low)
    return found


def _place(percent: int, count: int, rule: Rule) -> tuple[int, float]:
    """(rank from 0, by how much of a step beyond it) of a percentile."""
    if rule == "nearest":
        return max(-(-percent * count // 100) - 1, 0), 0.0
    whole, beyond = divmod(percent * (count - 1), 100)
    return whole, beyond / 100


def per_token(ttft: Floats, latency: Floats, tokens: Floats) -> Floats:
    """(latency - TTFT) / (tokens - 1) of requests with 2 tokens or more, else NaN."""
    more = tokens > 1
    return np.divide(latency - ttft, tokens - 1, out=np.full(len(ttft), np.nan), where=more)


def figures(
    requests: Requests,
    gaps: NumberLists,
    *,
    tpot_to: Literal["last", "end"],
    latency_to: Literal["last", "end"],
    took: float | None,
    rule: Rule = "linear",
) -> dict[str, float]:
    """Those of the completed requests, by row. `gaps`: of each request. `took`: s, what rates are over."""
    done = np.array([each == COMPLETED for each in requests.status], dtype=bool)
    times = {name: np.array(getattr(requests, name))[done] for name in ("sent", "first", "last", "end")}
    tokens = np.array(requests.output_tokens)[done]
    found = statistics(
        {
            "ttft": times["first"] - times["sent"],
            "tpot": per_token(times["first"], times[tpot_to], tokens),
            "latency": times[latency_to] - times["sent"],
        },
        rule,
    )
    found |= pooled("itl", gaps, done, rule)
    found |= {"completed": float(done.sum()), "failed": float((~done).sum())}
    if took:
        found["output_token_throughput"] = float(np.nansum(tokens)) / took
        found["completed_rate"] = float(done.sum()) / took
    return found
