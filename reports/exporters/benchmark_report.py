"""A run as llm-d's benchmark report 0.2 (schema of llmd-benchmark-report 0.2.1).

Percentiles are ours: over all requests of the window, left out where the data cannot give them. `mean`, which
the schema demands, is of those that were seen to their end. Times are seconds, service time (from the send).
"""

import datetime
import hashlib
import json
from typing import Any

import numpy as np

from common.usage import UsageError
from loadgen.records.record import COMPLETED
from reports.metrics import request_metrics
from reports.runs.runs import Floats, Run

LATENCY = {
    "time_to_first_token": ("ttft", "s"),
    "time_per_output_token": ("tpot", "s/token"),
    "inter_token_latency": ("itl", "s/token"),
    "request_latency": ("latency", "s"),
}


def export(run: Run) -> dict[str, Any]:
    """The report as a JSON object. Raises UsageError where no request of the window completed."""
    counts = request_metrics.accounting(run)
    if not counts["completed"]:
        raise UsageError(f"{run.name}: no request of the window completed; there is nothing to export")
    latency = {name: _statistics(run, metric, unit) for name, (metric, unit) in LATENCY.items()}
    done = run.judged & run.records.status_is(COMPLETED)
    throughput = {
        "output_token_rate": _rate(request_metrics.rate(run, "output_token_throughput").value, "tokens/s"),
        "request_rate": _rate(request_metrics.rate(run, "completed_rate").value, "queries/s"),
    }
    return {
        "version": "0.2",
        "run": {"uid": run.name, "time": _time(run), "description": _DESCRIPTION},
        "scenario": {"load": _load(run, done)},
        "results": {
            "request_performance": {
                "aggregate": {
                    "requests": {
                        "total": counts["due"],
                        "failures": counts["failed"] + counts["empty"] + counts["lost"],
                        "incomplete": counts["unfinished"],
                        "input_length": _lengths(run, "prompt_tokens", done),
                        "output_length": _lengths(run, "output_tokens", done),
                    },
                    "latency": {name: each for name, each in latency.items() if each},
                    "throughput": {name: each for name, each in throughput.items() if each},
                }
            }
        },
    }


_DESCRIPTION = (
    "Percentiles are over all requests of the measuring window (failed: endless; unfinished: censored), "
    "and are "
    "left out where the data cannot give them; means are of requests that were seen to their end."
)


def _statistics(run: Run, metric: str, unit: str) -> dict[str, Any] | None:
    known = request_metrics.survival(run, metric).known
    if not len(known):
        return None
    found: dict[str, Any] = {"units": unit, "mean": float(known.mean())}
    for name, share in request_metrics.SHARES.items():
        value = request_metrics.percentile(run, metric, share).value
        if value is not None:
            found[name] = value
    return found


def _rate(value: float | None, unit: str) -> dict[str, Any] | None:
    return None if value is None else {"units": unit, "mean": value}


def _lengths(run: Run, column: str, done: Any) -> dict[str, Any] | None:
    values: Floats = run.records.numbers(column)[done]
    values = values[~np.isnan(values)]
    if not len(values):
        return None
    return {
        "units": "count",
        "mean": float(values.mean()),
        "min": float(values.min()),
        "max": float(values.max()),
    }


def _load(run: Run, done: Any) -> dict[str, Any]:
    scenario = run.manifest.scenario
    prompts = run.records.numbers("prompt_tokens")[done]
    rate = request_metrics.rate(run, "offered_rate").value
    standardized: dict[str, Any] = {
        "tool": "tokenswarm",
        "tool_version": str(run.manifest.versions.get("tokenswarm") or "unknown"),
        "source": "random",
        "input_seq_len": {
            "distribution": "other",
            "value": max(float(np.nan_to_num(np.nanmean(prompts))), 1.0),
        },
    }
    if rate:
        standardized["rate_qps"] = rate
    config = json.loads(json.dumps(scenario, default=str))
    return {
        "metadata": {"cfg_id": hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:32]},
        "standardized": standardized,
        "native": {"config": config},
    }


def _time(run: Run) -> dict[str, Any] | None:
    try:
        start = datetime.datetime.fromisoformat(str(run.manifest.started_at).replace("Z", "+00:00"))
    except ValueError:
        return None
    begin, length = run.window[0], run.window_length
    start += datetime.timedelta(seconds=begin)
    end = start + datetime.timedelta(seconds=length)
    return {"start": start.isoformat(), "end": end.isoformat(), "duration": f"PT{length:.3f}S"}
