"""The forecasts that were kept before the runs (forecast.json), held against what was measured."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from common.results import FORECAST
from reports.document.roofline import ForecastCheck
from reports.document.run import ServerSide
from reports.metrics import request_metrics
from reports.runs.runs import Run

FIGURES = {  # name in forecast.json: (label, unit, factor)
    "output_token_throughput": ("output tokens/s", "tok/s", 1.0),
    "completed_rate": ("completed rate", "req/s", 1.0),
    "ttft_p50": ("TTFT p50", "ms", 1e3),
    "tpot_p50": ("TPOT p50", "ms", 1e3),
    "latency_mean": ("latency, mean of completed", "ms", 1e3),
}
LARGEST_BYTES = 1_000_000  # of a forecast.json; ours has two thousand


def forecasts(runs: Sequence[Run], server: Mapping[str, ServerSide]) -> list[ForecastCheck]:
    """One row for each figure that was forecast for a run of the same schedule; `server` is by run name."""
    found: list[ForecastCheck] = []
    for run in runs:
        said = _read(run)
        if said is None:
            continue
        broke = _broken(run, said, server.get(run.name))
        for name, (label, unit, factor) in FIGURES.items():
            figure = said["figures"].get(name) or {}
            low, value, high = (_number(figure.get(key), factor) for key in ("low", "value", "high"))
            real = _number(_measured(run, name), factor)
            inside = None if low is None or high is None or real is None else low <= real <= high
            found.append(
                ForecastCheck(
                    run=run.name,
                    variant=run.manifest.variant,
                    basis=str(said.get("basis")),
                    made_at=str(said.get("made_at")),
                    label=label,
                    unit=unit,
                    forecast=value,
                    low=low,
                    high=high,
                    measured=real,
                    inside=inside,
                    broke=broke if inside is False else "",
                )
            )
    return found


def _read(run: Run) -> dict[str, Any] | None:
    """forecast.json of the run, unless it is damaged or of another schedule."""
    path = run.folder and run.folder / FORECAST
    if not path or not path.is_file() or path.stat().st_size > LARGEST_BYTES:
        return None
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(said, dict) or not isinstance(said.get("figures"), dict):
        return None
    digest = (run.manifest.model_extra or {}).get("schedule_digest")
    return said if said.get("schedule_digest") == digest else None


def _broken(run: Run, said: Mapping[str, Any], side: ServerSide | None) -> str:
    """Which assumption is farthest from what the server says of itself: step time, prefill or queue.

    Step time: of a mean step at the mean batch. Prefill and queue: means of a request, compared by seconds of
    TTFT. "not known" without the server's figures.
    """
    step = said.get("step")
    if side is None or not isinstance(step, dict):
        return "not known"
    seconds = _step_seconds(run, side)
    if seconds is None or not _number(step.get("seconds"), 1.0):
        return "not known"
    off = abs(np.log(seconds / float(step["seconds"])))
    if off > float(said.get("log_sd_of_a_step") or 0.0):
        return f"step time: {1e3 * seconds:.3g} ms, not {1e3 * float(step['seconds']):.3g} ms"
    parts = {
        "queue": (side.queue_mean, step.get("queue")),
        "prefill": (side.prefill_mean, step.get("prefill")),
    }
    known = {
        name: (real, float(told))
        for name, (real, told) in parts.items()
        if real is not None and told is not None
    }
    if not known:
        return "not known"
    name = max(known, key=lambda each: abs(known[each][0] - known[each][1]))
    real, told = known[name]
    return f"{name}: {1e3 * real:.3g} ms, not {1e3 * told:.3g} ms"


def _step_seconds(run: Run, side: ServerSide) -> float | None:
    """Seconds of a mean step while something ran; the server counts its steps from the window's start on."""
    if not side.steps:
        return None
    return (run.manifest.drained_at - run.window[0]) / side.steps


def _measured(run: Run, name: str) -> float | None:
    if name == "latency_mean":
        done = run.judged & run.records.status_is("completed")
        seconds = (run.records.numbers("last_token") - run.records.numbers("sent"))[done]
        return float(seconds.mean()) if len(seconds) else None
    if name.endswith("_p50"):
        return request_metrics.percentile(run, name.removesuffix("_p50"), 0.5).value
    return request_metrics.figures(run)[name].value


def _number(value: object, factor: float) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
        return None
    return float(value) * factor
