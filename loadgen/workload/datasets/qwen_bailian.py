"""Qwen-Bailian trace, JSONL `timestamp` (s), `input_length`, `output_length`, `chat_id`, `parent_chat_id`,
`hash_ids`: times, lengths, prefixes, sessions.

Each hash id stands for 16 tokens of the prompt and of all before them, so a later turn begins as the one
before it. When an answer ended is not in the file.
Source: https://github.com/alibaba-edu/qwen-bailian-usagetraces-anon.
"""

from collections.abc import Iterator
from pathlib import Path

from loadgen.workload.datasets.formats import FORMATS
from loadgen.workload.datasets.row import Note, Row, hashed_row, json_lines, mapping, since_first

BLOCK = 16  # tokens of a hash id
FIRST = -1  # the parent of a first turn
OTHER = "`format: mooncake`, whose blocks have 512 tokens, and times in ms"


@FORMATS.register("qwen-bailian")
@since_first
def rows(path: Path) -> Iterator[Row | Note]:
    sessions: dict[int, str] = {}  # of each chat
    for where, value in json_lines(path):
        values = mapping(where, value)
        row = hashed_row(where, values, BLOCK, _counts, 1.0, OTHER)
        chat, parent = values.get("chat_id"), values.get("parent_chat_id", FIRST)
        if isinstance(row, Row) and type(chat) is int:
            if type(parent) is int:
                sessions[chat] = sessions.get(parent, str(chat))
            row = row._replace(session=sessions.get(chat))
        yield row


def _counts(tokens: int) -> range:
    return range(tokens // BLOCK, tokens // BLOCK + 2)
