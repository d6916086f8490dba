"""What a careless tool would print of a run, beside the honest figure.

Completed requests only, and the clock cut at the last arrival: whoever was still waiting drops out, and
so do the slow ones that finished in the drain.
"""

import numpy as np

from loadgen.records.record import COMPLETED
from reports.comparison import resampling
from reports.comparison.resampling import ROWS
from reports.document.schema import Careless
from reports.metrics import request_metrics
from reports.runs.runs import Run
from reports.text import formatting

SHOWN = ("output_token_throughput", "completed_rate", "ttft_p50", "ttft_p99", "latency_p50", "latency_p99")


def careless(run: Run) -> list[Careless]:
    """One line per metric, and the share of requests that the careless figures rest on."""
    rows = {row.name: row for row in ROWS}
    judged = int(run.judged.sum())
    kept = _survivors(run)
    text = f"completed before the last arrival: {int(kept.sum())} of {judged} arrivals due"
    found = []
    for name in SHOWN:
        row, honest = rows[name], resampling.figure(run, rows[name])
        value = _value(run, name, kept)
        found.append(
            Careless(
                variant=run.manifest.variant,
                metric=name,
                label=row.label,
                display_unit=row.display_unit,
                careless=value,
                honest=honest.value,
                careless_display=formatting.number(value, row.display_unit),
                honest_display=formatting.number(honest.value, row.display_unit, honest.lower_bound),
                text=text,
            )
        )
    share = request_metrics.accounting(run)["completed"] / judged if judged else None
    whole = 1.0 if kept.any() else None
    found.append(
        Careless(
            variant=run.manifest.variant,
            metric="success_share",
            label="Success",
            display_unit="%",
            careless=whole,
            honest=share,
            careless_display=formatting.number(whole, "%"),
            honest_display=formatting.number(share, "%"),
            text="share of the requests that are in the table; the honest figure is of all arrivals due",
        )
    )
    return found


def _survivors(run: Run) -> request_metrics.Mask:
    """Judged requests that completed before the last arrival of the window was due."""
    due = run.records.numbers("due")
    cut = due[run.judged].max(initial=run.window[0])
    return run.judged & run.records.status_is(COMPLETED) & (run.records.numbers("last_token") <= cut)


def _value(run: Run, name: str, kept: request_metrics.Mask) -> float | None:
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
