"""How tools reckon their figures from requests: mean, and percentiles by one of two rules.

`linear` interpolates between neighbours (numpy's default: vLLM, SGLang, AIPerf, inference-perf); `nearest`
takes an observation (nearest rank: GuideLLM, evalscope). Both are of the requests that the tool counts.
"""

from collections.abc import Mapping, Sequence
from itertools import compress
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from loadgen.records.record import COMPLETED
from reports.runs.importers.requests import Requests
from reports.runs.runs import Floats

Rule = Literal["linear", "nearest"]
_METHODS: dict[Rule, Literal["linear", "inverted_cdf"]] = {"linear": "linear", "nearest": "inverted_cdf"}
SHARES = {"p50": 50, "p90": 90, "p95": 95, "p99": 99}
NAMED = {"mean": "mean", "median": "p50", "p90": "p90", "p95": "p95", "p99": "p99"}  # as most files have them


def statistics(durations: Mapping[str, ArrayLike], rule: Rule = "linear") -> dict[str, float]:
    """'<metric>_mean', '<metric>_p50', … of each metric that has values; NaN among them are left out.

    The arrays are put into another order: a copy of millions of gaps would be the largest thing in memory.
    """
    found = {}
    for metric, values in durations.items():
        kept = np.asarray(values, dtype=np.float64)
        if np.isnan(kept).any():
            kept = kept[~np.isnan(kept)]
        if len(kept):
            found[f"{metric}_mean"] = float(kept.mean())
            values_at = np.percentile(
                kept, list(SHARES.values()), method=_METHODS[rule], overwrite_input=True
            )
            found |= {f"{metric}_{name}": float(at) for name, at in zip(SHARES, values_at, strict=True)}
    return found


def per_token(ttft: Floats, latency: Floats, tokens: Floats) -> Floats:
    """(latency - TTFT) / (tokens - 1) of requests with 2 tokens or more, else NaN."""
    more = tokens > 1
    return np.divide(latency - ttft, tokens - 1, out=np.full(len(ttft), np.nan), where=more)


def figures(
    requests: Requests,
    gaps: Sequence[Floats],
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
            "itl": np.concatenate([np.zeros(0), *compress(gaps, done)]),
            "latency": times[latency_to] - times["sent"],
        },
        rule,
    )
    found |= {"completed": float(done.sum()), "failed": float((~done).sum())}
    if took:
        found["output_token_throughput"] = float(np.nansum(tokens)) / took
        found["completed_rate"] = float(done.sum()) / took
    return found
