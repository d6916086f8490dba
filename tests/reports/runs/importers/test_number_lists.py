"""Lists of numbers in a temporary file are read as they were added, however they fall into parts."""

import tempfile
from array import array

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.usage import UsageError
from reports.runs.importers import number_lists
from reports.runs.importers.number_lists import NumberLists

LISTS = st.lists(st.lists(st.floats(allow_nan=False), max_size=9), max_size=20)


@given(lists=LISTS, at_once=st.integers(1, 12))
def test_they_are_read_as_they_were_added(lists: list[list[float]], at_once: int) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(number_lists, "CHUNKS_AT_ONCE", at_once)
        patched.setattr(number_lists, "IN_MEMORY", 100)
        found = NumberLists(np.array(each) for each in lists)
        parts = list(found.parts())
        again = list(found.parts())
    each = [
        part.numbers[start:end].tolist()
        for part in parts
        for start, end in zip(part.offsets[:-1], part.offsets[1:], strict=True)
    ]
    assert each == lists and found.counts.tolist() == [len(one) for one in lists]
    assert [part.rows.start for part in parts] == [0, *(part.rows.stop for part in parts)][: len(parts)]
    assert all(part.counts[:-1].sum() <= at_once for part in parts)
    assert [part.numbers.tolist() for part in again] == [part.numbers.tolist() for part in parts]


def test_a_full_temporary_folder_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    lists = NumberLists()

    def full(data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(lists._file, "write", full)
    with pytest.raises(UsageError, match=rf"{tempfile.gettempdir()}: No space left on device; .*TMPDIR"):
        lists.add(array("d", [1.0]))
