"""Objects taken out of a text as it streams: what is read is the same, however the text is cut."""

import io
import json
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.usage import UsageError
from reports.runs.importers import object_lists
from reports.runs.importers.object_lists import ObjectLists
from reports.runs.importers.source import Source

TEXTS = st.sampled_from(
    ["", "a", '"', "\\", '\\"', "}, {", "}]", '{"done": [{', 'x "done": [{"a": 1}] y', "é"]
)
VALUES = st.recursive(
    st.one_of(TEXTS, st.integers(-5, 5), st.none(), st.just(0.5)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=6,
)
OBJECTS = st.lists(st.dictionaries(TEXTS, VALUES, max_size=4), max_size=5)


@given(
    done=OBJECTS,
    failed=OBJECTS,
    beside=VALUES,
    indent=st.sampled_from([None, 1]),
    block=st.integers(1, 80),
)
def test_what_is_read_is_the_same_however_the_text_is_cut(
    done: list[object], failed: list[object], beside: object, indent: int | None, block: int
) -> None:
    plain = [{"done": 3}, {"done": [1, 2]}]
    whole = {"a": beside, "in": [{"failed": failed, "done": done}, *plain], "b": beside}
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(object_lists, "BLOCK", block)
        found = ObjectLists(io.BytesIO(json.dumps(whole, indent=indent).encode()), ("done", "failed"))
        taken: dict[int, list[object]] = {}
        for number, each in found:
            taken.setdefault(number, []).append(each)
    rest = orjson.loads(found.rest)
    assert {name: rest[name] for name in "ab"} == {"a": beside, "b": beside}
    assert rest["in"][1:] == plain
    for name, objects in (("done", done), ("failed", failed)):
        left = rest["in"][0][name]
        assert (taken[left[0]] if objects else left) == objects


def test_a_text_that_is_no_plain_json_is_read_as_a_whole(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text('{"done": [{"a": NaN}], "b": 1}')
    found = Source(file).value_around(("done",), lambda number, each: None)
    assert found["b"] == 1 and str(found["done"][0]["a"]) == "nan"
    for cut in (
        '{"done": [{"a": 1}, {"a',
        '{"done": [{"a": 1}',
        '{"done": [{"a": 1}}',
        '{"done": [{"a" 1}]}',
    ):
        file.write_text(cut)
        with pytest.raises(UsageError, match="cut off, or no JSON"):
            Source(file).value_around(("done",), lambda number, each: None)
