"""JSONL: a text, or `prompt` or `messages`, with `output_tokens`, `time` (s), `workload` if known.

Times count from the first row's.
"""

from collections.abc import Iterator
from pathlib import Path

from common.usage import UsageError
from loadgen.workload.datasets.formats import FORMATS
from loadgen.workload.datasets.row import (
    Note,
    Row,
    count,
    dialogue,
    estimated_tokens,
    json_lines,
    mapping,
    seconds,
    sendable,
    since_first,
)


@FORMATS.register("jsonl")
@since_first
def rows(path: Path) -> Iterator[Row | Note]:
    for where, value in json_lines(path):
        values = {"prompt": value} if isinstance(value, str) else mapping(where, value)
        if "messages" in values:
            said = dialogue(where, values["messages"])
        elif isinstance(values.get("prompt"), str) and values["prompt"]:
            said = (("user", sendable(where, values["prompt"])),)
        else:
            raise UsageError(f"{where}: needs prompt (a text that is not empty) or messages")
        workload = values.get("workload")
        if workload is not None and not isinstance(workload, str):
            raise UsageError(f"{where}: workload must be a text")
        yield Row(
            where,
            prompt_tokens=estimated_tokens(said),
            output_tokens=count(where, values, "output_tokens") if "output_tokens" in values else None,
            time=seconds(where, values, "time") if "time" in values else None,
            dialogue=said,
            workload=workload,
        )
