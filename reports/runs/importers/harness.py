"""Harness JSON: `config`, `metrics`, `records`: send, first and last token of each request.

A record has `timestamp_sent`, `timestamp_first_token`, `timestamp_last_token` (epoch seconds or null),
`input_tokens`, `output_tokens`, `error` (null, false or "" where there was none). Whoever has no error and no
last token is unfinished, whatever `successful_requests` says.
"""

import datetime
import math
from pathlib import Path
from typing import Any

import numpy as np

from common.usage import UsageError
from loadgen.records.record import COMPLETED, FAILED, UNFINISHED
from reports.runs.importers.imported import SENT_ONLY, Claims, Imported, number, optional, tokens_of
from reports.runs.importers.registry import Importer, importer
from reports.runs.importers.requests import Requests
from reports.runs.importers.source import Source
from reports.runs.runs import Limits, Mask

TOOL = "the harness"
EPOCH = (1e9, 1e10)  # s: the years 2001 to 2286; milliseconds and monotonic clocks lie outside
MS = 0.001
_TIMES = ("timestamp_sent", "timestamp_first_token", "timestamp_last_token")
_RATES = {
    "throughput_tok_s": ("output_token_throughput", 1.0),
    "throughput_rps": ("completed_rate", 1.0),
    "successful_requests": ("completed", 1.0),
    "failed_requests": ("failed", 1.0),
}
CLAIMS = _RATES | {
    f"{name}_{share}_ms": (f"{row}_{share}", MS)
    for name, row in (
        ("ttft", "ttft"),
        ("tpot", "tpot"),
        ("itl", "itl"),
        ("latency", "latency"),
        ("e2e", "latency"),
        ("e2e_latency", "latency"),
    )
    for share in ("p50", "p99")
}


@importer
class Harness(Importer):
    tool = TOOL
    files = "JSON with config, metrics, records"

    def knows(self, source: Source) -> bool:
        return source.shape == "object" and {"metrics", "records"} <= source.names

    def read(self, source: Source) -> list[Imported]:
        found = source.value()
        if not isinstance(found.get("records"), list) or not isinstance(found.get("metrics"), dict):
            raise UsageError(f"{source.path}: has no list records beside an object metrics (docs/audit.md)")
        return [read_harness(source.path, found)]


def read_harness(path: Path, found: dict[str, Any]) -> Imported:
    """The file as records. Raises UsageError for nonsense, with the record's number (from 0)."""
    records, metrics, config = found["records"], found["metrics"], found.get("config") or {}
    if not records:
        raise UsageError(f"{path}: records is empty; there is nothing to audit")
    if not isinstance(config, dict):
        raise UsageError(f"{path}: config is a {type(config).__name__}, not an object")
    stamps = np.array([_times(path, index, record) for index, record in enumerate(records)])
    origin, ended = float(stamps[:, 0].min()), float(np.nanmax(stamps))
    requests = Requests(path)
    for record, (sent, first, last) in zip(records, stamps.tolist(), strict=True):
        _add(requests, record, sent, first, last, ended)
    first, cut_off = np.array(requests.first), np.isnan(requests.last)
    uncounted = np.isnan(requests.output_tokens) & ~np.isnan(first)
    total = metrics.get("total_requests")
    return Imported(
        path=path,
        tool=TOOL,
        table=requests.table(),
        chunks=requests.chunks(),
        watched=ended - origin,
        due=len(records) if total is None else int(number(total, f"{path}: metrics.total_requests")),
        open_loop=True,
        claims=Claims(f"{path}: metrics.").take(metrics, CLAIMS).all(),
        model=str(config["model"]) if config.get("model") else None,
        asked={"rate": _rate(config)},
        started_at=datetime.datetime.fromtimestamp(origin, datetime.UTC).isoformat(timespec="seconds"),
        limits=Limits(_untold(uncounted, cut_off), SENT_ONLY.rules),
        notes=_notes(cut_off & ~np.isnan(first)),
    )


def _times(path: Path, index: int, record: object) -> list[float]:
    """[sent, first token, last token] in epoch seconds, NaN for null."""
    where = f"{path}: record {index} (from 0)"
    if not isinstance(record, dict):
        raise UsageError(f"{where}: is a {type(record).__name__}, not an object")
    sent, first, last = (optional(record.get(name), f"{where}: {name}") for name in _TIMES)
    if math.isnan(sent):
        raise UsageError(f"{where}: timestamp_sent is missing, so nothing can be said of it")
    for name, value in zip(_TIMES, (sent, first, last), strict=True):
        if not math.isnan(value) and not EPOCH[0] <= value < EPOCH[1]:
            raise UsageError(f"{where}: {name} is {value:g}, not epoch seconds (ms? another clock?)")
    if math.isnan(first) and not math.isnan(last):
        raise UsageError(f"{where}: has a last token and no first one")
    return [sent, first, last]


def _add(
    requests: Requests, record: dict[str, Any], sent: float, first: float, last: float, ended: float
) -> None:
    """One request; the tokens of one that was streaming at the end came evenly up to there."""
    where, error = requests.where, record.get("error") or None
    tokens = tokens_of(record.get("output_tokens"), f"{where}: output_tokens")
    if not tokens and not math.isnan(first):
        tokens = math.nan  # one at least has come: the file did not count
    requests.add(
        sent,
        first,
        last,
        status=FAILED if error else UNFINISHED if math.isnan(last) else COMPLETED,
        error=error,
        prompt_tokens=tokens_of(record.get("input_tokens"), f"{where}: input_tokens"),
        output_tokens=tokens,
        until=ended,
    )


def _untold(uncounted: Mask, cut_off: Mask) -> dict[str, str]:
    """`uncounted`: records that got a first token, of which the file does not say how many they got."""
    untold = {**SENT_ONLY.figures, "itl": "the file has only the first and the last token of each request"}
    if (ended := int((uncounted & ~cut_off).sum())) > 0:
        untold |= dict.fromkeys(
            ("output_token_throughput", "tpot"),
            f"{ended:,} requests got all their tokens, and the file does not say how many (output_tokens)",
        )
    elif uncounted.any():
        untold["output_token_throughput"] = (
            f"{int(uncounted.sum())} requests were streaming when the file ends, and it does not say how "
            "many tokens they had got"
        )
    return untold


def _notes(streaming: Mask) -> list[str]:
    notes = [
        "A request's tokens are taken to have come evenly between its first and its last one.",
        "The file does not say when the tool stopped. Its last time stamp is taken for the end. What was "
        "open then counts as unfinished, and as having lasted at least that long.",
    ]
    if streaming.any():
        notes.append(
            f"{int(streaming.sum())} requests were still streaming at the end. The tokens that the file "
            "counts for them are taken to have come evenly up to there."
        )
    return notes


def _rate(config: dict[str, Any]) -> float | None:
    for name in ("rate", "rps", "request_rate", "target_rps"):
        value = config.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            return float(value)
    return None
