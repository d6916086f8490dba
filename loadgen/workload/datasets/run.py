"""A run's folder, or its `requests.parquet`: the due times of its window, lengths and workloads.

Prompts are made anew in the recorded lengths. Turns of a conversation come at the times at which they
were due then, each as a request of its own. Of a text, or a later turn, only the server knew the length: one
that did not complete has the median of its workload.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from common.results import MANIFEST
from common.usage import UsageError
from loadgen.workload.datasets.formats import FORMATS
from loadgen.workload.datasets.row import Note, Row

COLUMNS = ["arrival", "due", "workload", "prompt_asked", "prompt_tokens", "output_asked"]
FILLED = "without a known prompt length: taken as the median of their workload"
BATCH = 10_000  # rows turned into Python values at a time


@FORMATS.register("run")
def rows(path: Path) -> Iterator[Row | Note]:
    try:
        table = pq.read_table(path, columns=COLUMNS)
    except (pa.ArrowInvalid, pa.ArrowKeyError) as error:
        raise UsageError(f"{path}: not a run's records: {' '.join(str(error).split())}") from None
    missing = [name for name in COLUMNS if name not in table.column_names]
    if missing:
        raise UsageError(f"{path}: not a run's records: no column {', '.join(missing)}")
    usual = _usual_prompts(table)
    start = _window_start(path)
    table = table.filter(pc.greater_equal(table["due"], start)).sort_by(
        [("due", "ascending"), ("arrival", "ascending")]
    )
    for batch in table.to_batches(max_chunksize=BATCH):
        for record in batch.to_pylist():
            where = f"{path}: arrival {record['arrival']}"
            prompt = record["prompt_asked"] or record["prompt_tokens"]
            if not record["output_asked"]:
                raise UsageError(f"{where}: has no output length")
            if not prompt:
                if record["workload"] not in usual:
                    raise UsageError(
                        f"{where}: has no prompt length, nor has another of workload {record['workload']}"
                    )
                prompt = usual[record["workload"]]
                yield Note(FILLED)
            yield Row(
                where,
                prompt_tokens=prompt,
                output_tokens=record["output_asked"],
                time=record["due"] - start,
                workload=record["workload"],
            )


def _usual_prompts(table: pa.Table) -> dict[str, int]:
    """The median prompt length of each workload, in tokens, of the requests of which it is known."""
    lengths = pc.coalesce(table["prompt_asked"], table["prompt_tokens"])
    known = table.append_column("prompt", lengths).filter(pc.is_valid(lengths))
    return {
        name: round(float(np.median(known.filter(pc.equal(known["workload"], name))["prompt"].to_numpy())))
        for name in pc.unique(known["workload"]).to_pylist()
    }


def _window_start(path: Path) -> float:
    """When the run's warm-up ended (s), from the manifest beside its records; without one, 0."""
    manifest = path.with_name(MANIFEST)
    if not manifest.is_file():
        return 0.0
    try:
        return float(json.loads(manifest.read_text(encoding="utf-8"))["window"]["start"])
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{manifest}: has no window.start: {error}") from None
