"""The rows of the results table: name, label, unit, which way is better, and a run's figure of each."""

from dataclasses import dataclass, replace

from loadgen.records.metrics import METRICS
from loadgen.records.rates import RATES
from loadgen.records.record import COMPLETED, STATUSES
from reports.document.metric import Direction
from reports.metrics import request_metrics
from reports.metrics.request_metrics import SHARES, Figure
from reports.runs.runs import Run, kept

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
    of_slo: bool = False  # whether it depends on how many met the SLO
    of_gpu: bool = False  # whether it stands only where a run has it

    @property
    def waits(self) -> bool:
        """Whether a queue decides it."""
        return self.of_slo or (self.metric is not None and METRICS[self.metric].queued)

    @property
    def latency(self) -> bool:
        """Whether it depends on how long the test ran, once the server is saturated."""
        return self.metric is not None or self.of_slo


def percentile_row(metric: str, suffix: str) -> Row:
    """The row of one percentile: "p50"."""
    label = f"{METRICS[metric].label} {suffix}"
    return Row(f"{metric}_{suffix}", label, "s", "ms", "lower", metric, SHARES[suffix])


def _rates(of_slo: bool) -> list[Row]:
    return [
        Row(
            *(each.name, each.label, each.unit, each.display_unit, each.better),
            of_slo=of_slo,
            of_gpu=each.of_gpu,
        )
        for each in RATES.values()
        if each.of_slo == of_slo
    ]


COUNTS = STATUSES  # how many ended in each way
ROWS: tuple[Row, ...] = (
    *_rates(of_slo=False),
    *(percentile_row(each.name, suffix) for each in METRICS.values() for suffix in each.rows),
    *_rates(of_slo=True),
    *(
        Row(name, name.capitalize(), "requests", "", "higher" if name == COMPLETED else "lower")
        for name in COUNTS
    ),
)
ROW = {row.name: row for row in ROWS}


def untold(run: Run, row: Row) -> str | None:
    """Why the run's source cannot tell this figure; None where it can."""
    figures = run.limits.figures
    return figures.get(row.name) or figures.get(row.metric or "")


@kept
def figure(run: Run, row: Row) -> Figure:
    """The figure of a whole run, without a value where the source cannot tell it."""
    found = _figure(run, row)
    if untold(run, row):
        return replace(found, value=None, count=0, censored=False, lower_bound=None, upper_bound=None)
    return found


def _figure(run: Run, row: Row) -> Figure:
    if row.metric is not None and row.share is not None:
        return request_metrics.percentile(run, row.metric, row.share)
    if row.name in COUNTS:
        counts = request_metrics.accounting(run)
        definition = f"Arrivals due inside the window that were {row.name}."
        return Figure(float(counts[row.name]), "requests", counts["due"], definition)
    return request_metrics.rate(run, row.name)
