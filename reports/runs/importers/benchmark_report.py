"""llm-d's benchmark report 0.2 (llmd-benchmark-report 0.2.1; "0.2" and "0.2.1"): YAML or JSON: sums only.

Read off llmd_benchmark_report/schema_v0_2.py. `version`, `run.time`, `scenario.load.standardized` (`tool`,
`rate_qps`, `concurrency`), and `results.request_performance.aggregate`: `requests.{total, failures,
incomplete}`, `latency.{time_to_first_token, time_per_output_token, inter_token_latency, request_latency}` and
`throughput.{output_token_rate, request_rate}`, each with `units` and `mean, p50, p90, p95, p99`.

It holds sums only, by the definitions of the tool that it was made from: a report made from GuideLLM has
GuideLLM's, one from vLLM vLLM's.
"""

from collections.abc import Mapping
from typing import Any

from common.usage import UsageError
from reports.runs.importers.definitions import SHARES
from reports.runs.importers.imported import Claims, Imported, no_records, number
from reports.runs.importers.registry import Importer, importer
from reports.runs.importers.source import Source

UNITS = {"s": 1.0, "ms": 0.001, "s/token": 1.0, "ms/token": 0.001, "tokens/s": 1.0, "queries/s": 1.0}
LATENCY = {
    "time_to_first_token": "ttft",
    "time_per_output_token": "tpot",
    "inter_token_latency": "itl",
    "request_latency": "latency",
}
RATES = {
    "output_token_rate": "output_token_throughput",
    "request_rate": "completed_rate",
    "requests_rate": "completed_rate",
}
VERSIONS = ("0.2", "0.2.0", "0.2.1")


@importer
class BenchmarkReport(Importer):
    tool = "llm-d benchmark report"
    files = "BR0.2, YAML or JSON"
    sums = True

    def knows(self, source: Source) -> bool:
        return (
            source.shape in ("object", "yaml")
            and {"version", "results", "request_performance"} <= source.names
        )

    def read(self, source: Source) -> list[Imported]:
        found = source.document()
        if not isinstance(found, Mapping) or str(found.get("version")) not in VERSIONS:
            shown = found.get("version") if isinstance(found, Mapping) else None
            raise UsageError(f"{source.path}: benchmark report {str(shown)[:20]!r}; version 0.2 is read")
        aggregate = _inside(found, "results", "request_performance", "aggregate")
        requests = aggregate.get("requests") or {}
        claims = Claims(f"{source.path}: ", meaning=dict.fromkeys(LATENCY.values(), _MEANING))
        claims.add("requests.failures", requests.get("failures"), "failed")
        claims.add("requests.incomplete", requests.get("incomplete"), "unfinished")
        for group, rows in (("latency", LATENCY), ("throughput", RATES)):
            for name, row in rows.items():
                summary = (aggregate.get(group) or {}).get(name)
                if isinstance(summary, Mapping):
                    _summary(source, f"{group}.{name}", summary, row, claims)
        load = _inside(found, "scenario", "load", "standardized")
        tool = " ".join(str(load.get(key)) for key in ("tool", "tool_version") if load.get(key))
        total = requests.get("total")
        return [
            no_records(
                source.path,
                self.tool,
                claims.all(),
                0 if total is None else int(number(total, f"{source.path}: requests.total")),
                asked={"rate": load.get("rate_qps")},
                version=str(found.get("version")),
                notes=[f"Made from a result of {tool}: its figures are by that tool's definitions."]
                if tool
                else [],
            )
        ]


_MEANING = "by the definition of the tool that the report was made from"


def _summary(source: Source, name: str, found: Mapping[str, Any], row: str, claims: Claims) -> None:
    """The claims of one quantity."""
    unit = str(found.get("units"))
    if unit not in UNITS:
        raise UsageError(f"{source.path}: {name}: units is {unit[:20]!r}, not one of {', '.join(UNITS)}")
    if row in RATES.values():
        claims.add(f"{name}.mean", found.get("mean"), row, UNITS[unit])
    else:
        claims.summary(name, found, row, {key: key for key in ("mean", *SHARES)}, UNITS[unit])


def _inside(found: Mapping[str, Any], *keys: str) -> Mapping[str, Any]:
    for key in keys:
        value = found.get(key)
        found = value if isinstance(value, Mapping) else {}
    return found
