"""genai-perf 0.0.16: `profile_export.json`, by perf_analyzer: send and each response, no token counts.

Read off genai_perf/profile_data_parser/llm_profile_data_parser.py. `service_kind`, `endpoint` and
`experiments`, one for each load (`experiment.mode`, `.value`), each with `requests`: `timestamp` (ns),
`response_timestamps` (ns), `response_outputs` (`response`: the bytes of an event stream), `success`.

Definitions: TTFT = first response - send, after empty responses at the end are dropped; the role chunk of a
chat is a response; inter-token latency = (latency - TTFT) / (tokens - 1), which others call TPOT; tokens are
counted from the text by the client's tokenizer; latency to the last response; percentiles interpolate. The
file has no token counts, so that only responses can be counted here; its figures stand in another file.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from common.usage import UsageError
from loadgen.records.record import COMPLETED, FAILED
from reports.runs.importers.imported import SENT_ONLY, Imported, number
from reports.runs.importers.registry import Importer, importer
from reports.runs.importers.requests import Requests
from reports.runs.importers.source import Source

NS = 1e-9
_NO_TOKENS = "the file has the texts of the answers, and no token counts"
LIMITS = replace(
    SENT_ONLY, figures={**SENT_ONLY.figures, "output_token_throughput": _NO_TOKENS, "tpot": _NO_TOKENS}
)


@importer
class GenAiPerf(Importer):
    tool = "genai-perf"
    files = "profile_export.json"

    def knows(self, source: Source) -> bool:
        return source.shape == "object" and {"service_kind", "experiments"} <= source.names

    def read(self, source: Source) -> list[Imported]:
        found = source.value()
        experiments = found.get("experiments")
        if not isinstance(experiments, list) or not experiments:
            raise UsageError(f"{source.path}: experiments is empty; there is nothing to audit")
        return [_experiment(source, each) for each in experiments]


def _experiment(source: Source, found: Mapping[str, Any]) -> Imported:
    requests = Requests(source.path)
    for each in found.get("requests") or []:
        _add(requests, each)
    load = found.get("experiment") or {}
    rated = "rate" in str(load.get("mode"))
    value = load.get("value")
    return Imported(
        path=source.path,
        tool=GenAiPerf.tool,
        table=requests.table(),
        chunks=requests.chunks(),
        watched=requests.watched,
        due=len(requests),
        open_loop=rated,
        claims=[],
        asked={"rate": value if rated else None, "arrivals": {"process": str(load.get("mode"))}},
        concurrency=int(value) if not rated and isinstance(value, int) else None,
        limits=LIMITS,
        notes=[
            "The tool's own figures are in profile_export_genai_perf.json, which is not read.",
            "A chat's chunk that only names the role is a response to the tool, so its TTFT ends there; here "
            "the first response whose text can be seen to hold content ends it.",
        ],
    )


def _add(requests: Requests, found: object) -> None:
    where = requests.where
    if not isinstance(found, Mapping):
        raise UsageError(f"{where}: is a {type(found).__name__}, not an object")
    stamps = found.get("response_timestamps")
    if not isinstance(stamps, list):
        raise UsageError(f"{where}: has no list response_timestamps")
    sent = number(found.get("timestamp"), f"{where}: timestamp") * NS
    times = np.array([number(each, f"{where}: response_timestamps") for each in stamps], np.float64) * NS
    outputs = found.get("response_outputs") or []
    if len(outputs) == len(times):
        times = times[[_has_text(each) for each in outputs]]
    failed = found.get("success") is False or not len(times)
    requests.add(
        sent,
        float(times[0]) if len(times) else np.nan,
        float(times[-1]) if len(times) and not failed else np.nan,
        status=FAILED if failed else COMPLETED,
        error="no response with text" if failed else None,
        chunks=times,
    )


def _has_text(output: object) -> bool:
    """Whether a response carries text; one that cannot be read counts as one that does."""
    text = output.get("response") if isinstance(output, Mapping) else None
    if not isinstance(text, str):
        return True
    events = [line[5:].strip() for line in text.splitlines() if line.startswith("data:")]
    if not events:
        return bool(text.strip())
    return any(_content(event) for event in events)


def _content(event: str) -> bool:
    if event == "[DONE]":
        return False
    try:
        choices = json.loads(event).get("choices") or []
        each = choices[0] if choices else {}
        return bool(each.get("text") or (each.get("delta") or {}).get("content"))
    except (ValueError, AttributeError, IndexError, TypeError):
        return True
