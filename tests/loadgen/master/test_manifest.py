"""Each run has a folder of its own."""

import json
import os
from pathlib import Path

import psutil
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


def test_a_server_that_serve_serves_here_is_known_by_its_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKENSWARM_RESULTS", str(tmp_path))
    monkeypatch.delenv("TOKENSWARM_RUN_DIR", raising=False)
    here = {"pid": os.getpid(), "began": psutil.Process().create_time()}
    for name, host, launcher in (
        ("another", "http://127.0.0.1:8001", here),
        ("ended", "http://127.0.0.1:8000", here | {"began": 1.0}),
        ("before", "http://127.0.0.1:8000", None),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "server.json").write_text(json.dumps({"host": host, "launcher": launcher}))
    run = tmp_path / "run"
    run.mkdir()
    assert manifest.server_of(run, "http://127.0.0.1:8000") is None
    assert manifest.server_of(run, "http://127.0.0.1:8001") == {
        "host": "http://127.0.0.1:8001",
        "launcher": here,
    }
