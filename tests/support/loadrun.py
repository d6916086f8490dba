"""Runs the real load path (Locust, our locustfile) as a process of its own, for the tests."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pandas as pd

from common.places import ROOT
from loadgen.records.collect import BATCHES, known_arrivals
from tests.support.waiting import PATIENCE, wait_until

# Short and quick, with no warm-up: 5 s of 20 requests/s, 10 tokens each.
SHORT = """
rate: 20
duration: 5
warmup: 0
drain: 10
arrivals: {process: poisson}
prompt_tokens: 16
output_tokens: 10
"""


@dataclass(frozen=True)
class Outcome:
    """What a run left."""

    code: int
    out: str
    err: str
    folder: Path

    @property
    def manifest(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "manifest.json").read_text())
        return found

    @property
    def summary(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "summary.json").read_text())
        return found

    @property
    def records(self) -> pd.DataFrame:
        return pd.read_parquet(self.folder / "requests.parquet")

    def counts(self) -> dict[str, int]:
        """Records by status."""
        found = self.records["status"].value_counts()
        return {str(name): int(count) for name, count in found.items()}


class LoadRun:
    """A Locust that runs; `end` waits for it. Use it as a context: it is stopped on every way out."""

    def __init__(
        self,
        folder: Path,
        url: str,
        *options: str,
        workers: int | None = 1,
        scenario: str = SHORT,
        locustfile: str = "locustfiles/chat.py",
        environment: dict[str, str] | None = None,
        prefix: Sequence[str] = (),
        headless: bool = True,
    ) -> None:
        """workers: processes beside the master; None: all in one process."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder / "run"
        path = folder / "scenario.yaml"
        path.write_text(scenario)
        command = [*prefix, sys.executable, "-m", "locust", "-f", locustfile, "--host", url]
        command += ["--headless"] if headless else []
        command += ["--processes", str(workers)] if workers is not None else []
        command += ["--scenario", str(path), *options]
        kept = {name: value for name, value in os.environ.items() if not name.startswith("TOKENSWARM_")}
        kept |= {"TOKENSWARM_RUN_DIR": str(self.folder), "TOKENSWARM_RESULTS": str(folder)}
        kept["TOKENSWARM_WATCH"] = "0"  # as tests/conftest.py says
        self._out, self._err = folder / "out.txt", folder / "err.txt"
        with self._out.open("w") as out, self._err.open("w") as err:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**kept, **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    @property
    def err(self) -> str:
        return self._err.read_text()

    def wait_for(self, text: str) -> None:
        """Until stderr says it."""
        self.wait_until(lambda: text in self.err, f"never said {text!r}")

    def wait_until(self, true: Callable[[], object], what: str) -> None:
        """Until it is true; it must be before the run ends."""

        def looked() -> bool:
            ended = self.process.poll() is not None
            if true():
                return True
            assert not ended, f"ended early, {what}: {self.err}{self._out.read_text()}"
            return False

        wait_until(looked, lambda: f"{what}: {self.err}")

    def wait_for_records(self, count: int, lanes: int = 1) -> set[int]:
        """Until the run's folder has so many records, of each lane some; the arrivals that they are of."""
        found: set[int] = set()

        def there() -> bool:
            found.update(known_arrivals(self.folder))
            known = {path.name.split("-")[1] for path in (self.folder / BATCHES).glob("lane-*.arrow")}
            return len(found) >= count and len(known) == lanes

        self.wait_until(there, f"never had {count} records of {lanes} lanes")
        return found

    def signal(self, number: int) -> None:
        """To the whole group, as a terminal does."""
        os.killpg(self.process.pid, number)

    def end(self) -> Outcome:
        try:
            code = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"did not end within {PATIENCE} s: {self.err}") from None
        return Outcome(code, self._out.read_text(), self.err, self.folder)


def load(folder: Path, url: str, *options: str, **settings: Any) -> Outcome:
    """One run, to its end."""
    with LoadRun(folder, url, *options, **settings) as running:
        return running.end()


def left_running(group: int) -> list[int]:
    """Processes of a session that still live."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if os.getsid(int(path.name)) == group and (path / "stat").read_text().split()[2] != "Z":
                found.append(int(path.name))
        except (OSError, IndexError):
            continue
    return found
