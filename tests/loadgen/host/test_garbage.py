"""The garbage collector while stamps are taken."""

import gc
import sys
from collections.abc import Callable
from typing import Any

import pytest

from loadgen.host.garbage import Quiet

Count = Callable[[], list[int]]


@pytest.fixture
def collections() -> Count:
    """How often each generation is collected while many streams' worth of objects come to live."""

    def count() -> list[int]:
        seen = [0, 0, 0]

        def see(phase: str, info: dict[str, Any]) -> None:
            seen[info["generation"]] += phase == "start"

        gc.callbacks.append(see)
        held = [[each] for each in range(400_000)]
        gc.callbacks.remove(see)
        assert len(held) == 400_000
        return seen

    return count


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="it collects old objects piece by piece")
def test_no_full_collection_while_stamps_are_taken(collections: Count) -> None:
    assert collections()[2] > 0
    quiet = Quiet()
    young, middle, old = collections()
    quiet.end()
    assert (young > 0, middle > 0, old) == (True, True, 0)
    assert collections()[2] > 0


def test_all_is_as_before_after_its_end() -> None:
    before = gc.get_threshold(), gc.get_freeze_count()
    quiet = Quiet()
    assert gc.get_freeze_count() > before[1]
    quiet.end()
    assert (gc.get_threshold(), gc.get_freeze_count()) == before
