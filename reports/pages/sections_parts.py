"""The tables of a run's parts: workloads of a mix, LoRA adapters, stages of a load whose rate changes."""

from reports.document.metric import LoadPart
from reports.document.schema import Comparison
from reports.pages.blocks import Block, Cell, Table, row

CAPTIONS = {
    "workload": "Each workload by itself",
    "adapter": "Each adapter by itself",
    "stage": "Each stage by itself",
}
COLUMNS = {  # metric of the part: heading
    "scheduled_ttft_p50": "TTFT (scheduled) p50, ms",
    "scheduled_ttft_p90": "p90",
    "tpot_p50": "TPOT p50, ms",
    "tpot_p90": "p90",
    "scheduled_latency_p50": "latency (scheduled) p50, ms",
    "scheduled_latency_p90": "p90",
    "slo_attainment": "within the SLO, %",
}


def parts(comparison: Comparison) -> list[Block]:
    """A table of each kind that the load has; nothing for a load of one piece."""
    found: list[Block] = []
    for kind, caption in CAPTIONS.items():
        listed = [each for each in comparison.parts if each.kind == kind]
        if listed:
            columns = [kind, "variant", "due", "completed", *COLUMNS.values()]
            right = frozenset(range(2, len(columns)))
            found.append(Table(caption, columns, [_line(each) for each in listed], right))
    return found


def _line(part: LoadPart) -> list[Cell]:
    readings = [part.metrics[name] for name in COLUMNS]
    figures = [Cell(reading.display, sort=reading.value) for reading in readings]
    return row(part.name, part.variant, f"{part.due:,}", f"{part.completed:,}", *figures)
