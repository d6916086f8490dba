"""The web UI's command: it serves the page, ends by Ctrl-C, and names what is wrong before it starts."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from bench.process import metronome
from campaign.ui import run as run_ui
from common.places import ROOT
from common.usage import UsageError
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
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
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
            assert process.wait(30) == 0
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5)


def _page(process: "subprocess.Popen[bytes]", url: str) -> str:
    deadline = time.monotonic() + 40
    while time.monotonic() < deadline:
        assert process.poll() is None, "ended early"
        try:
            return str(urllib.request.urlopen(url, timeout=5).read())
        except OSError:
            time.sleep(0.2)
    raise AssertionError("the page never came")
