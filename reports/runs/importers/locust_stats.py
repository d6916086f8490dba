"""Locust 2.47: `--csv` (`<prefix>_stats.csv`) and `--json`: sums only.

Read off locust/stats.py and files that it wrote. CSV: one row for each name and "Aggregated": `Request
Count`, `Failure Count`, `Median Response Time`, `Average Response Time` (ms), `Requests/s`, and percentiles
("50%", … in ms). JSON: a list of `num_requests`, `num_failures`, `total_response_time`, `response_times` (ms:
how often), `start_time`, `last_request_timestamp` (epoch s).

Definitions: the response time ends with the whole response, also of one that streams, and so there is no
TTFT; failed requests are in it; percentiles are of times rounded to whole ms below 100, to tens of ms below
1,000, to hundreds of ms above; the rate is from the first to the last request.
"""

import math
from collections.abc import Mapping

from common.usage import UsageError
from reports.runs.importers.imported import Claims, Imported, no_records, number
from reports.runs.importers.registry import Importer, importer
from reports.runs.importers.source import Source

MS = 0.001
MEANING = {
    "latency": "rounded to two digits; failed requests are in it; to the end of the response",
    "latency_mean": "failed requests are in it; to the end of the response",
    "completed_rate": "failed requests are in it",
}
NOTES = [
    "Locust's own statistics hold sums, and a streamed answer is one response time to them: there is no "
    "TTFT. "
    "Record each request in the harness's format (docs/audit.md) and audit that."
]


@importer
class LocustTable(Importer):
    tool = "Locust"
    files = "<prefix>_stats.csv of --csv"
    sums = True

    def knows(self, source: Source) -> bool:
        return source.shape == "table" and {"Request Count", "Failure Count"} <= source.names

    def read(self, source: Source) -> list[Imported]:
        head, *rows = source.rows_of_table()
        found = next((row for row in rows if len(row) > 1 and row[1] == "Aggregated"), None)
        if found is None or len(found) != len(head):
            raise UsageError(f"{source.path}: has no whole row Aggregated; take the whole file")
        cells = dict(zip(head, found, strict=True))
        values = {
            name: _cell(source, name, text) for name, text in cells.items() if name not in ("Type", "Name")
        }
        due, failed = (int(values.get(name) or 0) for name in ("Request Count", "Failure Count"))
        names = {
            "Average Response Time": ("latency_mean", MS),
            "50%": ("latency_p50", MS),
            "90%": ("latency_p90", MS),
            "95%": ("latency_p95", MS),
            "99%": ("latency_p99", MS),
            "Failure Count": ("failed", 1.0),
            "succeeded": ("completed", 1.0),
            "succeeded/s": ("completed_rate", 1.0),
        }
        values |= {
            "succeeded": float(due - failed),
            "succeeded/s": (values.get("Requests/s") or 0.0) - (values.get("Failures/s") or 0.0),
        }
        claims = Claims(f"{source.path}: ", meaning=MEANING).take(values, names).all()
        return [no_records(source.path, self.tool, claims, due, notes=NOTES)]


@importer
class LocustJson(Importer):
    tool = "Locust"
    files = "--json"
    sums = True

    def knows(self, source: Source) -> bool:
        marks = {"num_requests", "num_failures", "response_times"}
        return source.shape == "array" and marks <= source.names

    def read(self, source: Source) -> list[Imported]:
        times: dict[float, float] = {}
        due = failed = total = 0.0
        begin, end = math.inf, -math.inf
        for index, found in enumerate(source.value()):
            where = f"{source.path}: record {index} (from 0)"
            if not isinstance(found, Mapping):
                raise UsageError(f"{where}: is a {type(found).__name__}, not an object")
            due += number(found.get("num_requests"), f"{where}: num_requests")
            failed += number(found.get("num_failures"), f"{where}: num_failures")
            total += number(found.get("total_response_time"), f"{where}: total_response_time")
            begin = min(begin, number(found.get("start_time"), f"{where}: start_time"))
            end = (
                max(end, number(found.get("last_request_timestamp") or -math.inf, f"{where}: last"))
                if due
                else end
            )
            for time, count in (found.get("response_times") or {}).items():
                time = number(_number(time), f"{where}: response_times")
                times[time] = times.get(time, 0.0) + number(count, f"{where}: response_times")
        if not due:
            raise UsageError(f"{source.path}: counts no request; there is nothing to audit")
        claims = Claims(f"{source.path}: ", meaning=MEANING)
        claims.add("total_response_time / num_requests", total / due, "latency_mean", MS)
        claims.add("num_failures", failed, "failed")
        claims.add("num_requests - num_failures", due - failed, "completed")
        for share in (50, 90, 95, 99) if times else ():
            found = _percentile(times, share / 100)
            claims.add(f"response_times, {share}%", found, f"latency_p{share}", MS)
        if end > begin:
            claims.add("requests a second", (due - failed) / (end - begin), "completed_rate")
        return [no_records(source.path, self.tool, claims.all(), int(due), notes=NOTES)]


def _cell(source: Source, name: str, text: str) -> float | None:
    if text in ("", "N/A"):
        return None
    return number(_number(text), f"{source.path}: {name}")


def _number(text: str) -> object:
    try:
        return float(text)
    except ValueError:
        return text


def _percentile(times: Mapping[float, float], share: float) -> float:
    """As locust.stats.calculate_response_time_percentile: from the slowest down."""
    wanted, passed = int(sum(times.values()) * share), 0.0
    for time in sorted(times, reverse=True):
        passed += times[time]
        if sum(times.values()) - passed <= wanted:
            return time
    return min(times)
