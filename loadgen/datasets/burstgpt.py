"""BurstGPT CSV: Timestamp (s), Model, Request tokens, Response tokens, Total tokens, Log Type.

Rows with 0 response tokens are requests that failed in the recorded service; they are passed over.
Source: https://github.com/HPMLL/BurstGPT.
"""

from collections.abc import Iterator
from pathlib import Path

from loadgen.datasets.row import Row, count, csv_lines, seconds, since_first


def rows(path: Path) -> Iterator[Row]:
    return since_first(_rows(path))


def _rows(path: Path) -> Iterator[Row]:
    for where, values in csv_lines(path, ("Timestamp", "Request tokens", "Response tokens")):
        output = count(where, values, "Response tokens", least=0)
        if output:
            yield Row(
                where,
                prompt_tokens=count(where, values, "Request tokens"),
                output_tokens=output,
                time=seconds(where, values, "Timestamp"),
            )
