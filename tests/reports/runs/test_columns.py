"""Arrow columns to numpy and back: as pyarrow itself does it, and without pandas."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from reports.runs import columns
from tests.support.make_foreign import make_vllm

numbers = st.lists(st.none() | st.floats(allow_nan=False), max_size=40)
texts = st.lists(st.none() | st.text(st.characters(codec="utf-8"), max_size=5), max_size=40)


@given(numbers, st.integers(0, 10))
def test_numbers_come_as_pyarrow_gives_them(values: list[float | None], skipped: int) -> None:
    column = pa.array(values, pa.float64()).slice(skipped)
    np.testing.assert_array_equal(columns.floats(column), np.array(values[skipped:], float))
    np.testing.assert_array_equal(
        columns.floats(pa.chunked_array([column, column])), [*np.array(values[skipped:], float)] * 2
    )
    assert columns.column_of(np.array(values, float)).to_pylist() == values


def test_whole_numbers_and_truths_come_as_floats() -> None:
    np.testing.assert_array_equal(columns.floats(pa.array([1, None, 3], pa.int16())), [1, np.nan, 3])
    np.testing.assert_array_equal(columns.floats(pa.array([True, None, False])), [1, np.nan, 0])
    assert columns.column_of(np.array([1, 2], np.int16)).type == pa.int16()


@given(texts, st.integers(0, 10))
def test_texts_come_as_codes(values: list[str | None], skipped: int) -> None:
    assert columns.texts_of(values).to_pylist() == values
    for column in (pa.array(values, pa.string()), columns.texts_of(values)):
        codes, names = columns.codes(pa.chunked_array([column.slice(skipped), column]))
        assert [None if code < 0 else names[code] for code in codes.tolist()] == values[skipped:] + values


def test_lists_have_lengths() -> None:
    lists = pa.array([[1.0], None, [], [1.0, 2.0]])
    assert columns.lengths(lists).tolist() == [1, 0, 0, 2]
    assert columns.lengths(lists.slice(1)).tolist() == [0, 0, 2]


def test_an_audit_needs_neither_pandas_nor_scipy(tmp_path: Path) -> None:
    """Their import takes longer than all the rest of a small report."""
    file = make_vllm(tmp_path / "file.json", 200)
    code = (
        "import sys, tokenswarm.__main__ as command\n"
        f"code = command.main(['audit', {str(file)!r}])\n"
        "print(code, [name for name in ('pandas', 'scipy') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=os.environ | {"TOKENSWARM_RESULTS": str(tmp_path)},
    )
    assert done.stdout.splitlines()[-1] == "0 []", done.stderr
