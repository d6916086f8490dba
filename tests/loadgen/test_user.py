"""A locustfile that cannot be run is told so."""

import subprocess
import sys
from pathlib import Path

import pytest

from common.ports import free_port
from loadgen import events
from loadgen.user import OpenLoopUser, _say_misspelt
from tests.support.waiting import PATIENCE


@pytest.mark.parametrize("asked", [["--headless"], []])
def test_a_locustfile_of_other_users_is_told_so(tmp_path: Path, asked: list[str]) -> None:
    plain = tmp_path / "plain.py"
    plain.write_text(
        "from locust import HttpUser, task\nclass P(HttpUser):\n    @task\n    def t(self): pass\n"
    )
    words = [
        "-m",
        "loadgen",
        "-f",
        str(plain),
        *asked,
        "--host",
        "http://127.0.0.1:1",
        "--scenario",
        "chat-low",
    ]
    words += ["--web-port", str(free_port())]
    said = subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, check=False, timeout=PATIENCE
    )
    assert said.returncode == 2
    assert said.stderr.splitlines()[-1] == (
        "tokenswarm: no user class of the locustfile comes from loadgen.user.OpenLoopUser "
        "(docs/writing-a-client.md)"
    )


def test_a_name_that_is_nearly_a_hook_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    names = {"chek": None, "request_body": None, "check": None, "_body": None}
    _say_misspelt(type("MyUser", (OpenLoopUser,), {"abstract": True, **names}))
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "MyUser.chek is no hook; did you mean check?" in said
    with pytest.raises(AttributeError, match=r"no hook first_tokens; there are: chat_finished, first_token,"):
        _ = events.first_tokens
