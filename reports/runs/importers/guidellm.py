"""GuideLLM 0.8 (0.8.1): `benchmarks.json` (or `benchmarks.csv`, sums only): due, send, first and last
token of each request.

Read off guidellm/schemas/base/request_stats.py, schemas/base/statistics.py and benchmark/schemas/metrics.py.
JSON: `metadata.guidellm_version` and `benchmarks`, one for each rate or concurrency; each has
`config.strategy` (`type_`, `rate`, `max_concurrency`), `requests.successful|errored|incomplete` and
`metrics.<name>.successful.{mean,median,percentiles.pNN}`. A request has `info.timings` in epoch seconds:
`targeted_start` (when it was due), `request_start`, `first_token_iteration`, `last_token_iteration`,
`token_iterations` (chunks with text), `request_end`; `prompt_tokens`, `output_tokens`, `info.error`. The
times of the chunks between are not saved. CSV: three rows of headings, then one row for each benchmark.

Definitions: TTFT = first chunk with text - send; "TPOT" = (last token - send) / tokens, so with TTFT in it;
"ITL" = (last - first token) / (tokens - 1), which others call TPOT; both weighted by tokens in means and
percentiles. Latency to the end of the response. Percentiles are observations (nearest rank); latencies are of
successful requests. Rates are over the measured time, which ends with the last response.
"""

import json
import math
from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from common.usage import UsageError
from loadgen.records.record import COMPLETED, FAILED, UNFINISHED
from reports.runs.importers.definitions import NAMED, SHARES
from reports.runs.importers.imported import (
    NO_LANES,
    Claim,
    Claims,
    Imported,
    no_records,
    number,
    optional,
    tokens_of,
)
from reports.runs.importers.registry import Importer, importer
from reports.runs.importers.requests import Requests
from reports.runs.importers.source import Source
from reports.runs.runs import Floats, Limits

MS = 0.001
STATUS = {"successful": COMPLETED, "errored": FAILED, "incomplete": UNFINISHED}
OPEN = ("constant", "poisson", "async", "replay")
METRICS = {  # its name: (metric here, factor to seconds)
    "time_to_first_token_ms": ("ttft", MS),
    "inter_token_latency_ms": ("tpot", MS),
    "request_latency": ("latency", 1.0),
}
_OWN_NAME = 'its "TPOT" is (last token − send) / tokens, so TTFT is in it; its "ITL" is the TPOT of others'
MEANING = {
    "ttft": "of successful requests only",
    "tpot": f"its ITL: (last − first token) / (tokens − 1), weighted by tokens; {_OWN_NAME}",
    "latency": "of successful requests only, to the end of the response",
    "output_token_throughput": "over the measured time, which ends with the last response",
    "completed_rate": "over the measured time, which ends with the last response",
}
CSV_METRICS = {
    "Time to First Token": ("ttft", MS),
    "Inter Token Latency": ("tpot", MS),
    "Request Latency": ("latency", 1.0),
}
CSV_RATES = {
    ("Token Throughput", "Successful Output Tokens/Sec"): "output_token_throughput",
    ("Server Throughput", "Successful Requests/Sec"): "completed_rate",
}
CSV_COUNTS = {"Successful": "completed", "Errored": "failed", "Incomplete": "unfinished"}
CSV_PERCENTILES = ("p001", "p01", "p05", "p10", "p25", "p50", "p75", "p90", "p95", "p99", "p999")
LIMITS = Limits(
    {
        "itl": "the file has only the first and the last token of each request",
        "slo_attainment": "the file names no SLO that this reads",
        "goodput_rate": "the file names no SLO that this reads",
        "lost": NO_LANES,
    },
    {"lanes_lost": NO_LANES},
)


@importer
class GuideLlm(Importer):
    tool = "GuideLLM"
    files = "benchmarks.json"

    def knows(self, source: Source) -> bool:
        return source.shape == "object" and "guidellm_version" in source.names

    def read(self, source: Source) -> list[Imported]:
        rows: dict[int, _Rows] = {}

        def take(number: int, request: Any) -> None:
            rows.setdefault(number, _Rows(source.path)).add(request)

        found = source.value_around(tuple(STATUS), take)
        benchmarks = found.get("benchmarks")
        if not isinstance(benchmarks, list) or not benchmarks:
            raise UsageError(f"{source.path}: benchmarks is empty; there is nothing to audit")
        version = (found.get("metadata") or {}).get("guidellm_version")
        return [_benchmark(source, each, version, rows) for each in benchmarks]


@importer
class GuideLlmTable(Importer):
    tool = "GuideLLM"
    files = "benchmarks.csv"
    sums = True

    def knows(self, source: Source) -> bool:
        return source.shape == "table" and {"Run Info", "Request Counts"} <= source.names

    def read(self, source: Source) -> list[Imported]:
        head, rows = source.rows_of_table()[:3], source.rows_of_table()[3:]
        if len(head) < 3 or not rows:
            raise UsageError(f"{source.path}: has headings and no benchmark; take the whole file")
        return [_row(source, list(zip(*head, strict=False)), row) for row in rows]


def _benchmark(
    source: Source, found: Mapping[str, Any], version: str | None, rows: "Mapping[int, _Rows]"
) -> Imported:
    """One benchmark of the JSON file; `rows`: what its lists of requests held, by their number."""
    requests = Requests(source.path)
    lists = found.get("requests") or {}
    for name, status in STATUS.items():
        listed = lists.get(name) or []
        if len(listed) == 1 and isinstance(listed[0], int):
            rows[listed[0]].go_into(requests, status)
        else:
            whole = _Rows(source.path, len(requests))
            for each in listed:
                whole.add(each)
            whole.go_into(requests, status)
    strategy = (found.get("config") or {}).get("strategy") or {}
    claims = _claims(source, found, requests)
    made = (found.get("scheduler_metrics") or {}).get("requests_made") or {}
    asked = {"rate": strategy.get("rate"), "arrivals": {"process": strategy.get("type_")}}
    if not requests.sent:
        return no_records(
            source.path, GuideLlm.tool, claims, int(made.get("total") or 0), asked=asked, version=version
        )
    backend = (found.get("config") or {}).get("backend") or {}
    open_loop = strategy.get("type_") in OPEN
    return Imported(
        path=source.path,
        tool=GuideLlm.tool,
        table=requests.table(),
        chunks=requests.chunks(),
        watched=requests.watched,
        due=int(made.get("total") or len(requests)),
        open_loop=open_loop,
        claims=claims,
        model=str(backend["model"]) if backend.get("model") else None,
        asked=asked,
        concurrency=None if open_loop else strategy.get("max_concurrency"),
        limits=LIMITS,
        notes=[
            "A request's tokens are taken to have come evenly between its first and its last one: the "
            "file has "
            "no times between.",
            f"{_OWN_NAME[0].upper()}{_OWN_NAME[1:]}.",
        ],
        version=version,
    )


@dataclass
class _Rows:
    """What is read of a list of requests."""

    path: Path
    before: int = 0  # requests of the file that precede them
    numbers: "array[float]" = field(default_factory=lambda: array("d"))  # WIDTH of each
    errors: list[object] = field(default_factory=list)

    WIDTH: ClassVar = 7

    def add(self, found: Mapping[str, Any]) -> None:
        """One request. Raises UsageError."""
        info = found.get("info") or {}
        timings = info.get("timings") or {}
        where = f"{self.path}: record {self.before + len(self.errors)} (from 0)"
        names = (
            "targeted_start",
            "request_start",
            "first_token_iteration",
            "last_token_iteration",
            "request_end",
        )
        due, sent, first, last, end = (optional(timings.get(name), f"{where}: {name}") for name in names)
        if math.isnan(sent):  # it ended before it could be sent
            began = timings.get("resolve_start") or timings.get("scheduled_at")
            sent = number(began, f"{where}: request_start")
        if math.isnan(end):
            end = optional(timings.get("resolve_end"), f"{where}: resolve_end")
        tokens = (
            tokens_of(found.get(name), f"{where}: {name}") for name in ("prompt_tokens", "output_tokens")
        )
        self.numbers.extend((due, sent, first, last, end, *tokens))
        self.errors.append(info.get("error"))

    def go_into(self, requests: Requests, status: str) -> None:
        """All of them, which ended in that way."""
        rows = np.array(self.numbers).reshape(-1, self.WIDTH)
        for row, error in zip(rows, self.errors, strict=True):
            due, sent, first, last, end, prompt_tokens, output_tokens = row.tolist()
            requests.add(
                sent,
                first,
                last if status != UNFINISHED else math.nan,
                due=due,
                end=end,
                status=status,
                error=error if status == FAILED else None,
                prompt_tokens=prompt_tokens,
                output_tokens=output_tokens,
            )


def _claims(source: Source, found: Mapping[str, Any], requests: Requests) -> list[Claim]:
    metrics = found.get("metrics") or {}
    claims = Claims(f"{source.path}: ", _own(requests, found) if requests.sent else {}, MEANING)
    for name, (metric, factor) in METRICS.items():
        summary = (metrics.get(name) or {}).get("successful") or {}
        claims.summary(name, {**(summary.get("percentiles") or {}), **summary}, metric, NAMED, factor)
    for name, row in (
        ("output_tokens_per_second", "output_token_throughput"),
        ("requests_per_second", "completed_rate"),
    ):
        claims.add(name, ((metrics.get(name) or {}).get("successful") or {}).get("mean"), row)
    totals = metrics.get("request_totals") or {}
    for name, status in STATUS.items():
        claims.add(f"request_totals.{name}", totals.get(name), status)
    return claims.all()


def _own(requests: Requests, found: Mapping[str, Any]) -> dict[str, float]:
    """The figures as the tool defines them, by row."""
    done = np.array([each == COMPLETED for each in requests.status])
    sent, first, last, end = (
        np.array(values)[done] for values in (requests.sent, requests.first, requests.last, requests.end)
    )
    tokens = np.array(requests.output_tokens)[done]
    own = {status: float(sum(each == status for each in requests.status)) for status in STATUS.values()}
    if not done.any():
        return own
    more = tokens > 1
    tpot = (last - first)[more] / (tokens[more] - 1)
    for metric, values, weights in (
        ("ttft", first - sent, np.ones(len(sent))),
        ("tpot", tpot, tokens[more] - 1),
        ("latency", end - sent, np.ones(len(sent))),
    ):
        kept = ~np.isnan(values)
        own |= _weighted(metric, values[kept], weights[kept]) if kept.any() else {}
    took = optional(found.get("duration"), "duration")
    if took > 0:
        own["output_token_throughput"] = float(np.nansum(tokens)) / took
        own["completed_rate"] = len(sent) / took
    return own


def _weighted(metric: str, values: Floats, weights: Floats) -> dict[str, float]:
    """Mean, and the least value whose summed share reaches the percentile, by the tool's own sums."""
    ranked, inverse = np.unique(values, return_inverse=True)
    shares = np.bincount(inverse, weights=weights)
    reached = np.cumsum(shares / shares.sum())
    found = {f"{metric}_mean": float(np.average(values, weights=weights))}
    for name, share in SHARES.items():
        place = min(int(np.searchsorted(reached, share / 100, side="left")), len(ranked) - 1)
        found[f"{metric}_{name}"] = float(ranked[place])
    return found


def _row(source: Source, columns: list[tuple[str, ...]], cells: list[str]) -> Imported:
    """One benchmark of the CSV file."""
    cell = dict(zip(columns, cells, strict=False))
    claims = Claims(f"{source.path}: ", meaning=MEANING)

    def claim(name: str, text: str, row: str, factor: float = 1.0) -> None:
        try:
            claims.add(name, float(text), row, factor)
        except ValueError:
            raise UsageError(f"{source.path}: {name} is {text[:40]!r}, not a number") from None

    for (group, which, statistic), text in cell.items():
        if not text:
            continue
        if group in CSV_METRICS and which.startswith("Successful"):
            metric, factor = CSV_METRICS[group]
            if statistic in ("Mean", "Median"):
                claim(f"{group}, {statistic}", text, f"{metric}_{NAMED[statistic.lower()]}", factor)
            elif statistic == "Percentiles":
                values = _percentiles(source, group, text)
                for name in ("p90", "p95", "p99"):
                    claims.add(f"{group}, {name}", values[name], f"{metric}_{name}", factor)
        elif (group, which) in CSV_RATES and statistic == "Mean":
            claim(f"{group}, {which}", text, CSV_RATES[group, which])
        elif group == "Request Counts" and which in CSV_COUNTS:
            claim(f"{group}, {which}", text, CSV_COUNTS[which])
    due = int(float(cell.get(("Request Counts", "Total", "")) or 0))
    return no_records(
        source.path,
        GuideLlm.tool,
        claims.all(),
        due,
        asked={"arrivals": {"process": cell.get(("Benchmark", "Strategy", ""))}},
        notes=["benchmarks.json of the same run holds the single requests (--output kind=json)."],
    )


def _percentiles(source: Source, group: str, text: str) -> dict[str, float]:
    try:
        values = json.loads(text)
        return {name: float(value) for name, value in zip(CSV_PERCENTILES, values, strict=True)}
    except (ValueError, TypeError):
        raise UsageError(f"{source.path}: {group}, Percentiles is {text[:40]!r}, not 11 numbers") from None
