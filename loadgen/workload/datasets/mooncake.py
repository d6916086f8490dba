"""Mooncake trace, JSONL `timestamp` (ms), `input_length`, `output_length`, `hash_ids`: times, lengths,
prefixes.

Each hash id stands for 512 tokens of the prompt and of all before them, so prompts with the same first
ids begin alike.
Source: https://github.com/kvcache-ai/Mooncake (FAST25 traces).
"""

import math
from collections.abc import Iterator
from pathlib import Path

from common.usage import UsageError
from loadgen.workload.datasets.formats import FORMATS
from loadgen.workload.datasets.row import (
    NO_TOKENS,
    Note,
    Row,
    hash_ids,
    json_lines,
    lengths,
    mapping,
    seconds,
    since_first,
)

BLOCK = 512  # tokens of a hash id


@FORMATS.register("mooncake")
@since_first
def rows(path: Path) -> Iterator[Row | Note]:
    for where, value in json_lines(path):
        values = mapping(where, value)
        ids = hash_ids(where, values)
        asked = lengths(where, values, "input_length", "output_length")
        if asked is None:
            yield Note(NO_TOKENS)
            continue
        if ids and len(ids) != math.ceil(asked[0] / BLOCK):  # true of each row of the published files
            raise UsageError(
                f"{where}: {len(ids)} hash_ids for {asked[0]} tokens are no blocks of {BLOCK}; "
                "is it `format: qwen-bailian`, whose blocks have 16 tokens, and times in seconds?"
            )
        yield Row(where, *asked, time=seconds(where, values, "timestamp", 0.001), blocks=ids)
