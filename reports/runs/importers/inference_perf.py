"""inference-perf 0.7 (0.7.0): `per_request_lifecycle_metrics.json`, its summary beside it: send, each
token and end of each request.

Read off inference_perf/reportgen/base.py and files that it wrote. Per request (a list): `start_time`,
`end_time` (monotonic s), `info.response_metrics.{output_tokens, output_token_times, chunk_times}`,
`info.input_tokens`, `error` ({error_type, error_msg} or null); `request` and `response` hold the texts, which
are not read. Summary: `load_summary.count`, `benchmark_time_seconds`, `successes.count`,
`successes.latency.<name>.{mean,median,p90,…}` in seconds, `successes.throughput`, `failures.count`.

Definitions: TTFT = first token - start; TPOT = (last - first token) / (tokens - 1); ITL = gaps between
tokens, pooled, where tokens of one chunk share its time, so that their gaps are 0; NTPOT = latency / tokens;
latency to the end of the response; all of successful requests; percentiles interpolate. Tokens are counted
from the text. Throughput is over the time from the first start to the last end.
"""

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
    no_records,
    number,
    optional,
    tokens_of,
)
from reports.runs.importers.number_lists import NumberLists
from reports.runs.importers.registry import Importer, importer
from reports.runs.importers.requests import Requests
from reports.runs.importers.source import Source
from reports.runs.runs import Floats

TOOL = "inference-perf"
METRICS = {
    "time_to_first_token": "ttft",
    "time_per_output_token": "tpot",
    "inter_token_latency": "itl",
    "request_latency": "latency",
}
MEANING = {
    "ttft": "of successful requests only",
    "tpot": "of successful requests only",
    "itl": "of tokens: those of one chunk share its time, so that their gaps are 0",
    "latency": "of successful requests only, to the end of the response",
    "output_token_throughput": "tokens of successful requests, up to the last answer",
    "completed_rate": "up to the last answer",
}


@importer
class InferencePerf(Importer):
    tool = TOOL
    files = "per_request_lifecycle_metrics.json"

    def knows(self, source: Source) -> bool:
        return source.shape == "array" and {"start_time", "end_time", "response_metrics"} <= source.names

    def read(self, source: Source) -> list[Imported]:
        requests, gaps = Requests(source.path), NumberLists()
        for found in source.items():
            gaps.add(_add(requests, found))
        summary = source.path.with_name("summary_lifecycle_metrics.json")
        beside = Source(summary).value() if summary.is_file() else None
        claims = [] if beside is None else _claims(summary, beside, _own(requests, gaps))
        notes = (
            []
            if beside
            else ["summary_lifecycle_metrics.json, which holds the tool's figures, is not beside."]
        )
        return [
            Imported(
                path=source.path,
                tool=TOOL,
                table=requests.table(),
                chunks=requests.chunks(),
                watched=requests.watched,
                due=len(requests),
                open_loop=True,
                claims=claims,
                limits=SENT_ONLY,
                notes=notes,
            )
        ]


@importer
class InferencePerfSums(Importer):
    tool = TOOL
    files = "summary_ and stage_lifecycle_metrics.json"
    sums = True

    def knows(self, source: Source) -> bool:
        return source.shape == "object" and {"load_summary", "successes", "failures"} <= source.names

    def read(self, source: Source) -> list[Imported]:
        found = source.value()
        count = (found.get("load_summary") or {}).get("count")
        return [
            no_records(
                source.path,
                TOOL,
                _claims(source.path, found, {}),
                int(number(count, f"{source.path}: load_summary.count")),
                notes=_delay(found)
                + [
                    "per_request_lifecycle_metrics.json (report.request_lifecycle.per_request) has the "
                    "requests."
                ],
            )
        ]


def _add(requests: Requests, found: object) -> Floats:
    """One request; the gaps between its tokens, s."""
    where = requests.where
    if not isinstance(found, Mapping):
        raise UsageError(f"{where}: is a {type(found).__name__}, not an object")
    info = found.get("info") or {}
    response = info.get("response_metrics") or {}
    names = ("output_token_times", "chunk_times")
    tokens, chunks = (
        np.array([number(each, f"{where}: {name}") for each in response.get(name) or []], np.float64)
        for name in names
    )
    error = found.get("error")
    arrivals = np.unique(tokens) if len(tokens) else chunks  # a chunk without text holds no token
    requests.add(
        optional(found.get("start_time"), f"{where}: start_time"),
        float(arrivals[0]) if len(arrivals) else np.nan,
        float(arrivals[-1]) if len(arrivals) and not error else np.nan,
        end=optional(found.get("end_time"), f"{where}: end_time"),
        status=FAILED if error else COMPLETED,
        error=f"{error.get('error_type')}: {error.get('error_msg')}" if isinstance(error, Mapping) else error,
        prompt_tokens=tokens_of(info.get("input_tokens"), f"{where}: input_tokens"),
        output_tokens=tokens_of(response.get("output_tokens"), f"{where}: output_tokens"),
        chunks=arrivals,
    )
    return np.diff(tokens)


def _own(requests: Requests, gaps: NumberLists) -> dict[str, float]:
    took = max(requests.end) - min(requests.sent)
    return definitions.figures(requests, gaps, tpot_to="last", latency_to="end", took=took)


def _claims(path: Path, found: Mapping[str, Any], own: Mapping[str, float]) -> list[Claim]:
    successes, claims = found.get("successes") or {}, Claims(f"{path}: ", own, MEANING)
    for name, metric in METRICS.items():
        summary = (successes.get("latency") or {}).get(name) or {}
        claims.summary(name, summary, metric, definitions.NAMED)
    claims.take(
        successes.get("throughput") or {},
        {
            "output_tokens_per_sec": ("output_token_throughput", 1.0),
            "requests_per_sec": ("completed_rate", 1.0),
        },
    )
    for name, row in (("successes", "completed"), ("failures", "failed")):
        claims.add(f"{name}.count", (found.get(name) or {}).get("count"), row)
    return claims.all()


def _delay(found: Mapping[str, Any]) -> list[str]:
    """What the tool says of its own lateness."""
    delay = (found.get("load_summary") or {}).get("schedule_delay") or {}
    median = delay.get("median")
    if not isinstance(median, int | float) or median < 0.05:
        return []
    return [
        f"Its requests left late: schedule_delay is {median:.3g} s in the median. Its latencies begin at "
        f"the send "
        "and leave that wait out."
    ]
