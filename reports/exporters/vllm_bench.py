"""A run as a result of `vllm bench serve --save-result --save-detailed` (vLLM 0.32).

Layout and definitions are those of `reports.runs.importers.vllm`: latencies of completed requests only, rates
up to the last answer. `queue_times` is what a request waited in the client, so that due = start - queue time.
Requests that failed or did not finish have an error, as vLLM knows no other end; the chunk that names the
role is not among the gaps, so N chunks have N - 1 gaps (as vLLM 0.33 has it).
"""

from typing import Any

import numpy as np

from common.usage import UsageError
from loadgen.records.record import COMPLETED, FAILED
from reports.runs.importers import definitions
from reports.runs.runs import Run

MS = 1000.0
NAMES = {"ttft": "ttft", "tpot": "tpot", "itl": "itl", "latency": "e2el"}


def export(run: Run) -> dict[str, Any]:
    """The JSON object. Raises UsageError where no request of the window left."""
    records, judged = run.records, run.judged & ~np.isnan(run.records.numbers("sent"))
    if not judged.any():
        raise UsageError(f"{run.name}: no request of the window was sent; there is nothing to export")
    done = records.status_is(COMPLETED)[judged]
    sent, due, first, last = (
        records.numbers(name)[judged] for name in ("sent", "due", "first_token", "last_token")
    )
    gaps = _gaps(run)
    itls = [gaps.get(int(row), np.zeros(0)) for row in np.flatnonzero(judged)]
    tokens = np.where(done, np.nan_to_num(records.numbers("output_tokens")[judged]), 0.0)
    ttft = np.nan_to_num(first - sent)
    latency = np.where(done, np.nan_to_num(last - sent), 0.0)
    begin, end = float(sent.min()), float(np.nanmax(run.closed_at[judged]))
    duration = max(end - begin, 1e-9)
    found: dict[str, Any] = {
        "date": _date(run.manifest.started_at),
        "endpoint_type": "openai-chat",
        "backend": "openai-chat",
        "label": run.manifest.variant,
        "model_id": run.manifest.model,
        "tokenizer_id": run.manifest.model,
        "num_prompts": int(judged.sum()),
        "request_rate": run.manifest.scenario.get("rate") or "inf",
        "burstiness": 1.0,
        "max_concurrency": None,
        "duration": duration,
        "completed": int(done.sum()),
        "failed": int((~done).sum()),
        "total_input_tokens": int(np.nansum(records.numbers("prompt_tokens")[judged][done])),
        "total_output_tokens": int(tokens.sum()),
        "request_throughput": float(done.sum()) / duration,
        "request_goodput": None,
        "output_throughput": float(tokens.sum()) / duration,
    }
    found["total_token_throughput"] = (found["total_input_tokens"] + found["total_output_tokens"]) / duration
    figures = definitions.statistics(
        {
            "ttft": ttft[done],
            "tpot": definitions.per_token(ttft[done], latency[done], tokens[done]),
            "itl": np.concatenate(
                [np.zeros(0), *(each for each, kept in zip(itls, done, strict=True) if kept)]
            ),
            "latency": latency[done],
        }
    )
    for metric, name in NAMES.items():
        for statistic in ("mean", *definitions.SHARES):
            found[f"{statistic}_{name}_ms"] = MS * figures.get(f"{metric}_{statistic}", 0.0)
        found[f"median_{name}_ms"] = found[f"p50_{name}_ms"]
    found |= {
        "input_lens": np.nan_to_num(records.numbers("prompt_tokens")[judged]).astype(int).tolist(),
        "output_lens": tokens.astype(int).tolist(),
        "start_times": sent.tolist(),
        "queue_times": np.maximum(sent - due, 0.0).tolist(),
        "ttfts": ttft.tolist(),
        "itls": [np.asarray(each).tolist() for each in itls],
        "latencies": latency.tolist(),
        "errors": _errors(run, judged),
    }
    return found


def _gaps(run: Run) -> dict[int, Any]:
    """The gaps between the chunks of each record, by its row."""
    found = {}
    for batch in run.records.chunk_batches():
        for number, count in enumerate(batch.counts):
            if count > 1:
                times = batch.times[batch.offsets[number] : batch.offsets[number + 1]]
                found[batch.first_row + number] = np.diff(times)
    return found


def _errors(run: Run, judged: Any) -> list[str]:
    codes, texts = run.records.codes("error")
    status, names = run.records.codes("status")
    found = []
    for row in np.flatnonzero(judged):
        ended = names[status[row]]
        text = texts[codes[row]] if codes[row] >= 0 else ""
        found.append("" if ended == COMPLETED else text or ("failed" if ended == FAILED else ended))
    return found


def _date(started_at: str | None) -> str | None:
    digits = "".join(each for each in (started_at or "")[:19] if each.isdigit())
    return f"{digits[:8]}-{digits[8:]}" if len(digits) == 14 else None
