"""What completed requests only would say of a run, beside the figure of all requests.

Completed requests only, and the clock cut at the last arrival: whoever was still waiting drops out, and
so do the slow ones that finished in the drain.
"""

import numpy as np

from loadgen.records.record import COMPLETED
from reports.document.decision import CompletedOnly
from reports.metrics import catalogue, request_metrics
from reports.metrics.catalogue import ROWS
from reports.runs.runs import Mask, Run
from reports.text import formatting

SHOWN = ("output_token_throughput", "completed_rate", "ttft_p50", "ttft_p99", "latency_p50", "latency_p99")


def completed_only(run: Run) -> list[CompletedOnly]:
    """One line per metric, and the share of requests that the figures of completed requests rest on."""
    rows = {row.name: row for row in ROWS}
    judged = int(run.judged.sum())
    kept = _survivors(run)
    text = f"completed before the last arrival: {int(kept.sum())} of {judged} arrivals due"
    found = []
    for name in SHOWN:
        row, all_requests = rows[name], catalogue.figure(run, rows[name])
        value = _value(run, name, kept)
        found.append(
            CompletedOnly(
                variant=run.manifest.variant,
                metric=name,
                label=row.label,
                display_unit=row.display_unit,
                completed_only=value,
                all_requests=all_requests.value,
                completed_only_display=formatting.number(value, row.display_unit),
                all_requests_display=formatting.number(
                    all_requests.value, row.display_unit, all_requests.lower_bound
                ),
                text=text,
            )
        )
    share = request_metrics.accounting(run)["completed"] / judged if judged else None
    whole = 1.0 if kept.any() else None
    found.append(
        CompletedOnly(
            variant=run.manifest.variant,
            metric="success_share",
            label="Success",
            display_unit="%",
            completed_only=whole,
            all_requests=share,
            completed_only_display=formatting.number(whole, "%"),
            all_requests_display=formatting.number(share, "%"),
            text="share of the requests that are in the table; the other figure is of all arrivals due",
        )
    )
    return found


def _survivors(run: Run) -> Mask:
    """Judged requests that completed before the last arrival of the window was due."""
    due = run.records.numbers("due")
    cut = due[run.judged].max(initial=run.window[0])
    return run.judged & run.records.status_is(COMPLETED) & (run.records.numbers("last_token") <= cut)


def _value(run: Run, name: str, kept: Mask) -> float | None:
    if not kept.any():
        return None
    records = run.records
    due = records.numbers("due")
    length = float(due[run.judged].max() - run.window[0])
    if name == "output_token_throughput":
        return float(np.nansum(records.numbers("output_tokens")[kept])) / length if length > 0 else None
    if name == "completed_rate":
        return float(kept.sum()) / length if length > 0 else None
    end = records.numbers("first_token" if name.startswith("ttft") else "last_token")
    share = request_metrics.SHARES[name.rsplit("_", 1)[1]]
    return float(np.quantile((end - records.numbers("sent"))[kept], share, method="inverted_cdf"))
