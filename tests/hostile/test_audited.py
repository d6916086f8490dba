"""A result file of another tool in which one value is another thing: it is read, or it is one line."""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from common.usage import UsageError
from reports.text import escape
from tests.support.auditing import DATA, audited

FILES = DATA / "importers"
SAMPLES = [
    "vllm-0.32/small4.json",
    "guidellm-0.8/small4.json",
    "aiperf-0.13/small4/profile_export.jsonl",
    "inference-perf-0.7/small4/per_request_lifecycle_metrics.json",
    "sglang-0.5/small4.jsonl",
    "cases/inference-perf-summary.json",
    "cases/vllm-0.25.1-bench-serve-aggregates.json",
    "cases/genai-perf-profile-export-layout.json",
]
DEEP: Any = []
for _ in range(200):
    DEEP = [DEEP]
ODD: dict[str, Any] = {
    "null": None,
    "true": True,
    "a text": "\x1b[2J",
    "half a pair": "\ud800",
    "-1": -1,
    "0": 0,
    "10**30": 10**30,
    "1e308": 1e308,
    "NaN": float("nan"),
    "infinity": float("inf"),
    "a list": [],
    "a mapping": {"": {}},
    "depth": DEEP,
    "a long text": "x" * 100_000,
}
PLACES = 12  # of each file, drawn


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where a value stands; of a list the first and the last."""
    yield path
    if isinstance(value, dict):
        for key, part in value.items():
            yield from places(part, (*path, key))
    elif isinstance(value, list) and value:
        for number in {0, len(value) - 1}:
            yield from places(value[number], (*path, number))


def spoilt(value: Any, path: tuple[Any, ...], odd: Any) -> Any:
    if not path:
        return odd
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = spoilt(value[path[0]], path[1:], odd)
    return copy


def cases() -> list[tuple[str, tuple[Any, ...]]]:
    found = []
    for name in SAMPLES:
        text = (FILES / name).read_text()
        lines = text.splitlines() if name.endswith("jsonl") else [text]
        every = [place for place in places(json.loads(lines[-1])) if place]
        found += [(name, place) for place in random.Random(name).sample(every, min(PLACES, len(every)))]
    return found


@pytest.mark.thorough
@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize(("name", "place"), cases(), ids=str)
def test_one_odd_value_is_audited_or_is_one_line(
    name: str, place: tuple[Any, ...], odd: str, tmp_path: Path
) -> None:
    text = (FILES / name).read_text()
    *before, last = text.splitlines() if name.endswith("jsonl") else [text]
    path = tmp_path / Path(name).name
    path.write_text("\n".join([*before, json.dumps(spoilt(json.loads(last), place, ODD[odd]))]))
    try:
        _, found, _ = audited(path)
    except UsageError as error:
        assert "\n" not in str(error) and len(str(error)) < 3000
    else:
        assert found.paragraph and "\x1b" not in escape.clean(found.paragraph)
