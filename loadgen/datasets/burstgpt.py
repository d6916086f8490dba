"""BurstGPT CSV: Timestamp (s), Model, Request tokens, Response tokens, Total tokens, Log Type.

Rows with 0 response tokens are requests that failed in the recorded service; they are passed over.
Source: https://github.com/HPMLL/BurstGPT.
"""

from collections.abc import Iterator
from pathlib import Path

from loadgen.datasets.row import NO_TOKENS, Note, Row, count, csv_lines, seconds, since_first


def rows(path: Path) -> Iterator[Row | Note]:
    return since_first(_rows(path))


def _rows(path: Path) -> Iterator[Row | Note]:
    for where, values in csv_lines(path, ("Timestamp", "Request tokens", "Response tokens")):
        prompt = count(where, values, "Request tokens", least=0)
        output = count(where, values, "Response tokens", least=0)
        if not (prompt and output):
            yield Note(NO_TOKENS)
            continue
        yield Row(
            where,
            prompt_tokens=prompt,
            output_tokens=output,
            time=seconds(where, values, "Timestamp"),
        )
