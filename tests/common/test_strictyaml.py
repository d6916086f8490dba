"""Configuration files: a mistake is named with file, line and a way out."""

from pathlib import Path

import pytest
from pydantic import Field

from common.strictyaml import Strict, read_model
from common.usage import UsageError


class Inner(Strict):
    mean: float = Field(default=1, gt=0)


class Outer(Strict):
    inner: Inner | None = None
    parts: dict[str, Inner] = {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("inner:\n  maen: 3\n", ":2: unknown key 'inner.maen'; did you mean 'mean'?"),
        ("inner: {x: 3}\n", ":1: unknown key 'inner.x'; known keys: mean"),
        ("parts:\n  a: {meen: 3}\n", ":2: unknown key 'parts.a.meen'; did you mean 'mean'?"),
        ("inner: {mean: -2}\n", ":1: inner.mean: must be greater than 0 (given -2)"),
        ("inner: {mean: x}\n", ":1: inner.mean: must be a number (given 'x')"),
        ("inner: {mean: 1, mean: 2}\n", ":1: key 'mean' is there twice, first in line 1"),
        ("inner:\n  mean: 1\n  mean: 2\n", ":3: key 'mean' is there twice, first in line 2"),
        ("inner: 3\n", ":1: inner: must hold keys and values (given 3)"),
        (
            "inner:\n\tmean: 3\n",
            ":2: not valid YAML: while scanning for the next token, "
            "found character '\\t' that cannot start any token",
        ),
    ],
)
def test_a_mistake_inside_a_part_is_named_with_a_way_out(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        read_model(path, Outer)
    assert str(caught.value) == f"{path}{said}"


def test_a_file_that_is_not_there_is_named_once(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        read_model(tmp_path / "none.yaml", Outer)
    assert str(caught.value) == f"{tmp_path / 'none.yaml'}: cannot be read: No such file or directory"
