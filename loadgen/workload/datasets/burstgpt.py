"""BurstGPT, CSV `Timestamp` (s), `Request tokens`, `Response tokens`: times and lengths.

Rows with 0 response tokens are requests that failed in the recorded service; they are passed over.
Source: https://github.com/HPMLL/BurstGPT.
"""

from collections.abc import Iterator
from pathlib import Path

from loadgen.workload.datasets.formats import FORMATS
from loadgen.workload.datasets.row import NO_TOKENS, Note, Row, csv_lines, lengths, seconds, since_first


@FORMATS.register("burstgpt")
@since_first
def rows(path: Path) -> Iterator[Row | Note]:
    for where, values in csv_lines(path, ("Timestamp", "Request tokens", "Response tokens")):
        asked = lengths(where, values, "Request tokens", "Response tokens")
        if asked is None:
            yield Note(NO_TOKENS)
            continue
        yield Row(
            where,
            *asked,
            time=seconds(where, values, "Timestamp"),
        )
