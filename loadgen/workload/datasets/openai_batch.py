"""OpenAI batch, JSONL: `body.messages`; output length from `max_tokens` or `max_completion_tokens`.

The model that the body names is not used, nor are its sampling parameters.
"""

from collections.abc import Iterator
from pathlib import Path

from common.usage import UsageError
from loadgen.workload.datasets.formats import FORMATS
from loadgen.workload.datasets.row import Row, count, dialogue, estimated_tokens, json_lines, mapping


@FORMATS.register("openai-batch")
def rows(path: Path) -> Iterator[Row]:
    for where, value in json_lines(path):
        body = mapping(f"{where}: body", mapping(where, value).get("body"))
        if "messages" not in body:
            raise UsageError(f"{where}: body.messages is missing; only chat completions can be sent")
        messages = dialogue(where, body["messages"])
        limit = next(
            (key for key in ("max_completion_tokens", "max_tokens") if body.get(key) is not None), None
        )
        yield Row(
            where,
            prompt_tokens=estimated_tokens(messages),
            output_tokens=count(where, body, limit) if limit else None,
            dialogue=messages,
        )
