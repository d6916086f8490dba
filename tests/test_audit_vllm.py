"""Audits of vllm bench serve: what its load was, how long it took, and which two loads are the same."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from common.usage import UsageError
from reports.audit import read_file

DATA = Path(__file__).parent / "data"
HELD, OPEN = DATA / "vllm-bench-held.json", DATA / "vllm-bench-open.json"  # by vllm bench serve 0.32.0


def _without(*names: str) -> Callable[[Any], object]:
    return lambda found: [found.pop(name) for name in names]


DETAILS = ("input_lens", "output_lens", "start_times", "ttfts", "itls", "generated_texts", "errors")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            _without("start_times", "latencies", "queue_times"),
            r"an older vLLM, or SGLang\); measure it again",
        ),
        (_without(*DETAILS), "save it again with --save-detailed"),
        (_without("start_times", "ttfts", "itls", "output_lens", "output_throughput"), "of a pooling model"),
    ],
)
def test_what_is_not_in_a_file_and_what_can_be_done(
    tmp_path: Path, change: Callable[[Any], object], said: str
) -> None:
    found = json.loads(OPEN.read_text())
    change(found)
    path = tmp_path / "1.json"
    path.write_text(json.dumps(found))
    with pytest.raises(UsageError, match=said):
        read_file(path)
