"""Azure LLM inference trace, CSV `TIMESTAMP`, `ContextTokens`, `GeneratedTokens`: times and lengths.

NumImages, which the multimodal trace of 2025 has, too, is how many images a request held.
Source: https://github.com/Azure/AzurePublicDataset (2023 to 2025).
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from common.usage import UsageError
from loadgen.workload.datasets.formats import FORMATS
from loadgen.workload.datasets.row import NO_TOKENS, Note, Row, brief, count, csv_lines, lengths, since_first


@FORMATS.register("azure")
@since_first
def rows(path: Path) -> Iterator[Row | Note]:
    for where, values in csv_lines(path, ("TIMESTAMP", "ContextTokens", "GeneratedTokens")):
        try:
            moment = datetime.fromisoformat(values["TIMESTAMP"].strip())
        except ValueError:
            shown = brief(repr(values["TIMESTAMP"]))
            raise UsageError(f"{where}: TIMESTAMP is not a date and time: {shown}") from None
        asked = lengths(where, values, "ContextTokens", "GeneratedTokens")
        if asked is None:
            yield Note(NO_TOKENS)
            continue
        yield Row(
            where,
            *asked,
            time=(moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp(),
            images=count(where, values, "NumImages", least=0) if "NumImages" in values else 0,
        )
