"""What is registered is found by its name; what is not, is an error that lists what is."""

from pathlib import Path

import pytest

from common.registry import Registry
from common.usage import UsageError


def test_names_are_those_that_modules_registered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "shapes_of_a_test"
    package.mkdir()
    (package / "__init__.py").write_text(
        "from common.registry import Registry\n"
        "SHAPES = Registry('shape')\n"
        "SHAPES.discover(__name__, __path__)\n"
    )
    for name in ("square", "circle"):
        text = f"from shapes_of_a_test import SHAPES\n@SHAPES.register('{name}')\ndef draw(): return '{name}'"
        (package / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    from shapes_of_a_test import SHAPES  # type: ignore[import-not-found]

    assert list(SHAPES) == ["circle", "square"]
    assert SHAPES["square"]() == "square"


def test_an_unknown_name_lists_those_there_are() -> None:
    shapes: Registry[int] = Registry("shape")
    shapes.register("circle")(1)
    shapes.register("square")(2)
    with pytest.raises(UsageError) as error:
        shapes["squar"]
    assert str(error.value) == "unknown shape 'squar'; did you mean 'square'? there are: circle, square"
    assert "squar" not in shapes
    assert len(shapes) == 2


def test_a_name_is_registered_once() -> None:
    shapes: Registry[int] = Registry("shape")
    shapes.register("circle")(1)
    with pytest.raises(ValueError, match="shape circle is registered twice"):
        shapes.register("circle")(2)
