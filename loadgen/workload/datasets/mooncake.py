"""Mooncake trace, JSONL `timestamp` (ms), `input_length`, `output_length`, `hash_ids`: times, lengths,
prefixes.

Each hash id stands for 512 tokens of the prompt and of all before them, so prompts with the same first
ids begin alike.
Source: https://github.com/kvcache-ai/Mooncake (FAST25 traces).
"""

import math
from collections.abc import Iterator
from pathlib import Path

from loadgen.workload.datasets.formats import FORMATS
from loadgen.workload.datasets.row import Note, Row, hashed_row, json_lines, mapping, since_first

BLOCK = 512  # tokens of a hash id
MILLISECONDS = 0.001
OTHER = "`format: qwen-bailian`, whose blocks have 16 tokens, and times in seconds"


@FORMATS.register("mooncake")
@since_first
def rows(path: Path) -> Iterator[Row | Note]:
    for where, value in json_lines(path):
        yield hashed_row(where, mapping(where, value), BLOCK, _counts, MILLISECONDS, OTHER)


def _counts(tokens: int) -> tuple[int]:
    return (math.ceil(tokens / BLOCK),)  # true of each row of the published files
