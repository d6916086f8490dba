"""AIPerf 0.13 (0.13.0): `profile_export.jsonl`, its sums `profile_export_aiperf.json` beside it: due, send,
gaps and end of each request.

Read off files that it wrote, and aiperf/metrics/types. Each line is one request: `metadata` with
`credit_issued_ns` (when its schedule let it go), `request_start_ns`, `request_end_ns` (epoch, ns),
`benchmark_phase`, `was_cancelled`; `metrics.<name>.{value,unit}`: `time_to_first_token`, `request_latency`,
`inter_chunk_latency` (a list), `output_sequence_length`, `input_sequence_length`; `error` for a failed one.
The aggregate has `<name>.{unit,avg,p50,…}` and `input_config`.

Definitions: TTFT = first chunk with text - start; inter_token_latency = (latency - TTFT) / (tokens - 1),
which others call TPOT; inter_chunk_latency = gaps between chunks, pooled: what others call ITL; latency to
the last chunk; all of requests without an error; percentiles interpolate. Throughput is over `end_time` -
`start_time` of the phase, which is a little longer than `benchmark_duration` (first start to last end).
Tokens are counted from the text with the client's tokenizer, unless --use-server-token-count.
"""

import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from common.usage import UsageError
from loadgen.records.record import COMPLETED, FAILED, UNFINISHED
from reports.runs.importers import definitions
from reports.runs.importers.imported import (
    NO_LANES,
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
from reports.runs.runs import Floats, Limits

NS = 1e-9
EPOCH = (1e18, 1e19)  # ns: the years 2001 to 2286
UNITS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "sec": 1.0}
METRICS = {
    "time_to_first_token": "ttft",
    "inter_token_latency": "tpot",
    "inter_chunk_latency": "itl",
    "request_latency": "latency",
}
SUMS = {
    "output_token_throughput": "output_token_throughput",
    "request_throughput": "completed_rate",
    "request_count": "completed",
    "error_request_count": "failed",
}
RATES = ("output_token_throughput", "completed_rate")
SHARES = {"avg": "mean", **{name: name for name in definitions.SHARES}}
STAMP = 2e-6  # s; two stamps that are written with 6 places
MEANING = {
    "ttft": "of requests without an error only",
    "tpot": "its inter_token_latency: (latency − TTFT) / (tokens − 1), of requests without an error",
    "itl": "its inter_chunk_latency, of requests without an error",
    "latency": "of requests without an error only",
    "output_token_throughput": "tokens of requests without an error, from the start of the phase to its end",
    "completed_rate": "from the start of the phase to its end",
}


@importer
class AiPerf(Importer):
    tool = "AIPerf"
    files = "profile_export.jsonl"

    def knows(self, source: Source) -> bool:
        return source.shape == "object" and {"metadata", "metrics", "request_start_ns"} <= source.names

    def read(self, source: Source) -> list[Imported]:
        requests, left_out, base = Requests(source.path), 0, 0
        gaps = NumberLists()
        for line, found in source.values():
            if not isinstance(found, dict) or not isinstance(found.get("metadata"), dict):
                raise UsageError(f"{source.path}: line {line}: is no record of AIPerf (metadata, metrics)")
            if found["metadata"].get("benchmark_phase", "profiling") != "profiling":
                left_out += 1
                continue
            if not gaps:
                base = _stamp(
                    found["metadata"].get("request_start_ns"), f"{requests.where}: request_start_ns"
                )
            gaps.add(_add(requests, found, base))
        beside = _aggregate(source.path)
        claims = _claims(beside, requests, gaps) if beside else []
        config = beside[1].get("input_config") or {} if beside else {}
        rated = _find(config, "request_rate", "rate")
        notes = []
        if beside is None:
            notes.append(
                "profile_export_aiperf.json, which holds what the tool printed, is not beside the file: only "
                "its records are read."
            )
        if left_out:
            notes.append(f"{left_out} requests of the warm-up are left out, as the tool leaves them out.")
        if not gaps.total:
            notes.append("The file has no times of chunks: a request's tokens are taken to have come evenly.")
        limits = {"slo_attainment": "the file names no SLO that this reads", "lost": NO_LANES}
        limits["goodput_rate"] = limits["slo_attainment"]
        if not gaps.total:
            limits["itl"] = "the file has no times between a request's first and last token"
        return [
            Imported(
                path=source.path,
                tool=self.tool,
                table=requests.table(),
                chunks=requests.chunks(),
                watched=requests.watched,
                due=len(requests),
                open_loop=rated is not None,
                claims=claims,
                model=_model(config),
                asked={"rate": rated, "arrivals": _arrivals(config), "requests": len(requests)},
                limits=Limits(limits, {"lanes_lost": NO_LANES}),
                notes=notes,
                version=str(beside[1].get("aiperf_version")) if beside else None,
            )
        ]


@importer
class AiPerfSums(Importer):
    tool = "AIPerf"
    files = "profile_export_aiperf.json"
    sums = True

    def knows(self, source: Source) -> bool:
        return source.shape == "object" and "aiperf_version" in source.names

    def read(self, source: Source) -> list[Imported]:
        found = source.value()
        claims = _claims((source.path, found))
        due = sum(claim.value for claim in claims if claim.row in ("completed", "failed"))
        return [
            no_records(
                source.path,
                self.tool,
                claims,
                int(due),
                version=str(found.get("aiperf_version")),
                model=_model(found.get("input_config") or {}),
                notes=["profile_export.jsonl of the same run holds the single requests."],
            )
        ]


def _add(requests: Requests, found: Mapping[str, Any], base: int) -> Floats:
    """One request; its gaps, s. Times count from `base` (ns): seconds of the epoch hold only 0.2 us."""
    where, about, metrics = requests.where, found["metadata"], found.get("metrics") or {}
    sent = (_stamp(about.get("request_start_ns"), f"{where}: request_start_ns") - base) * NS
    due, end = (
        (_stamp(about[name], f"{where}: {name}") - base) * NS if about.get(name) else np.nan
        for name in ("credit_issued_ns", "request_end_ns")
    )
    ttft = _value(metrics, "time_to_first_token", where)
    latency = _value(metrics, "request_latency", where)
    gaps = _list(metrics, "inter_chunk_latency", where)
    chunks = sent + ttft + np.concatenate([[0.0], np.cumsum(gaps)]) if len(gaps) and ttft == ttft else None
    error = found.get("error")
    cancelled = bool(about.get("was_cancelled"))
    failed = error is not None and not cancelled
    if isinstance(error, Mapping):
        error = error.get("message") or error.get("type")
    requests.add(
        sent,
        sent + ttft,
        sent + latency if not (failed or cancelled) else np.nan,
        due=due,
        end=end,
        status=FAILED if failed else UNFINISHED if cancelled else COMPLETED,
        error=error if failed else None,
        prompt_tokens=_tokens(metrics, "input_sequence_length", where),
        output_tokens=_tokens(metrics, "output_sequence_length", where),
        chunks=chunks,
    )
    return gaps


def _stamp(value: object, where: str) -> int:
    """Epoch nanoseconds."""
    found = number(value, where)
    if not EPOCH[0] <= found < EPOCH[1]:
        raise UsageError(f"{where} is {found:g}, not epoch nanoseconds (another unit? another clock?)")
    return value if isinstance(value, int) else int(found)


def _measured(metrics: Mapping[str, Any], name: str, where: str) -> tuple[Any, float]:
    """(value, factor to seconds)."""
    found = metrics.get(name)
    if found is None:
        return None, 1.0
    if not isinstance(found, Mapping):
        raise UsageError(f"{where}: {name} is a {type(found).__name__}, not a value with its unit")
    unit = str(found.get("unit"))
    if unit not in UNITS:
        raise UsageError(f"{where}: {name} is in {unit[:20]!r}, not in ns, us, ms or sec")
    return found.get("value"), UNITS[unit]


def _value(metrics: Mapping[str, Any], name: str, where: str) -> float:
    value, factor = _measured(metrics, name, where)
    return (
        np.nan if value is None else duration(factor * number(value, f"{where}: {name}"), f"{where}: {name}")
    )


def _list(metrics: Mapping[str, Any], name: str, where: str) -> Floats:
    value, factor = _measured(metrics, name, where)
    each = value if isinstance(value, list) else []
    return np.array([factor * duration(gap, f"{where}: {name}") for gap in each], np.float64)


def _tokens(metrics: Mapping[str, Any], name: str, where: str) -> float:
    found = metrics.get(name)
    return tokens_of(found.get("value") if isinstance(found, Mapping) else None, f"{where}: {name}")


def _aggregate(path: Path) -> tuple[Path, dict[str, Any]] | None:
    """The file beside it that holds what the tool printed."""
    beside = path.with_name(path.name.removesuffix(".gz").removesuffix(".jsonl") + "_aiperf.json")
    if not beside.is_file():
        return None
    found = Source(beside).value()
    return (beside, found) if isinstance(found, dict) else None


def _claims(
    beside: tuple[Path, dict[str, Any]], requests: Requests | None = None, gaps: NumberLists | None = None
) -> list[Claim]:
    path, found = beside
    took = _took(found)
    own = {}
    if requests and gaps is not None:
        own = definitions.figures(requests, gaps, tpot_to="last", latency_to="last", took=took)
        tokens = (found.get("total_output_tokens") or found.get("total_osl") or {}).get("avg")
        own |= {"output_token_throughput": tokens / took} if took and tokens is not None else {}
    claims = Claims(f"{path}: ", own, MEANING)
    for name, metric in METRICS.items():
        if isinstance(found.get(name), Mapping):
            claims.summary(name, found[name], metric, SHARES, _measured(found, name, str(path))[1])
    for name, row in SUMS.items():
        if isinstance(found.get(name), Mapping):
            value = found[name].get("avg")
            rated = row in RATES and took and value is not None
            claims.add(f"{name}.avg", value, row, rounding=value * STAMP / took if rated else 0.0)
    return claims.all()


def _took(found: Mapping[str, Any]) -> float | None:
    """Seconds from start_time to end_time: the tool's rates are over these, and not benchmark_duration."""
    try:
        begin, end = (
            datetime.datetime.fromisoformat(str(found.get(name))) for name in ("start_time", "end_time")
        )
        took = (end - begin).total_seconds()
    except (ValueError, TypeError):
        return None
    return took if took > 0 else None


def _find(config: object, *names: str) -> float | None:
    """The first number by one of these names, anywhere in the configuration."""
    if isinstance(config, Mapping):
        for name in names:
            value = config.get(name)
            if isinstance(value, int | float) and not isinstance(value, bool):
                return float(value)
        config = list(config.values())
    if isinstance(config, list):
        return next((found for each in config if (found := _find(each, *names)) is not None), None)
    return None


def _arrivals(config: Mapping[str, Any]) -> dict[str, Any]:
    phases = config.get("phases")
    kinds = (
        [each.get("type") for each in phases if isinstance(each, Mapping)] if isinstance(phases, list) else []
    )
    return {"process": str(kinds[-1]) if kinds else None}


def _model(config: Mapping[str, Any]) -> str | None:
    items = (config.get("models") or {}).get("items") if isinstance(config.get("models"), Mapping) else None
    return str(items[0].get("name")) if items and isinstance(items[0], Mapping) else None
