"""Qwen-Bailian trace, JSONL `timestamp` (s), `input_length`, `output_length`, `chat_id`, `parent_chat_id`,
`hash_ids`: times, lengths, prefixes, sessions.

Each hash id stands for 16 tokens of the prompt and of all before them, so a later turn begins as the one
before it. When an answer ended is not in the file.
Source: https://github.com/alibaba-edu/qwen-bailian-usagetraces-anon.
"""

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

BLOCK = 16  # tokens of a hash id
FIRST = -1  # the parent of a first turn


@FORMATS.register("qwen-bailian")
@since_first
def rows(path: Path) -> Iterator[Row | Note]:
    sessions: dict[int, str] = {}  # of each chat
    for where, value in json_lines(path):
        values = mapping(where, value)
        ids = hash_ids(where, values)
        asked = lengths(where, values, "input_length", "output_length")
        if asked is None:
            yield Note(NO_TOKENS)
            continue
        if ids and not asked[0] // BLOCK <= len(ids) <= asked[0] // BLOCK + 1:
            raise UsageError(
                f"{where}: {len(ids)} hash_ids for {asked[0]} tokens are no blocks of {BLOCK}; "
                "is it `format: mooncake`, whose blocks have 512 tokens, and times in ms?"
            )
        chat, parent = values.get("chat_id"), values.get("parent_chat_id", FIRST)
        if type(chat) is int and type(parent) is int:
            sessions[chat] = sessions.get(parent, str(chat))
        yield Row(
            where,
            *asked,
            time=seconds(where, values, "timestamp"),
            blocks=ids,
            block_tokens=BLOCK,
            session=sessions.get(chat) if type(chat) is int else None,
        )
