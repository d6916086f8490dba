"""Each figure that a tool printed: as the tool defines it, as it is defined here, and why they differ."""

from collections.abc import Sequence

from loadgen.records.metrics import METRICS
from reports.document.audit import SameFigure
from reports.metrics import catalogue, request_metrics
from reports.metrics.catalogue import ROW
from reports.metrics.request_metrics import SHARES
from reports.runs.importers.imported import Claim, Imported
from reports.runs.runs import Run
from reports.text import formatting

SAME = "the same"
NAMES = {"ttft": "TTFT", "tpot": "TPOT", "itl": "ITL", "latency": "Latency"}
STATISTICS = ("mean", "p50", "p99")


def same_figures(found: Sequence[Imported], runs: Sequence[Run], minimum_effect: float) -> list[SameFigure]:
    """Of each file with records, what it printed, reckoned again. `minimum_effect` is a fraction."""
    return [
        _figure(claim, run, minimum_effect)
        for each, run in zip(found, runs, strict=True)
        if each.has_records
        for claim in each.claims
        if claim.own is not None and (claim.row in ROW or claim.row.rpartition("_")[2] in STATISTICS)
    ]


def _figure(claim: Claim, run: Run, minimum_effect: float) -> SameFigure:
    assert claim.own is not None
    here, bound, untold = _here(claim, run)
    unit = _unit(claim)
    shown = "not in the file" if untold else formatting.number(here, unit, bound)
    return SameFigure(
        variant=run.manifest.variant,
        metric=claim.row,
        label=_label(claim),
        field=claim.field,
        display_unit=unit,
        printed_display=formatting.number(claim.value, unit),
        own=claim.own,
        own_display=formatting.number(claim.own, unit),
        reproduced=bool(claim.reproduced),
        here=here,
        here_display=shown,
        cause=_cause(claim, here, minimum_effect, untold, run),
    )


def _here(claim: Claim, run: Run) -> tuple[float | None, float | None, str | None]:
    """(value, lower bound, why neither can be told) by the definitions here; SI."""
    row = ROW.get(claim.row)
    metric, _, statistic = claim.row.rpartition("_")
    if row is not None:
        figure = catalogue.figure(run, row)
        return figure.value, figure.lower_bound, catalogue.untold(run, row)
    if untold := run.limits.figures.get(metric):
        return None, None, untold
    if statistic in SHARES and metric in METRICS:
        figure = request_metrics.percentile(run, metric, SHARES[statistic])
        return figure.value, figure.lower_bound, None
    found = request_metrics.survival(run, metric)
    whole = found.count and len(found.known) == found.count
    return (float(found.known.mean()) if whole else None), None, None


def _cause(claim: Claim, here: float | None, minimum_effect: float, untold: str | None, run: Run) -> str:
    """Why the two differ, in one line."""
    if untold:
        return untold
    if here is None:
        ended = "who failed or did not finish took longer than was seen"
        return f"{ended}; the tool leaves them out" if claim.row.rpartition("_")[0] in NAMES else ended
    assert claim.own is not None
    if here == claim.own or (here and abs(claim.own / here - 1) <= minimum_effect):
        return SAME
    if claim.row in ("output_token_throughput", "completed_rate"):
        return (
            f"here over the {run.window_length:.1f} s in which requests came due; the tool's: {claim.meaning}"
        )
    return claim.meaning or "percentiles between two observations are interpolated"


def _unit(claim: Claim) -> str:
    row = ROW.get(claim.row)
    return "ms" if row is None else row.display_unit


def _label(claim: Claim) -> str:
    row = ROW.get(claim.row)
    if row is not None:
        return row.label
    metric, _, statistic = claim.row.rpartition("_")
    return f"{NAMES[metric]} {statistic}"
