"""What code makes of itself and of two stored runs is what stands in the tree."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import generated

ANEW = "where the change is meant: .venv/bin/python -m tests.generated, and look at the difference"


@pytest.mark.parametrize("make", generated.ALL)
def test_what_is_made_is_what_stands_in_the_tree(make: Callable[[], dict[Path, str]]) -> None:
    for path, text in make().items():
        stored = path.read_text(encoding="utf-8")
        if path.suffix == ".json":
            same(json.loads(text), json.loads(stored), path.name)
        else:
            assert text == stored, ANEW


def same(found: Any, stored: Any, place: str) -> None:
    """Equal, but for the last digits of a number: they depend on the processor."""
    if isinstance(stored, dict) and isinstance(found, dict):
        assert found.keys() == stored.keys(), f"{place}; {ANEW}"
        for key, value in stored.items():
            same(found[key], value, f"{place}.{key}")
    elif isinstance(stored, list) and isinstance(found, list):
        assert len(found) == len(stored), f"{place}; {ANEW}"
        for number, value in enumerate(stored):
            same(found[number], value, f"{place}[{number}]")
    elif isinstance(stored, float) and isinstance(found, int | float):
        assert found == pytest.approx(stored, rel=1e-9, abs=1e-12), f"{place}; {ANEW}"
    else:
        assert found == stored, f"{place}; {ANEW}"
