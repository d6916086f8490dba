"""evalscope perf 1.14 (1.14.1): `benchmark_data.db`, its summary and percentiles beside it: send, gaps and
end of each request.

Read off evalscope/perf/utils/benchmark_util.py, db_util.py and files that it wrote. SQLite, table `result`,
one row for each request: `start_time`, `completed_time` (perf_counter s), `latency`, `first_chunk_latency`
(s, null for a failed one), `inter_token_latencies` (JSON list of s), `prompt_tokens`, `completion_tokens`,
`time_per_output_token`, `success`, `is_stream`. `response_messages` is a pickle and is not touched.
`benchmark_summary.json` has "Avg TTFT (ms)", "Req Throughput (req/s)", …, rounded to 2 to 4 places;
`benchmark_percentile.json` a list of rows "50%", "99%", …, rounded to 4 places.

Definitions: TTFT = first chunk with text - start; TPOT = (latency - TTFT) / (tokens - 1); ITL = gaps between
chunks with text, pooled; latency to the end of the stream; all of successful requests; percentiles are
observations (nearest rank), each quantity sorted by itself. Throughput is over the test's whole time.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from common.usage import UsageError
from loadgen.records.record import COMPLETED, FAILED
from reports.runs.importers import definitions
from reports.runs.importers.imported import (
    SENT_ONLY,
    Claim,
    Claims,
    Imported,
    duration,
    no_records,
    number,
    tokens_of,
)
from reports.runs.importers.number_lists import NumberLists
from reports.runs.importers.registry import Importer, importer
from reports.runs.importers.requests import Requests
from reports.runs.importers.source import Source
from reports.runs.runs import Floats

TOOL = "evalscope perf"
SUMMARY = {
    "Avg TTFT (ms)": ("ttft_mean", 0.001, 0.005),
    "Avg TPOT (ms)": ("tpot_mean", 0.001, 0.005),
    "Avg ITL (ms)": ("itl_mean", 0.001, 0.005),
    "Avg Latency (s)": ("latency_mean", 1.0, 0.00005),
    "Output Throughput (tok/s)": ("output_token_throughput", 1.0, 0.00005),
    "Req Throughput (req/s)": ("completed_rate", 1.0, 0.00005),
    "Success Requests": ("completed", 1.0, 0.0),
    "Failed Requests": ("failed", 1.0, 0.0),
}
PERCENTILES = {
    "TTFT (ms)": ("ttft", 0.001),
    "TPOT (ms)": ("tpot", 0.001),
    "ITL (ms)": ("itl", 0.001),
    "Latency (s)": ("latency", 1.0),
}
PLACES = 0.00005  # half of the last place that percentiles are written with
SHARES = {"50%": "p50", "90%": "p90", "95%": "p95", "99%": "p99"}
MEANING = {
    "ttft": "of successful requests only",
    "tpot": "of successful requests only, to the end of the stream",
    "itl": "of successful requests only, by chunk",
    "latency": "of successful requests only, to the end of the stream",
    "output_token_throughput": "tokens of successful requests, over the whole test",
    "completed_rate": "over the whole test",
}
_COLUMNS = (
    "start_time",
    "completed_time",
    "latency",
    "first_chunk_latency",
    "inter_token_latencies",
    "prompt_tokens",
    "completion_tokens",
    "success",
)


@importer
class EvalScope(Importer):
    tool = TOOL
    files = "benchmark_data.db"

    def knows(self, source: Source) -> bool:
        return source.shape == "database"

    def read(self, source: Source) -> list[Imported]:
        columns = {row[1] for row in source.query("PRAGMA table_info(result)")}
        if missing := [name for name in _COLUMNS if name not in columns]:
            raise UsageError(
                f"{source.path}: no database of evalscope perf: its table result lacks {missing[0]}"
            )
        requests, gaps = Requests(source.path), NumberLists()
        for row in source.query(f"SELECT {', '.join(_COLUMNS)} FROM result ORDER BY start_time"):  # noqa: S608
            gaps.add(_add(requests, dict(zip(_COLUMNS, row, strict=True))))
        summary = source.path.with_name("benchmark_summary.json")
        arguments = _beside(source.path.with_name("benchmark_args.json")) or {}
        rate = arguments.get("rate")
        rate = float(rate) if isinstance(rate, int | float) and rate > 0 else None
        notes = (
            [] if summary.is_file() else ["benchmark_summary.json, with the tool's figures, is not beside."]
        )
        return [
            Imported(
                path=source.path,
                tool=TOOL,
                table=requests.table(),
                chunks=requests.chunks(),
                watched=requests.watched,
                due=len(requests),
                open_loop=rate is not None and bool(arguments.get("open_loop", True)),
                claims=_claims(source.path.parent, requests, gaps),
                model=str(arguments["model"]) if arguments.get("model") else None,
                asked={"rate": rate, "requests": len(requests)},
                concurrency=None if rate else _count(arguments.get("parallel")),
                limits=SENT_ONLY,
                notes=notes,
            )
        ]


@importer
class EvalScopeSums(Importer):
    tool = TOOL
    files = "benchmark_summary.json"
    sums = True

    def knows(self, source: Source) -> bool:
        return source.shape == "object" and {"Avg TTFT (ms)", "Req Throughput (req/s)"} <= source.names

    def read(self, source: Source) -> list[Imported]:
        found = source.value()
        due = int(number(found.get("Total Requests"), f"{source.path}: Total Requests"))
        claims = _claims(source.path.parent, summary=source.path)
        return [
            no_records(
                source.path,
                TOOL,
                claims,
                due,
                notes=["benchmark_data.db of the same run holds the single requests."],
            )
        ]


def _add(requests: Requests, found: Mapping[str, Any]) -> Floats:
    where, good = requests.where, bool(found["success"])
    try:
        listed = json.loads(found["inter_token_latencies"] or "[]")
    except (ValueError, TypeError):
        raise UsageError(f"{where}: inter_token_latencies is no JSON list") from None
    gaps = np.array([duration(each, f"{where}: inter_token_latencies") for each in listed], np.float64)
    sent = number(found["start_time"], f"{where}: start_time")
    ttft = duration(found["first_chunk_latency"], f"{where}: first_chunk_latency")
    latency = duration(found["latency"], f"{where}: latency")
    chunks = sent + ttft + np.concatenate([[0.0], np.cumsum(gaps)]) if ttft == ttft else np.zeros(0)
    requests.add(
        sent,
        sent + ttft,
        float(chunks[-1]) if good and len(chunks) else np.nan,
        end=sent + latency
        if latency == latency
        else number(found["completed_time"], f"{where}: completed_time"),
        status=COMPLETED if good else FAILED,
        error=None if good else "failed; the database does not say why",
        prompt_tokens=tokens_of(found["prompt_tokens"], f"{where}: prompt_tokens"),
        output_tokens=tokens_of(found["completion_tokens"], f"{where}: completion_tokens"),
        chunks=chunks,
    )
    return gaps


def _claims(
    folder: Path,
    requests: Requests | None = None,
    gaps: NumberLists | None = None,
    summary: Path | None = None,
) -> list[Claim]:
    path = summary or folder / "benchmark_summary.json"
    found = _beside(path)
    if found is None:
        return []
    took = found.get("Test Duration (s)")
    took = number(took, f"{path}: Test Duration (s)") if took is not None else None
    own = {}
    if requests and gaps is not None:
        own = definitions.figures(requests, gaps, tpot_to="end", latency_to="end", took=took, rule="nearest")
    claims = Claims(f"{path}: ", own, MEANING)
    for name, (row, factor, rounding) in SUMMARY.items():
        places = rounding
        if took and row in ("output_token_throughput", "completed_rate") and found.get(name):
            places += PLACES / took * float(found[name])  # the duration is rounded, too
        claims.add(name, found.get(name), row, factor, places)
    for each in _beside(folder / "benchmark_percentile.json", list) or []:
        share = SHARES.get(str(each.get("Percentiles"))) if isinstance(each, Mapping) else None
        for name, (metric, factor) in PERCENTILES.items() if share else ():
            claims.add(f"{name}, {each['Percentiles']}", each.get(name), f"{metric}_{share}", factor, PLACES)
    return claims.all()


def _beside(path: Path, kind: type = dict) -> Any:
    if not path.is_file():
        return None
    found = Source(path).value()
    return found if isinstance(found, kind) else None


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and value > 0 else None
