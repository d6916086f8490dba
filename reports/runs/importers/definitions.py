"""How tools reckon their figures from requests: mean, and percentiles by one of two rules.

`linear` interpolates between neighbours (numpy's default: vLLM, SGLang, AIPerf, inference-perf); `nearest`
takes an observation (nearest rank: GuideLLM, evalscope). Both are of the requests that the tool counts.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from reports.runs.runs import Floats

SHARES = {"p50": 50, "p90": 90, "p95": 95, "p99": 99}


def linear(values: Floats, share: float) -> float:
    """The percentile (0 to 100) between the two neighbours."""
    return float(np.percentile(values, share))


def nearest(values: Floats, share: float) -> float:
    """The smallest observation that at least that share (0 to 100) does not exceed."""
    return float(np.percentile(values, share, method="inverted_cdf"))


def statistics(durations: Mapping[str, ArrayLike], rule: str = "linear") -> dict[str, float]:
    """'<metric>_mean', '<metric>_p50', … of each metric that has values; NaN among them are left out."""
    percentile = {"linear": linear, "nearest": nearest}[rule]
    found = {}
    for metric, values in durations.items():
        kept = np.asarray(values, dtype=np.float64)
        kept = kept[~np.isnan(kept)]
        if len(kept):
            found[f"{metric}_mean"] = float(kept.mean())
            found |= {f"{metric}_{name}": percentile(kept, share) for name, share in SHARES.items()}
    return found


def per_token(ttft: Floats, latency: Floats, tokens: Floats) -> Floats:
    """(latency - TTFT) / (tokens - 1) of requests with 2 tokens or more, else NaN."""
    more = tokens > 1
    return np.divide(latency - ttft, tokens - 1, out=np.full(len(ttft), np.nan), where=more)
