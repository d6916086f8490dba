"""Azure LLM inference trace CSV: TIMESTAMP, ContextTokens, GeneratedTokens.

Source: https://github.com/Azure/AzurePublicDataset (2023 and 2024 traces of code and conversation).
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from common.usage import UsageError
from loadgen.datasets.row import Row, brief, count, csv_lines, since_first


def rows(path: Path) -> Iterator[Row]:
    return since_first(_rows(path))


def _rows(path: Path) -> Iterator[Row]:
    for where, values in csv_lines(path, ("TIMESTAMP", "ContextTokens", "GeneratedTokens")):
        try:
            moment = datetime.fromisoformat(values["TIMESTAMP"].strip())
        except ValueError:
            shown = brief(repr(values["TIMESTAMP"]))
            raise UsageError(f"{where}: TIMESTAMP is not a date and time: {shown}") from None
        yield Row(
            where,
            prompt_tokens=count(where, values, "ContextTokens"),
            output_tokens=count(where, values, "GeneratedTokens"),
            time=(moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp(),
        )
