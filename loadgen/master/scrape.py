"""The server's /metrics, once a second during a run, and beside them the GPUs that it runs on here."""

import contextlib
import itertools
import json
import logging
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import gevent
import pyarrow as pa
from prometheus_client.parser import text_string_to_metric_families

from loadgen.host import beat
from loadgen.master import gpu
from loadgen.master.gpu import Gpus
from loadgen.master.server_info import Server
from loadgen.records import watched
from loadgen.records.watched import Row

EVERY = 1.0  # s
# What reports read; histograms by the name of their family. The rest of a server's series is not kept.
USED = (
    "num_requests_running",
    "num_requests_waiting",
    "kv_cache_usage_perc",
    "gpu_cache_usage_perc",
    "num_preemptions",
    "cache_config_info",
    "prefix_cache_hits",
    "prefix_cache_queries",
    "generation_tokens",
    "prompt_tokens",
    "iteration_tokens_total",
    "time_to_first_token_seconds",
    "e2e_request_latency_seconds",
    "request_queue_time_seconds",
    "request_prefill_time_seconds",
    "request_decode_time_seconds",
    "request_inference_time_seconds",
    "request_success",
    "estimated_flops_per_gpu",
    "estimated_read_bytes_per_gpu",
    "estimated_write_bytes_per_gpu",
)
SUFFIX = r"(?:_total|_bucket|_sum|_count)?"
BEGAN = "process_start_time_seconds"  # tells two processes of a server apart
LINE = re.compile(rf"^(?:# TYPE )?(?:{BEGAN}|vllm:(?:{'|'.join(USED)}){SUFFIX})[ {{].*$", re.MULTILINE)
START = re.compile(rf"^{BEGAN} (\S+)", re.MULTILINE)
MODEL = re.compile(r'model_name="([^"]*)"')
SERIES = 5000  # of one scrape; vLLM has 300 for each engine
KEPT = 64 * 2**20  # bytes of all scrapes, packed; an hour of vLLM's takes 20 MB
ONE_MODEL, FIRST_ENGINE = "model_name", ("engine", "0")  # the same in every row where there is one engine
GAUGES = {
    "running": "vllm:num_requests_running",
    "waiting": "vllm:num_requests_waiting",
}
OF_GPUS = {"joules": gpu.ENERGY, "watts": gpu.POWER}
AGE = "scrape:age_seconds"  # for which a page of metrics had lain in a cache
ROWS = 50_000  # of a row group

logger = logging.getLogger(__name__)


class Scraper:
    """Takes scrapes until it is stopped; they are parsed only when the run is over.

    `clock` gives seconds from the run's start. `gpus`: those that the server runs on, where they are here.
    """

    def __init__(self, server: Server, clock: Callable[[], float], gpus: Gpus | None = None) -> None:
        self._server, self._clock, self._gpus = server, clock, gpus
        self._taken: list[tuple[float, int, bytes]] = []  # when, from which place, what
        self._readings = watched.Samples()  # of the GPUs
        self._greenlets: list[gevent.Greenlet] = []
        self._size = 0
        self._said: set[str] = set()
        self._latest: dict[int, dict[str, float]] = {}  # of each place

    def start(self) -> None:
        self._greenlets = [gevent.spawn(beat.each, EVERY, self.take)]
        if self._gpus:
            self._greenlets.append(gevent.spawn(beat.each, gpu.EVERY, self.read_gpus))

    def stop(self) -> None:
        """Take a last scrape and a last reading; they are after every answer."""
        if self._greenlets:
            gevent.killall(self._greenlets)
            self._greenlets = []
            self.take()
            self.read_gpus(whole=True)

    @property
    def latest(self) -> dict[str, float]:
        """Of GAUGES and OF_GPUS, for those who watch: of all engines and cards together."""
        total: Counter[str] = Counter()
        for each in self._latest.values():
            total.update(each)
        cards = self._gpus.latest if self._gpus else {}
        return dict(total) | {name: cards[metric] for name, metric in OF_GPUS.items() if metric in cards}

    def read_gpus(self, whole: bool = False) -> None:
        """One reading of each, if there are any."""
        if self._gpus:
            asked = self._clock(), whole
            self._readings.extend(gevent.get_hub().threadpool.apply(self._gpus.rows, asked))

    def take(self) -> None:
        """One scrape of each place, if the server gives any."""
        places = range(len(self._server.metrics_at))
        if len(places) == 1:
            self._take(0)
        else:
            gevent.joinall([gevent.spawn(self._take, place) for place in places])

    def _take(self, place: int) -> None:
        found = self._server.metrics(place) if place else self._server.metrics()
        if found is None:
            self._latest.pop(place, None)  # what it said last is no longer known to be so
            return
        text, cut = found
        age = self._server.metrics_age
        beside = "" if age is None else f"{AGE} {age}\n"
        moment = self._clock()
        kept, packed, more = gevent.get_hub().threadpool.apply(select, (text, beside))
        if cut or more:
            self._say_once("the server's /metrics are cut: they hold more than 16 MiB or 5,000 series of use")
        if self._size + len(packed) > KEPT:
            self._say_once("the server's /metrics are no longer kept: those so far take 64 MiB")
        else:
            self._size += len(packed)
            self._taken.append((moment, place, packed))
        for name, metric in GAUGES.items():
            # The name's end counts: num_requests_waiting_by_reason holds the same requests again.
            own = (f"{metric}{{", f"{metric} ")
            with contextlib.suppress(ValueError):  # a line that is cut off
                values = [_value(line, metric) for line in kept if line.startswith(own)]
                if values:
                    self._latest.setdefault(place, {})[name] = sum(values)

    def write(self, path: Path) -> None:
        """Write server_metrics.parquet, without scrapes that cannot be read. Raises OSError."""
        unread: list[float] = []
        watched.write(path, self._tables(unread))
        if unread:
            self._say_once(
                f"{len(unread)} of {len(self._taken)} scrapes of the server's /metrics cannot be read, the "
                f"first at {unread[0]:.0f} s"
            )

    def _tables(self, unread: list[float]) -> Iterator[pa.Table]:
        """All scrapes; the moments of those that cannot be read are added to `unread`."""
        rows: list[Row] = []
        several, engines = self._several_models(), self._in_turn()
        for (moment, place, packed), engine in zip(self._taken, engines, strict=True):
            more = {"address": str(place + 1)} if place else {}
            more |= {"replica": str(engine + 1)} if engine else {}
            try:
                rows += parse(moment, zlib.decompress(packed).decode(), several, more)
            except (ValueError, OverflowError, RecursionError):
                unread.append(moment)
            if len(rows) > ROWS:
                yield watched.table(rows)
                rows = []
        yield watched.table(rows)
        yield self._readings.table()

    def _several_models(self) -> bool:
        """Whether the last scrape of each place names several models; it holds all series."""
        last = {place: packed for _, place, packed in self._taken}
        names = {name for packed in last.values() for name in MODEL.findall(zlib.decompress(packed).decode())}
        return len(names) > 1

    def _in_turn(self) -> list[int]:
        """Which process of its place answered each scrape, from 0: several where one that was gone
        comes back, as behind a gateway that asks its engines in turn. Else it was restarted."""
        starts = [(place, _began(packed)) for _, place, packed in self._taken]
        found = [0] * len(starts)
        for place in {place for place, _ in starts}:
            here = [number for number, each in enumerate(starts) if each[0] == place and each[1] is not None]
            order = list(dict.fromkeys(starts[number][1] for number in here))
            changes = sum(starts[one] != starts[two] for one, two in itertools.pairwise(here))
            if changes >= len(order) > 1:
                for number in here:
                    found[number] = order.index(starts[number][1])
        return found

    def _say_once(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            logger.warning("%s", text)


def select(text: str, beside: str = "") -> tuple[list[str], bytes, bool]:
    """The lines of use, the same packed, and whether there were more of them than are kept. Pure work on one
    text: a thread does it while the event loop goes on. `beside`: lines of our own, packed with them."""
    kept = list(itertools.islice((match[0] for match in LINE.finditer(text)), SERIES + 1))
    packed = zlib.compress("\n".join([*kept[:SERIES], beside]).encode(), 1)
    return kept[:SERIES], packed, len(kept) > SERIES


def parse(
    moment: float, text: str, models: bool = False, more: Mapping[str, str] = MappingProxyType({})
) -> list[Row]:
    """(t, name, labels as JSON, value) of each sample. Raises ValueError for what is no such text.

    models: keep which model each is of. more: labels that all of them get.
    """
    return [
        (moment, sample.name, _labels(sample.labels, models, more), sample.value)
        for family in text_string_to_metric_families(text + "\n")
        for sample in family.samples
        if not sample.name.endswith("_created")
    ]


def _value(line: str, metric: str) -> float:
    """A sample's; a moment may stand behind it. Raises ValueError where the line is cut off."""
    text = line.rpartition("}")[2].removeprefix(metric).split(maxsplit=1)
    return float(text[0] if text else "")


def _began(packed: bytes) -> str | None:
    """When the process began that answered, in its own words."""
    found = START.search(zlib.decompress(packed).decode())
    return found[1] if found else None


def _labels(given: dict[str, str], models: bool, more: Mapping[str, str]) -> str:
    """Engines and models have counters of their own, which must not look like one that jumps."""
    kept = {
        key: value
        for key, value in given.items()
        if (models or key != ONE_MODEL) and (key, value) != FIRST_ENGINE
    }
    return json.dumps(kept | dict(more), sort_keys=True)
