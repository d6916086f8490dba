"""Another tool's result file as a run: what it holds becomes records, what it cannot tell is named."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from common.usage import UsageError
from reports.runs.runs import FORMAT, Floats, Limits, Manifest, Records, Run, Window
from reports.runs.server_metrics import ServerMetrics
from reports.text import escape

MOST_TOKENS = 1e8  # of one request; no model's context comes near it
LONGEST_ERROR = 200  # characters of an error that are kept
LOCUST = ("Type,Name,Request Count", "Timestamp,User Count", "Method,Name,Error")  # heads of its tables
BURST = 0.1  # of the watched time: requests that were all due earlier came as one burst, at no rate
_NO_RATE = "the requests came as one burst, at no rate"


@dataclass(frozen=True)
class Claim:
    """A figure that the tool printed: `row` of `evidence.ROWS`, its name in the file, its value (SI)."""

    row: str
    field: str
    value: float


@dataclass(frozen=True)
class Foreign:
    """One result file, read. Times are seconds from the first request that came due."""

    path: Path
    tool: str
    table: pa.Table  # columns of loadgen.records.record.SCHEMA, as many as the file allows
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

    @property
    def timed(self) -> bool:
        """Whether arrivals made the load as long as it was; else that is a result, like the throughput."""
        return self.open_loop and not one_burst(self._due, self.watched)

    @property
    def span(self) -> float:
        """Seconds in which requests came due, the gap after the last one included; else up to the end."""
        count = len(self._due)
        if not self.timed:
            return float(np.nextafter(self.watched, np.inf))  # the last token is inside
        return float(self._due.max()) * count / (count - 1)

    @property
    def _due(self) -> Floats:
        return np.asarray(self.table["due"].to_numpy())

    def run(self, variant: str, name: str, window_end: float) -> Run:
        """The file as a run of that variant; arrivals due before `window_end` are judged: all of them."""
        manifest = Manifest(
            format=FORMAT,
            run=name,
            variant=variant,
            model=self.model,
            scenario=self.asked,
            scenario_name=f"as {self.tool} ran it",
            window=Window(start=0.0, end=window_end),
            schedule_end=window_end,
            drained_at=max(self.watched, window_end),
            started_at=self.started_at,
            due=self.due,
        )
        records = Records(self.table, str(self.path))
        return Run(manifest, records, ServerMetrics(), None, self.limits if self.timed else self._untimed())

    def _untimed(self) -> Limits:
        return replace(self.limits, figures={"offered_rate": _NO_RATE, **self.limits.figures})


def one_burst(due: Floats, watched: float) -> bool:
    """Whether requests due at these seconds came all at once, seen against the time that was watched."""
    return len(due) < 2 or float(due.max() - due.min()) < BURST * watched


def read_json(path: Path) -> dict[str, Any]:
    """The file's one JSON object. Raises UsageError: missing, cut off, several results, no object."""
    try:
        found = json.loads(path.read_bytes())
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from None
    except json.JSONDecodeError as error:
        raise UsageError(f"{path}: {_no_json(error)}") from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: no JSON text: {' '.join(str(error).split())[:200]}") from None
    if not isinstance(found, dict):
        raise UsageError(f"{path}: holds a {type(found).__name__}, not the JSON object that a tool writes")
    return found


def _no_json(error: json.JSONDecodeError) -> str:
    """What the file is instead, and what can be done."""
    if error.doc.startswith(LOCUST):
        return (
            "a table of Locust (--csv), which holds sums over requests and no single ones; record each "
            "request in the harness's format (docs/audit.md) and audit that"
        )
    begin = error.doc.strip()[:200]
    if begin and begin[0] not in "{[":
        shown = escape.clean(begin.splitlines()[0])[:40]
        return f"no JSON, it begins with {shown!r}; give a result of vllm bench serve or of the harness"
    if error.msg == "Extra data":
        return (
            "holds more than one JSON object (written with --append-result?); put each result into a file of "
            "its own"
        )
    where = f"line {error.lineno}, column {error.colno}"
    return f"cut off, or no JSON: {error.msg} at {where}; take the whole file"


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


def claim_list(found: dict[str, Any], names: dict[str, tuple[str, float]], where: str) -> list[Claim]:
    """The claims that are in the file. `names`: name in the file: (row, factor to SI units)."""
    claims: dict[str, Claim] = {}
    for name, (row, factor) in names.items():
        if found.get(name) is not None and row not in claims:
            claims[row] = Claim(row, name, factor * number(found[name], f"{where}{name}"))
    return list(claims.values())


def make_table(columns: dict[str, Any], chunk_times: Sequence[Floats]) -> pa.Table:
    """Columns (arrays of float64, lists of texts) as a table; NaN becomes null.

    `chunk_times`: one array of seconds for each record.
    """
    arrays = {
        name: pa.array(values, mask=np.isnan(values))
        if isinstance(values, np.ndarray)
        else pa.array(values, pa.string())
        for name, values in columns.items()
    }
    count = len(chunk_times)
    arrays["arrival"] = pa.array(np.arange(count, dtype=np.int32))
    arrays["lane"] = pa.array(np.zeros(count, np.int16))
    arrays["workload"] = pa.array(["chat"] * count)
    offsets = np.concatenate([[0], np.cumsum([len(times) for times in chunk_times])]).astype(np.int32)
    flat = np.concatenate([np.zeros(0), *chunk_times])
    arrays["chunk_times"] = pa.ListArray.from_arrays(offsets, flat)
    return pa.table(arrays)


def spread(start: float, end: float, count: int) -> NDArray[np.float64]:
    """`count` moments evenly from start to end, the first at start."""
    return np.linspace(start, end, count) if count > 1 else np.array([start])
