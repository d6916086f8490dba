"""The web UI's command: it serves the page, ends by Ctrl-C, and names what is wrong before it starts."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from bench.process import metronome
from campaign.ui import run as run_ui
from common.places import ROOT
from common.ports import free_port
from common.usage import UsageError
from tests.support.waiting import PATIENCE, wait_until
from tokenswarm.__main__ import parse

ANY = ["--host", "http://127.0.0.1:1"]


def test_a_page_address_in_use_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with pytest.raises(UsageError, match=f"--web-port {port}: 127.0.0.1:{port} cannot be used"):
            run_ui(parse(["ui", "v", *ANY, "--web-port", port]))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["v", *ANY, "--web-port", "70000"], "--web-port 70000: 127.0.0.1:70000 cannot be used"),
        (["v", *ANY, "--scenario", "none"], "unknown scenario 'none'"),
        (["none"], "unknown variant 'none'"),
    ],
)
def test_mistakes_are_named(words: list[str], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        run_ui(parse(["ui", *words, "--target", "cpu-tiny"]))


def test_the_page_is_there_until_ctrl_c(tmp_path: Path) -> None:
    port = free_port()
    with metronome() as server:
        command = [
            sys.executable,
            "-m",
            "tokenswarm",
            "ui",
            "v",
            "--host",
            server.url,
            "--web-port",
            str(port),
        ]
        environment = {**os.environ, "TOKENSWARM_RESULTS": str(tmp_path)}
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL)
        try:
            assert "Locust" in _page(process, f"http://127.0.0.1:{port}/")
            process.send_signal(signal.SIGINT)
            assert process.wait(PATIENCE) == 0
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=PATIENCE)


def _page(process: "subprocess.Popen[bytes]", url: str) -> str:
    def came() -> str:
        assert process.poll() is None, "ended early"
        with contextlib.suppress(OSError):
            return str(urllib.request.urlopen(url, timeout=PATIENCE).read())
        return ""

    return wait_until(came, "the page never came")
