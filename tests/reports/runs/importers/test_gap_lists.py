"""Lists of numbers, taken out of a text as it streams: what is read is the same, however the text is cut."""

import io
import json

import ijson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.runs.importers import gap_lists
from reports.runs.importers.gap_lists import GapLists

NUMBERS = st.lists(st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.integers(-(2**40), 2**40)))
OTHER = st.sampled_from(
    [["x"], [True], [None, 0.1], [[0.5]], 'a "itls": [[1.0]] b', "itls", "]", {"itls": [[2.5]]}]
)


@given(
    lists=st.lists(st.one_of(NUMBERS, OTHER), max_size=8),
    flat=st.one_of(NUMBERS, OTHER),
    beside=OTHER,
    indent=st.sampled_from([None, 1]),
    block=st.integers(1, 60),
)
def test_what_is_read_is_the_same_however_the_text_is_cut(
    lists: list[object], flat: object, beside: object, indent: int | None, block: int
) -> None:
    whole = {"a\\": "\\", '"itls': beside, "itls": lists, "ttfts": flat, "texts": [beside], "end": 1.5}
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(gap_lists, "BLOCK", block)
        file = GapLists(io.BytesIO(json.dumps(whole, indent=indent).encode()), ("itls", "ttfts"))
        found = next(ijson.items(file, "", use_float=True))

    def restored(value: object) -> object:
        if isinstance(value, list) and len(value) == 1 and str(value[0]) in file.taken:
            return list(file.taken[str(value[0])])
        if isinstance(value, list):
            return [restored(each) for each in value]
        return {name: restored(each) for name, each in value.items()} if isinstance(value, dict) else value

    assert restored(found) == whole


def test_lists_of_numbers_do_not_reach_the_parser() -> None:
    text = b'{"itls" : [ [0.25, 1],\n [], [3e-2] ], "ttfts": [ 0.5, 2], "texts": [1]}'
    file = GapLists(io.BytesIO(text), ("itls", "ttfts"))
    found = b"".join(iter(file.read, b""))
    assert found == b'{"itls" : [ ["#0"],\n ["#1"], ["#2"] ], "ttfts": ["#3"], "texts": [1]}'
    assert [list(each) for each in file.taken.values()] == [[0.25, 1.0], [], [0.03], [0.5, 2.0]]
