"""The rows of the results table: name, label, unit, which way is better, and a run's figure of each."""

from dataclasses import dataclass, replace

from loadgen.records.record import STATUSES
from reports.document.schema import Direction
from reports.metrics import request_metrics
from reports.metrics.request_metrics import SHARES, Figure
from reports.runs.runs import Run

WAITS = ("ttft", "scheduled_ttft", "latency", "scheduled_latency")  # what a queue decides
HEADLINE = ("ttft_p50", "tpot_p50", "latency_p50")


@dataclass(frozen=True)
class Row:
    """A row of the results table. `metric` and `share` are those of a percentile."""

    name: str
    label: str
    unit: str
    display_unit: str
    better: Direction
    metric: str | None = None
    share: float | None = None

    @property
    def of_slo(self) -> bool:
        """Whether it says how many met the SLO."""
        return self.name in ("slo_attainment", "goodput_rate")

    @property
    def waits(self) -> bool:
        """Whether a queue decides it."""
        return self.metric in WAITS or self.of_slo

    @property
    def latency(self) -> bool:
        """Whether it depends on how long the test ran, once the server is saturated."""
        return self.metric is not None or self.of_slo


def _percentile(metric: str, label: str, *shares: str) -> list[Row]:
    return [Row(f"{metric}_{p}", f"{label} {p}", "s", "ms", "lower", metric, SHARES[p]) for p in shares]


ROWS: tuple[Row, ...] = (
    Row("output_token_throughput", "Output token throughput", "tokens/s", "tok/s", "higher"),
    Row("offered_rate", "Offered rate", "1/s", "req/s", "none"),
    Row("completed_rate", "Completed rate", "1/s", "req/s", "higher"),
    *_percentile("ttft", "TTFT (service)", "p50", "p99"),
    *_percentile("scheduled_ttft", "TTFT (scheduled)", "p50", "p99"),
    *_percentile("tpot", "TPOT", "p50", "p99"),
    *_percentile("itl", "ITL", "p99"),
    *_percentile("latency", "Latency (service)", "p50", "p99"),
    *_percentile("scheduled_latency", "Latency (scheduled)", "p50", "p99"),
    Row("slo_attainment", "SLO attainment", "share", "%", "higher"),
    Row("goodput_rate", "Goodput", "1/s", "req/s", "higher"),
    Row("completed", "Completed", "requests", "", "higher"),
    Row("failed", "Failed", "requests", "", "lower"),
    Row("unfinished", "Unfinished", "requests", "", "lower"),
    Row("lost", "Lost", "requests", "", "lower"),
)
COUNTS = STATUSES  # how many ended in each way


def untold(run: Run, row: Row) -> str | None:
    """Why the run's source cannot tell this figure; None where it can."""
    figures = run.limits.figures
    return figures.get(row.name) or figures.get(row.metric or "")


def figure(run: Run, row: Row) -> Figure:
    """The figure of a whole run; kept with the run. Without a value where the source cannot tell it."""
    key = f"figure:{row.name}"
    if key not in run.memo:
        found = _figure(run, row)
        if untold(run, row):
            found = replace(found, value=None, count=0, censored=False, lower_bound=None, upper_bound=None)
        run.memo[key] = found
    known: Figure = run.memo[key]
    return known


def _figure(run: Run, row: Row) -> Figure:
    if row.metric is not None and row.share is not None:
        return request_metrics.percentile(run, row.metric, row.share)
    if row.name in COUNTS:
        counts = request_metrics.accounting(run)
        definition = f"Arrivals due inside the window that were {row.name}."
        return Figure(float(counts[row.name]), "requests", counts["due"], definition)
    return request_metrics.RATES[row.name](run)
