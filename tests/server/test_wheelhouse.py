"""The folder of wheels for a machine without network: filled by the real pip, and enough to install from."""

import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

from common.usage import UsageError
from server import install, wheelhouse


def make_wheel(place: Path, name: str) -> None:
    """A package of no modules."""
    place.mkdir(exist_ok=True)
    info = f"{name}-1.0.dist-info"
    with ZipFile(place / f"{name}-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository whose requirements are two packages of an index of its own."""
    make_wheel(tmp_path / "index", "lightpart")
    make_wheel(tmp_path / "index", "serverpart")
    (tmp_path / "requirements.txt").write_text("lightpart==1.0\n")
    (tmp_path / "requirements-server-gpu.txt").write_text("serverpart==1.0\n")
    monkeypatch.setattr(install, "ROOT", tmp_path)
    monkeypatch.setattr(wheelhouse, "LIGHT", tmp_path / "requirements.txt")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    return tmp_path


def test_it_holds_what_both_environments_need(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = clone / "wheels"
    wheelhouse.download("gpu", place)
    assert wheelhouse.holds(place)[0] == 2
    monkeypatch.setenv("PIP_FIND_LINKS", str(place))
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(clone / "there")]
    subprocess.run([*pip, "-r", str(clone / "requirements-server-gpu.txt")], check=True)
    assert (clone / "there" / "serverpart-1.0.dist-info").is_dir()


def test_what_pip_lacks_is_one_line_and_what_came_is_kept(clone: Path) -> None:
    (clone / "requirements-server-gpu.txt").write_text("missing==1.0\n")
    with pytest.raises(UsageError, match="could not download requirements-server-gpu.txt; what came is kept"):
        wheelhouse.download("gpu", clone / "wheels")
    assert wheelhouse.holds(clone / "wheels")[0] == 1
