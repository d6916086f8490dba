"""Locust with its web UI, and a browser that looks at it, for the tests."""

import json
import shutil
import socket
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from common.ports import free_port
from tests.support.loadrun import LoadRun
from tests.support.waiting import PATIENCE, wait_until

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


class WebRun(LoadRun):
    """A Locust with a web UI at `url`; several runs can be started in it."""

    def __init__(self, folder: Path, server: str, *options: str, **settings: Any) -> None:
        port, master = free_port(), str(free_port())
        self.url = f"http://127.0.0.1:{port}"
        places = ["--web-host", "127.0.0.1", "--web-port", str(port)]
        if settings.get("workers", 1) is not None:
            places += ["--master-bind-port", master, "--master-port", master]
        super().__init__(folder, server, *places, *options, headless=False, **settings)

    def answers(self) -> None:
        """Until it takes connections: it says that it starts a moment before."""
        self.wait_for("Starting web interface")
        port = int(self.url.rpartition(":")[2])
        with socket.socket() as probe:
            self.wait_until(lambda: probe.connect_ex(("127.0.0.1", port)) == 0, "takes no connections")

    def ready(self, workers: int) -> None:
        """Until the UI answers and the workers have joined."""
        self.answers()
        self.wait_until(lambda: self.get("/worker-count")["worker_count"] >= workers, "workers are missing")

    def get(self, path: str) -> Any:
        """The JSON at a path, by whatever way but a browser."""

        def answered() -> list[Any]:
            try:
                with urllib.request.urlopen(f"{self.url}{path}", timeout=PATIENCE) as answer:
                    return [json.load(answer)]
            except ConnectionError:
                return []
            except urllib.error.URLError as error:
                if not isinstance(error.reason, ConnectionError):
                    raise
                return []

        return wait_until(answered, lambda: f"{self.url} does not answer: {self.err}")[0]

    def head(self, path: str, headers: dict[str, str]) -> dict[str, str]:
        """The headers of the answer to GET."""
        connection = HTTPConnection(urlsplit(self.url).netloc, timeout=PATIENCE)
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        answer.read()
        connection.close()
        return dict(answer.headers)


def post(url: str, path: str, content: bytes = b"", **headers: str) -> tuple[int, bytes]:
    """What a program does that starts or stops a run: it loads a page, and sends the token that it got."""
    address = urlsplit(url)
    connection = HTTPConnection(address.netloc, timeout=PATIENCE)
    try:
        connection.request("GET", "/worker-count")
        answer = connection.getresponse()
        answer.read()
        cookie = (answer.headers["Set-Cookie"] or "").partition(";")[0]
        form = {"Content-Type": "application/x-www-form-urlencoded", "Cookie": cookie}
        connection.request("POST", path, content, form | headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


@contextmanager
def browser(*flags: str) -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, *flags])
        yield opened
        opened.close()


def until(page: Any, expression: str) -> Any:
    """What the JavaScript gives, once that is something true."""
    looked, wait = f"never true: {expression}", page.wait_for_timeout
    return wait_until(lambda: page.evaluate(expression), looked, lambda seconds: wait(1000 * seconds))


class Tab:
    """A page of a browser with what it complained about."""

    def __init__(self, browser: Any, width: int = 1280, scheme: str = "light") -> None:
        self.page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        self.errors: list[str] = []
        self.foreign: list[str] = []
        self.page.set_default_timeout(1000 * PATIENCE)
        self.page.on(
            "console", lambda found: self.errors.append(found.text) if found.type == "error" else None
        )
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on(
            "request",
            lambda found: (
                None
                if found.url.startswith(("http://127.0.0.1", "data:", "blob:"))
                else self.foreign.append(found.url)
            ),
        )

    def until(self, expression: str) -> Any:
        """Wait until the JavaScript gives something true (the pages' policies forbid wait_for_function)."""
        return until(self.page, expression)

    def close(self) -> None:
        assert not self.errors, self.errors
        assert not self.foreign, f"nothing may come from the network: {self.foreign}"
        self.page.close()
