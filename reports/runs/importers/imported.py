"""Another tool's result file as a run: what it holds becomes records, what it cannot tell is named."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from common.usage import UsageError
from loadgen.records.metrics import METRICS
from loadgen.records.rates import RATES
from loadgen.records.record import STATUSES
from reports.runs.columns import column_of, floats, texts_of
from reports.runs.manifest import FORMAT, Manifest, Window
from reports.runs.runs import Chunks, Floats, Limits, Records, Run
from reports.runs.server_metrics import ServerMetrics
from reports.text import escape

ROUNDING = 1e-6  # s; of a double that holds an epoch
LONGEST = 7 * 86400.0  # s; requests further apart are not of one run
MOST_TOKENS = 1e8  # of one request; no model's context comes near it
LONGEST_ERROR = 200  # characters of an error that are kept
BURST = 0.1  # of the watched time: requests that were all due earlier came as one burst, at no rate
SAME_FLOAT = 1e-9  # relative: sums in another order
NO_RECORDS = "the file holds sums over requests, and no single ones"
NOT_PLACED = "the file says how long requests took, and not when they were sent"
TIMED_FIGURES = (
    *(each.name for each in RATES.values() if each.unit != "share" and not each.of_gpu),
    *(name for name in METRICS if name.startswith("scheduled_")),
)
FIGURES = (*(each.name for each in RATES.values() if not each.of_gpu), *METRICS, *STATUSES)
TIMED_RULES = (
    *("dispatch_delay_p99", "late_share", "unsent_share", "backlog", "backlog_at_end"),
    *("ran_to_the_end", "times_in_order", "warmup_long_enough", "unfinished_share"),
)
RULES = (
    *TIMED_RULES,
    *("accounting", "lanes_lost", "batches_lost", "clocks", "streamed"),
    *("failed_share", "empty_answers", "tokens_seen", "answer_lengths", "refused_share"),
)
NO_DUE = "the file has no due times, only when requests were sent"
NO_SLO = "the file names no SLO"
NO_LANES = "the file says nothing of its workers"
SENT_ONLY = Limits(  # of a list of requests, each with the moments of its own
    dict.fromkeys(("scheduled_ttft", "scheduled_latency"), NO_DUE)
    | dict.fromkeys(("slo_attainment", "goodput_rate"), NO_SLO)
    | {"lost": NO_LANES},
    dict.fromkeys(("dispatch_delay_p99", "late_share", "unsent_share"), NO_DUE) | {"lanes_lost": NO_LANES},
)
_NO_RATE = "the requests came as one burst, at no rate"


@dataclass(frozen=True)
class Claim:
    """A figure that the tool printed, in SI units."""

    row: str  # what comes nearest to it here: a row of the results table, or '<metric>_mean', '<metric>_p90'
    field: str  # its name in the file
    value: float
    rounding: float = 0.0  # by so much the tool's printing may have moved it
    own: float | None = None  # the same, reckoned from the file's records as the tool defines it
    meaning: str = ""  # how the tool's definition differs from the one here; empty where it does not

    @property
    def reproduced(self) -> bool | None:
        """Whether the records give the printed figure by the tool's own definition; None: cannot be told."""
        if self.own is None:
            return None
        return abs(self.own - self.value) <= self.rounding + SAME_FLOAT * max(abs(self.value), abs(self.own))


@dataclass(frozen=True)
class Imported:
    """One result file, read. Times are seconds from the first request that came due."""

    path: Path
    tool: str
    table: pa.Table  # columns of loadgen.records.record.SCHEMA, as many as the file allows
    chunks: Chunks | None  # when they came
    watched: float  # up to here the file knows something
    due: int  # requests that the tool says there were
    open_loop: bool  # requests came due at a rate of their own
    claims: list[Claim]
    model: str | None = None
    asked: dict[str, Any] = field(default_factory=dict)  # of the load: rate (1/s), arrivals, requests
    concurrency: int | None = None  # requests in flight at which the client held others back
    started_at: str | None = None
    limits: Limits = field(default_factory=Limits)
    notes: list[str] = field(default_factory=list)
    placed: bool = True  # whether the file says when requests were sent; else only how long they took
    version: str | None = None  # of the tool
    label: str = ""  # what reports call it
    ran: str | None = None  # who ran the load, where that is not this tool alone

    @property
    def has_records(self) -> bool:
        """Whether the file holds single requests, or sums only."""
        return self.table.num_rows > 0

    @property
    def timed(self) -> bool:
        """Whether arrivals made the load as long as it was; else that is a result, like the throughput."""
        return self.placed and self.open_loop and not one_burst(self._due, self.watched)

    @property
    def span(self) -> float:
        """Seconds in which requests came due, the gap after the last one included; else up to the end."""
        count = len(self._due)
        if not self.timed:  # (nor where there are no records)
            return float(np.nextafter(self.watched, np.inf))  # the last token is inside
        return float(self._due.max()) * count / (count - 1)

    @property
    def _due(self) -> Floats:
        return floats(self.table["due"])

    def run(self, variant: str, name: str, window_end: float) -> Run:
        """The file as a run of that variant; arrivals due before `window_end` are judged: all of them."""
        manifest = Manifest(
            format=FORMAT,
            run=name,
            variant=variant,
            model=self.model,
            scenario=self.asked,
            scenario_name=f"as {self.ran or self.tool} ran it",
            window=Window(start=0.0, end=window_end),
            schedule_end=window_end,
            drained_at=max(self.watched, window_end),
            started_at=self.started_at,
            due=self.due,
        )
        records = Records(self.table, str(self.path), self.chunks)
        return Run(manifest, records, ServerMetrics(), None, self._all_limits())

    def _all_limits(self) -> Limits:
        """What the file cannot tell, and what follows from it for any file."""
        if not self.has_records:
            return Limits(dict.fromkeys(FIGURES, NO_RECORDS), dict.fromkeys(RULES, NO_RECORDS))
        figures, rules = dict(self.limits.figures), dict(self.limits.rules)
        if not self.placed:
            figures |= dict.fromkeys(TIMED_FIGURES, NOT_PLACED)
            rules |= dict.fromkeys(TIMED_RULES, NOT_PLACED)
        if not self.timed:
            figures.setdefault("offered_rate", _NO_RATE)
        return Limits(figures, rules)


def one_burst(due: Floats, watched: float) -> bool:
    """Whether requests due at these seconds came all at once, seen against the time that was watched."""
    return len(due) < 2 or float(due.max() - due.min()) < BURST * watched


def number(value: object, where: str) -> float:
    """A finite number. Raises UsageError that begins with `where`."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        shown = "missing" if value is None else f"{str(value)[:40]!r}, not a number"
        raise UsageError(f"{where} is {shown}")
    try:
        found = float(value)
    except OverflowError:
        found = math.inf
    if not math.isfinite(found):
        raise UsageError(f"{where} is {found}, not a finite number")
    return found


def optional(value: object, where: str) -> float:
    """As `number`, but NaN for null."""
    return math.nan if value is None else number(value, where)


def error_line(text: object) -> str:
    """An error's last line (of a traceback: what was raised), without keys and control characters."""
    lines = [line.strip() for line in str(text).splitlines() if line.strip()]
    return escape.clean(lines[-1] if lines else "no text")[:LONGEST_ERROR]


@dataclass
class Claims:
    """The claims of a file, gathered; of two on one row the first stands."""

    where: str  # how a message on one begins
    own: Mapping[str, float] = field(default_factory=dict)  # by row, in SI units
    meaning: Mapping[str, str] = field(default_factory=dict)  # by metric or row
    found: dict[str, Claim] = field(default_factory=dict)  # by row

    def add(self, name: str, value: object, row: str, factor: float = 1.0, rounding: float = 0.0) -> None:
        """One, unless it is not in the file (null). `factor`: to SI units. `rounding`: in the file's unit."""
        if value is not None and row not in self.found:
            meaning = self.meaning.get(row) or self.meaning.get(row.rpartition("_")[0], "")
            figure = factor * number(value, f"{self.where}{name}")
            self.found[row] = Claim(row, name, figure, factor * rounding, self.own.get(row), meaning)

    def take(self, found: Mapping[str, Any], names: Mapping[str, tuple[str, float]]) -> "Claims":
        """Those in the file. `names`: name in the file: (row, factor)."""
        for name, (row, factor) in names.items():
            self.add(name, found.get(name), row, factor)
        return self

    def summary(
        self, name: str, found: Mapping[str, Any], metric: str, keys: Mapping[str, str], factor: float = 1.0
    ) -> None:
        """A metric's mean and percentiles. `keys`: in the file: "mean", "p50", …"""
        for key, share in keys.items():
            self.add(f"{name}.{key}", found.get(key), f"{metric}_{share}", factor)

    def all(self) -> list[Claim]:
        return list(self.found.values())


def no_records(path: Path, tool: str, claims: list[Claim], due: int, **known: Any) -> Imported:
    """A result of sums only: its claims stand, and nothing can be held against them."""
    times = {name: np.zeros(0) for name in ("due", "sent", "first_token", "last_token", "end")}
    table = make_table({**times, "status": []})
    return Imported(path, tool, table, None, 1.0, due, False, claims, placed=False, **known)


def tokens_of(value: object, where: str) -> float:
    """A number of tokens; NaN for null. Raises UsageError that begins with `where`."""
    found = optional(value, where)
    if found < 0 or found > MOST_TOKENS or (found == found and found != int(found)):
        raise UsageError(f"{where} is {found:g}, not a number of tokens")
    return found


def duration(value: object, where: str) -> float:
    """Seconds that are not negative; NaN for null. Raises UsageError that begins with `where`."""
    found = optional(value, where)
    if found < -ROUNDING:
        raise UsageError(f"{where} is {found:g}, a negative duration")
    if found > LONGEST:
        raise UsageError(f"{where} is {found:g} s, more than 7 days: another unit?")
    return found


def one_clock(path: Path, sent: Floats) -> None:
    """Raises UsageError where requests lie further apart than any run lasts."""
    far = np.abs(sent - np.median(sent))
    if far.max() > LONGEST:
        raise UsageError(
            f"{path}: record {int(far.argmax())} (from 0): its start time is {far.max() / 86400:.1f} days "
            "off the others; stamps of several clocks or runs are mixed"
        )


def in_order(path: Path, index: int, sent: float, first: float, last: float) -> None:
    """Raises UsageError for a request (from 0) whose tokens came in no possible order; NaN: did not come."""
    where = f"{path}: record {index} (from 0)"
    if first < sent - ROUNDING:
        raise UsageError(f"{where}: its first token came {sent - first:.3f} s before it was sent")
    if last < first - ROUNDING:
        raise UsageError(f"{where}: its first token came {first - last:.3f} s after its last")
    if last < sent - ROUNDING:
        raise UsageError(f"{where}: negative duration: it ended {sent - last:.3f} s before it was sent")


def make_table(columns: dict[str, Any]) -> pa.Table:
    """Columns (arrays of float64, lists of texts) as a table; NaN becomes null."""
    count = len(columns["sent"])
    arrays = {
        name: column_of(values) if isinstance(values, np.ndarray) else texts_of(values)
        for name, values in columns.items()
    }
    arrays["arrival"] = column_of(np.arange(count, dtype=np.int32))
    arrays["lane"] = column_of(np.zeros(count, np.int16))
    arrays["workload"] = texts_of(["chat"] * count)
    return pa.table(arrays)


def spread(start: float, end: float, count: int) -> NDArray[np.float64]:
    """`count` moments evenly from start to end, the first at start."""
    return np.linspace(start, end, count) if count > 1 else np.array([start])
