"""The server's /metrics, once a second during a run."""

import contextlib
import json
import logging
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import gevent
import pyarrow as pa
import pyarrow.parquet as pq
from prometheus_client.parser import text_string_to_metric_families

from loadgen.master.server_info import Server
from loadgen.records.record import METRICS_SCHEMA

EVERY = 1.0  # s
# The rest (Python's own, HTTP's) says nothing about the model; but when its process began tells two apart.
PREFIXES = ("vllm:", "process_start_time_seconds")
KEPT = (*PREFIXES, *(f"# TYPE {prefix}" for prefix in PREFIXES))
ONE_MODEL, FIRST_ENGINE = "model_name", ("engine", "0")  # the same in every row where there is one engine
GAUGES = {"running": "vllm:num_requests_running", "waiting": "vllm:num_requests_waiting"}
ROWS = 50_000  # of a row group

logger = logging.getLogger(__name__)
Row = tuple[float, str, str, float]


class Scraper:
    """Takes scrapes until it is stopped; they are parsed only when the run is over.

    `clock` gives seconds from the run's start.
    """

    def __init__(self, server: Server, clock: Callable[[], float]) -> None:
        self._server, self._clock = server, clock
        self._taken: list[tuple[float, bytes]] = []
        self._greenlet: gevent.Greenlet | None = None
        self.latest: dict[str, float] = {}  # of GAUGES, for those who watch

    def start(self) -> None:
        self._greenlet = gevent.spawn(self._run)

    def stop(self) -> None:
        """Take a last scrape; it is after every answer."""
        if self._greenlet is not None:
            self._greenlet.kill()
            self._greenlet = None
            self.take()

    def take(self) -> None:
        """One scrape, if the server gives any."""
        text = self._server.metrics()
        if text is None:
            self.latest = {}  # what it said last is no longer known to be so
            return
        kept = [line for line in text.splitlines() if line.startswith(KEPT)]
        self._taken.append((self._clock(), zlib.compress("\n".join(kept).encode(), 1)))
        for name, metric in GAUGES.items():
            # The name's end counts: num_requests_waiting_by_reason holds the same requests again.
            own = (f"{metric}{{", f"{metric} ")
            with contextlib.suppress(ValueError):  # a line that is cut off
                values = [_value(line, metric) for line in kept if line.startswith(own)]
                if values:
                    self.latest[name] = sum(values)

    def write(self, path: Path) -> None:
        """Write server_metrics.parquet, without scrapes that cannot be read. Raises OSError."""
        part = path.with_name(f".{path.name}.part")
        with pq.ParquetWriter(part, METRICS_SCHEMA) as writer:
            rows: list[Row] = []
            for moment, packed in self._taken:
                try:
                    rows += parse(moment, zlib.decompress(packed).decode())
                except ValueError as error:
                    logger.warning("the server's /metrics at %.0f s cannot be read: %s", moment, error)
                if len(rows) > ROWS:
                    writer.write_table(_table(rows))
                    rows = []
            writer.write_table(_table(rows))
        part.replace(path)

    def _run(self) -> None:
        started = time.monotonic()
        number = 0
        while True:
            self.take()
            number += 1
            gevent.sleep(max(0.05, started + number * EVERY - time.monotonic()))


def parse(moment: float, text: str) -> list[Row]:
    """(t, name, labels as JSON, value) of each sample. Raises ValueError for what is no such text."""
    return [
        (moment, sample.name, _labels(sample.labels), sample.value)
        for family in text_string_to_metric_families(text + "\n")
        for sample in family.samples
        if not sample.name.endswith("_created")
    ]


def _value(line: str, metric: str) -> float:
    """A sample's; a moment may stand behind it. Raises ValueError where the line is cut off."""
    text = line.rpartition("}")[2].removeprefix(metric).split(maxsplit=1)
    return float(text[0] if text else "")


def _labels(given: dict[str, str]) -> str:
    """Data-parallel engines have counters of their own, which must not look like one that jumps."""
    kept = {key: value for key, value in given.items() if key != ONE_MODEL and (key, value) != FIRST_ENGINE}
    return json.dumps(kept, sort_keys=True)


def _table(rows: list[Row]) -> pa.Table:
    arrays = [
        pa.array([row[place] for row in rows], field.type) for place, field in enumerate(METRICS_SCHEMA)
    ]
    return pa.table(arrays, schema=METRICS_SCHEMA)
