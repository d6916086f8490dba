"""The key reaches the server that it is for, and nothing that is kept or shown."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from common.places import ROOT
from common.redact import HIDDEN
from tests.server.test_launch import Launch
from tests.support.fakeserver import FakeServer
from tests.support.loadrun import SHORT, load

KEY = "Zx9-Yw8_Vu7.Ts6-of-no-known-form"
FEW = SHORT.replace("rate: 20", "rate: 5").replace("duration: 5", "duration: 2")


def tokenswarm(folder: Path, *words: str) -> str:
    """What a command shows, both ways, and on a terminal's terms."""
    environment = os.environ | {"OPENAI_API_KEY": KEY, "TOKENSWARM_RESULTS": str(folder)}
    command = [sys.executable, "-m", "tokenswarm", *words]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout + done.stderr


def holders(folder: Path) -> list[str]:
    """The files that hold the key, in whatever form; Parquet is read."""
    found = []
    for path in folder.rglob("*"):
        if path.suffix == ".parquet":
            content = pd.read_parquet(path).to_json().encode()
        else:
            content = path.read_bytes() if path.is_file() else b""
        if KEY.encode() in content:
            found.append(path.name)
    return found


@pytest.mark.parametrize(
    "behaviour",
    ["quotes-the-key", pytest.param("quotes-the-key-in-a-stream", marks=pytest.mark.thorough)],
)
def test_an_error_that_quotes_the_key_reaches_no_file_no_report_and_no_terminal(
    behaviour: str, tmp_path: Path
) -> None:
    with FakeServer() as server:
        words, given = ("--model", behaviour), {"OPENAI_API_KEY": KEY}
        refused = load(tmp_path / "refused", server.url(), *words, scenario=FEW, environment=given)
        found = load(tmp_path, server.url(), *words, "--keep-going", scenario=FEW, environment=given)
        assert {each.headers["authorization"] for each in server.requests} == {f"Bearer {KEY}"}
    assert refused.code == 2 and HIDDEN in refused.err and KEY not in refused.out + refused.err
    assert not refused.folder.exists()
    errors = set(found.records["error"])
    assert any(f"Incorrect API key provided: Bearer {HIDDEN}" in error for error in errors), errors
    assert str(found.summary["errors"]).count(HIDDEN) and KEY not in found.out + found.err
    assert "\x1b" not in found.out + found.err, "the server's order to clear the screen"
    assert holders(tmp_path) == []
    shutil.copytree(found.folder, other := tmp_path / "other")
    manifest = json.loads((other / "manifest.json").read_text()) | {"variant": "other"}
    (other / "manifest.json").write_text(json.dumps(manifest))
    said = tokenswarm(tmp_path, "report", str(found.folder), str(other), "--name", "both")
    said += tokenswarm(tmp_path, "judge", str(other)) + tokenswarm(tmp_path, "history")
    assert KEY not in said and "\x1b" not in said
    assert HIDDEN in said and (tmp_path / "reports/both/report.html").is_file()
    assert holders(tmp_path) == []


@pytest.mark.parametrize(
    "host",
    [f"http://127.0.0.1:1/v1?api_key={KEY}", f"http://user:{KEY}@127.0.0.1:1", f"http://127.0.0.1:1/#{KEY}"],
)
def test_a_key_in_the_host_is_refused_and_neither_shown_nor_kept(host: str, tmp_path: Path) -> None:
    found = load(tmp_path, host, scenario=FEW)
    assert found.code == 2 and KEY not in found.out + found.err and "OPENAI_API_KEY" in found.err
    assert holders(tmp_path) == [] and not found.folder.exists()


def test_what_is_shown_and_kept_of_a_server_s_log_holds_no_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    launcher = Launch(tmp_path, 1).start(behaviour="tells")
    _, out, err = launcher.end()
    assert f"no such key: {HIDDEN}" in err and KEY not in out + err and "\x1b" not in err
    assert holders(launcher.results) == ["server.log"], "that one is the server's own"
