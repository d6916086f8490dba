"""Mooncake trace, JSONL `timestamp` (ms), `input_length`, `output_length`, `hash_ids`: times, lengths,
prefixes.

Each hash id stands for 512 tokens of the prompt and of all before them, so prompts with the same first
ids begin alike.
Source: https://github.com/kvcache-ai/Mooncake (FAST25 traces).
"""

from collections.abc import Iterator
from pathlib import Path

from common.usage import UsageError
from loadgen.workload.datasets.formats import FORMATS
from loadgen.workload.datasets.row import (
    NO_TOKENS,
    Note,
    Row,
    json_lines,
    lengths,
    mapping,
    seconds,
    since_first,
)


@FORMATS.register("mooncake")
def rows(path: Path) -> Iterator[Row | Note]:
    return since_first(_rows(path))


def _rows(path: Path) -> Iterator[Row | Note]:
    for where, value in json_lines(path):
        values = mapping(where, value)
        ids = values.get("hash_ids", [])
        if not isinstance(ids, list) or not all(type(each) is int for each in ids):
            raise UsageError(f"{where}: hash_ids must be a list of whole numbers")
        asked = lengths(where, values, "input_length", "output_length")
        if asked is None:
            yield Note(NO_TOKENS)
            continue
        yield Row(
            where,
            *asked,
            time=seconds(where, values, "timestamp", 0.001),
            blocks=tuple(ids),
        )
