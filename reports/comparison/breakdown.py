"""Figures of a run's parts: workloads of a mix, LoRA adapters, stages of a load whose rate changes."""

from collections.abc import Mapping, Sequence

import numpy as np

from reports.comparison import claims
from reports.document.metric import LoadPart, PartKind, Reading
from reports.metrics import catalogue, request_metrics
from reports.metrics.catalogue import ROW, Row, percentile_row
from reports.metrics.stages import stages
from reports.runs.runs import Mask, Run
from reports.text import formatting

NOT_NAMED = "not named"  # records without a workload or an adapter
MOST = 100  # rows of one kind, as a mix has workloads at most; adapters may be thousands
OTHERS = "the others"
METRICS = ("scheduled_ttft", "tpot", "scheduled_latency")
ROWS = (  # a part is small for a p99
    *(percentile_row(metric, share) for metric in METRICS for share in ("p50", "p90")),
    ROW["slo_attainment"],
)


def parts(groups: Mapping[str, Sequence[Run]]) -> list[LoadPart]:
    """Each part of each variant's runs, part by part; none where a run is of one piece."""
    found: dict[tuple[PartKind, str], dict[str, list[Run]]] = {}
    for variant, runs in groups.items():
        for run in runs:
            for name, mask in _masks(run):
                found.setdefault(name, {}).setdefault(variant, []).append(run.part(mask))
    return [
        _figures(kind, name, variant, runs)
        for (kind, name), each in found.items()
        for variant, runs in each.items()
    ]


def _masks(run: Run) -> list[tuple[tuple[PartKind, str], Mask]]:
    """(kind, name) of each part and the records that are of it; none where there would be one only."""
    due, planned = run.records.numbers("due"), stages(run)
    steps: list[tuple[tuple[PartKind, str], Mask]] = [
        (("stage", f"{number}: {stage.label}"), (due >= stage.start) & (due < stage.end))
        for number, stage in enumerate(planned, 1)
    ]
    listed = [each for each in (_named(run, "workload"), _named(run, "adapter"), steps) if len(each) > 1]
    return [part for each in listed for part in each if (run.judged & part[1]).any()]


def _named(run: Run, kind: PartKind) -> list[tuple[tuple[PartKind, str], Mask]]:
    """A part for each text of the column of that name; the rarest in one, where there are more than MOST."""
    codes, names = run.records.codes(kind)
    found = [((kind, name or NOT_NAMED), codes == code) for code, name in enumerate(names)]
    if len(found) <= MOST:
        return found
    found.sort(key=lambda part: (-np.count_nonzero(part[1]), part[0][1]))
    rest = np.logical_or.reduce([mask for _, mask in found[MOST:]])
    return [*found[:MOST], ((kind, OTHERS), rest)]


def _figures(kind: PartKind, name: str, variant: str, runs: Sequence[Run]) -> LoadPart:
    counts = [request_metrics.accounting(run) for run in runs]
    return LoadPart(
        kind=kind,
        name=name,
        variant=variant,
        due=sum(each["due"] for each in counts),
        completed=sum(each["completed"] for each in counts),
        metrics={row.name: _reading(row, variant, runs) for row in ROWS},
    )


def _reading(row: Row, variant: str, runs: Sequence[Run]) -> Reading:
    figures = [catalogue.figure(run, row) for run in runs]
    value, bound = claims.value_of(figures)
    return Reading(
        variant=variant,
        value=value,
        lower_bound=bound,
        count=sum(figure.count for figure in figures),
        by_run=[figure.value for figure in figures],
        display=formatting.number(value, row.display_unit, bound),
    )
