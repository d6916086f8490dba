"""Debian's Prometheus as a child process, and what it answers; for the tests of the live metrics."""

import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from common.ports import free_port
from tests.support.waiting import PATIENCE, wait_until

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]

CONFIG = """
global: {scrape_interval: 1s, scrape_timeout: 1s}
scrape_configs:
  - job_name: tokenswarm
    static_configs: [{targets: ["TARGET"]}]
"""


def program(name: str) -> str:
    """Its path. Without it the test is skipped, or fails where nothing may be skipped."""
    found = shutil.which(name)
    if found is None and os.environ.get("TOKENSWARM_REQUIRE_ALL"):
        pytest.fail(f"{name} is not installed (Debian's package prometheus)")
    if found is None:
        pytest.skip(f"{name} is not installed (Debian's package prometheus)")
    return found


def scrape(url: str) -> str:
    with urlopen(url, timeout=PATIENCE) as answer:
        text: str = answer.read().decode()
        return text


def samples(text: str) -> Samples:
    """Every sample of a scrape by its name and labels."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def total(found: Samples, name: str, **labels: str) -> float:
    """The sum of a metric's samples that have these labels."""
    return sum(value for (each, own), value in found.items() if each == name and labels.items() <= own)


class Prometheus:
    """Its HTTP API."""

    def __init__(self, url: str) -> None:
        self._url = url

    def query(self, expression: str) -> list[dict[str, Any]]:
        return self._ask("query", query=expression)

    def value(self, expression: str) -> float:
        """Of a query with one answer."""
        (only,) = self.query(expression)
        return float(only["value"][1])

    def range(self, expression: str, start: float, end: float) -> list[dict[str, Any]]:
        return self._ask("query_range", query=expression, start=str(start), end=str(end), step="1")

    def _ask(self, verb: str, **values: str) -> list[dict[str, Any]]:
        answer = json.loads(scrape(f"{self._url}/api/v1/{verb}?{urlencode(values)}"))
        assert answer["status"] == "success", answer
        found: list[dict[str, Any]] = answer["data"]["result"]
        return found


@contextlib.contextmanager
def prometheus(folder: Path, target: str) -> Iterator[Prometheus]:
    """A Prometheus that scrapes `target` (host:port) once a second."""
    command, port = program("prometheus"), free_port()
    config = folder / "prometheus.yml"
    config.write_text(CONFIG.replace("TARGET", target))
    options = [f"--config.file={config}", f"--storage.tsdb.path={folder / 'tsdb'}"]
    with (folder / "prometheus.log").open("w") as log:
        process = subprocess.Popen(
            [command, *options, f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log
        )
    try:

        def ready() -> bool:
            assert process.poll() is None, (folder / "prometheus.log").read_text()
            with contextlib.suppress(OSError):
                return bool(scrape(f"http://127.0.0.1:{port}/-/ready"))
            return False

        wait_until(ready, (folder / "prometheus.log").read_text)
        yield Prometheus(f"http://127.0.0.1:{port}")
    finally:
        process.terminate()
        process.wait(PATIENCE)
