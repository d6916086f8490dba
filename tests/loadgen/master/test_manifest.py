"""Each run has a folder of its own."""

from pathlib import Path

import pytest

from loadgen.master import manifest
from loadgen.protocol.settings import Subject
from loadgen.records.collect import BATCHES, DRAFT


def test_two_runs_that_begin_in_the_same_second_have_a_folder_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKENSWARM_RESULTS", str(tmp_path))
    monkeypatch.delenv("TOKENSWARM_RUN_DIR", raising=False)
    monkeypatch.setattr(Path, "exists", lambda path: False)  # neither sees the others
    names = [manifest.make_folder(Subject("v", None)).name for _ in range(3)]
    assert len(set(names)) == 3


def test_a_folder_whose_run_has_not_ended_is_not_taken_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = tmp_path / "run"
    monkeypatch.setenv("TOKENSWARM_RUN_DIR", str(given))
    subject = Subject("v", None)
    assert [manifest.make_folder(subject).name for _ in range(2)] == ["run", "run-2"]
    (given / DRAFT).unlink()  # that start came to nothing
    assert manifest.make_folder(subject) == given
    (given / DRAFT).unlink()
    (given / BATCHES).mkdir()  # its master died
    assert manifest.make_folder(subject).name == "run-3"
