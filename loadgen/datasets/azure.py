"""Azure LLM inference trace CSV: TIMESTAMP, ContextTokens, GeneratedTokens.

Source: https://github.com/Azure/AzurePublicDataset (2023 and 2024 traces of code and conversation).
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from common.usage import UsageError
from loadgen.datasets.row import NO_TOKENS, Note, Row, brief, count, csv_lines, since_first


def rows(path: Path) -> Iterator[Row | Note]:
    return since_first(_rows(path))


def _rows(path: Path) -> Iterator[Row | Note]:
    for where, values in csv_lines(path, ("TIMESTAMP", "ContextTokens", "GeneratedTokens")):
        try:
            moment = datetime.fromisoformat(values["TIMESTAMP"].strip())
        except ValueError:
            shown = brief(repr(values["TIMESTAMP"]))
            raise UsageError(f"{where}: TIMESTAMP is not a date and time: {shown}") from None
        prompt = count(where, values, "ContextTokens", least=0)
        output = count(where, values, "GeneratedTokens", least=0)
        if not (prompt and output):
            yield Note(NO_TOKENS)
            continue
        yield Row(
            where,
            prompt_tokens=prompt,
            output_tokens=output,
            time=(moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp(),
        )
