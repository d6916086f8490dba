"""A result of `vllm bench serve --save-result --save-detailed` (vLLM 0.32) as a run.

Lists with one entry for each request: `start_times` (the client's perf_counter at the send), `ttfts`,
`itls` (gaps between chunks), `input_lens`, `output_lens`, `errors` ("" where none), and in newer versions
`latencies` and `queue_times` (what the client's own concurrency limit held back before the send). A failed
request has ttft 0.0 or only a part of its gaps, latency 0.0 and output length 0.
"""

import datetime
import math
from pathlib import Path
from typing import Any

import numpy as np

from common.usage import UsageError
from loadgen.records.record import COMPLETED, FAILED
from reports.runs.importers.foreign import MOST_TOKENS, Foreign, claim_list, error_line, make_table, number
from reports.runs.importers.vllm_load import load_limits, load_notes, read_load
from reports.runs.runs import Floats

TOOL = "vllm bench serve"
LISTS = ("start_times", "ttfts", "itls", "input_lens", "output_lens", "errors")
EXTRA = ("latencies", "queue_times")
MARKS = ("request_throughput", "output_throughput", "num_prompts", "ttfts", "start_times")
BACK = 1e-6  # s; rounding
LONGEST = 7 * 86400.0  # s; requests further apart are not of one run
MS = 0.001
CLAIMS = {
    "output_throughput": ("output_token_throughput", 1.0),
    "request_throughput": ("completed_rate", 1.0),
    "completed": ("completed", 1.0),
    "failed": ("failed", 1.0),
    "request_goodput": ("goodput_rate", 1.0),
} | {
    f"{how}_{name}_ms": (f"{row}_{share}", MS)
    for name, row in (("ttft", "ttft"), ("tpot", "tpot"), ("itl", "itl"), ("e2el", "latency"))
    for how, share in (("median", "p50"), ("p50", "p50"), ("p99", "p99"))
    if (row, share) != ("itl", "p50")
}


def is_vllm(found: dict[str, Any]) -> bool:
    """Whether a file looks like a result of vllm bench serve."""
    return sum(name in found for name in MARKS) >= 2


def read_vllm(path: Path, found: dict[str, Any]) -> Foreign:
    """The file as records. Raises UsageError for nonsense, with the request's number (from 0)."""
    lists = _lists(path, found)
    numbers = {
        name: np.array([number(value, f"{path}: {name}[{i}]") for i, value in enumerate(lists[name])])
        for name in ("start_times", "ttfts", "input_lens", "output_lens", *EXTRA)
        if name in lists
    }
    gaps = [_gaps(path, index, each) for index, each in enumerate(lists["itls"])]
    _sensible(path, numbers, gaps)
    failed = _failed(lists, numbers)
    start, streamed = numbers["start_times"], np.array([each.sum() for each in gaps])
    load = read_load(path, found, start, start + numbers["ttfts"] + streamed, numbers.get("queue_times"))
    origin = float(load.due.min())
    first = np.where(numbers["ttfts"] > 0, start - origin + numbers["ttfts"], np.nan)
    last = np.where(np.isnan(first), np.nan, first + streamed)
    chunks = [_chunk_times(*each) for each in zip(first, gaps, strict=True)]
    end = np.fmax(last, start - origin)
    columns: dict[str, Any] = {
        "due": load.due - origin,
        "sent": start - origin,
        "first_token": first,
        "last_token": last,
        "end": end,
        "status": [FAILED if each else COMPLETED for each in failed],
        "error": [
            error_line(text) if bad else None for text, bad in zip(lists["errors"], failed, strict=True)
        ],
        "prompt_tokens": numbers["input_lens"],
        "output_tokens": np.where(failed, np.nan, numbers["output_lens"]),
    }
    return Foreign(
        path=path,
        tool=TOOL,
        table=make_table(columns, chunks),
        watched=max(float(end.max()), BACK),
        due=_counted(path, found, len(start)),
        open_loop=load.open_loop,
        claims=claim_list(found, CLAIMS, f"{path}: "),
        model=str(found["model_id"]) if found.get("model_id") else None,
        asked=load.asked,
        concurrency=load.limit,
        started_at=_date(found.get("date")),
        limits=load_limits(load),
        notes=[*load_notes(load), *_notes(path, found, failed)],
    )


def _lists(path: Path, found: dict[str, Any]) -> dict[str, list[Any]]:
    """The lists of the file, all of one length."""
    missing = [name for name in LISTS if not isinstance(found.get(name), list)]
    if missing:
        raise UsageError(f"{path}: {_incomplete(missing, found)}")
    lists = {name: found[name] for name in (*LISTS, *EXTRA) if isinstance(found.get(name), list)}
    lengths = {name: len(values) for name, values in lists.items()}
    if len(set(lengths.values())) > 1:
        shown = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise UsageError(f"{path}: its lists are not of one length ({shown}); take the whole file")
    if not lists["start_times"]:
        raise UsageError(f"{path}: its lists are empty; there is nothing to audit")
    return lists


def _incomplete(missing: list[str], found: dict[str, Any]) -> str:
    """What the file is, then, and what can be done."""
    if missing == ["start_times"]:
        return (
            "has no list start_times, so not when requests were sent (an older vLLM, or SGLang); measure it "
            "again with a newer vllm bench serve"
        )
    if "output_throughput" not in found and "latencies" in found:
        return "of a pooling model, which streams no tokens: it has no TTFT and no TPOT to audit"
    return f"has no list {missing[0]}, so no single requests; save it again with --save-detailed"


def _gaps(path: Path, index: int, found: object) -> Floats:
    if not isinstance(found, list):
        raise UsageError(f"{path}: itls[{index}] is a {type(found).__name__}, not a list of gaps")
    return np.array([number(value, f"{path}: itls[{index}]") for value in found], dtype=np.float64)


def _sensible(path: Path, numbers: dict[str, Floats], gaps: list[Floats]) -> None:
    """No negative durations or counts, all start times of one clock."""
    for name, values in numbers.items():
        least = 0.0 if name.endswith("_lens") else -BACK
        if name != "start_times" and (values < least).any():
            index = int((values < least).argmax())
            what = "a negative number" if name.endswith("_lens") else "a negative duration"
            raise UsageError(f"{path}: record {index} (from 0): {name} is {values[index]:g}, {what}")
        if name.endswith("_lens") and (values > MOST_TOKENS).any():
            index = int((values > MOST_TOKENS).argmax())
            raise UsageError(
                f"{path}: record {index} (from 0): {name} is {values[index]:g}, not a number of tokens"
            )
    for index, each in enumerate(gaps):
        if (each < -BACK).any():
            raise UsageError(
                f"{path}: record {index} (from 0): itls holds {each.min():g} s, a negative duration: "
                "a token came before the one before it"
            )
    latency = numbers.get("latencies", np.zeros(0))
    early = np.flatnonzero((latency > 0) & (latency < numbers["ttfts"][: len(latency)] - BACK))
    if len(early):
        index = int(early[0])
        raise UsageError(
            f"{path}: record {index} (from 0): its first token ({numbers['ttfts'][index]:g} s) came after "
            f"its last ({latency[index]:g} s)"
        )
    start = numbers["start_times"]
    far = np.abs(start - np.median(start))
    if far.max() > LONGEST:
        raise UsageError(
            f"{path}: record {int(far.argmax())} (from 0): its start time is {far.max() / 86400:.1f} days "
            "off the others; stamps of several clocks or runs are mixed"
        )


def _failed(lists: dict[str, list[Any]], numbers: dict[str, Floats]) -> list[bool]:
    """Those with an error text, and those that have none (an empty HTTP reason) but no token either."""
    empty = (numbers["ttfts"] <= 0) & (numbers["output_lens"] == 0)
    return [bool(text) or bool(none) for text, none in zip(lists["errors"], empty, strict=True)]


def _chunk_times(first: float, gaps: Floats) -> Floats:
    return np.zeros(0) if math.isnan(first) else first + np.concatenate([[0.0], np.cumsum(gaps)])


def _counted(path: Path, found: dict[str, Any], listed: int) -> int:
    """Requests that the tool says there were; older versions do not count those that failed."""
    if found.get("completed") is None or found.get("failed") is None:
        return listed
    return sum(int(number(found[name], f"{path}: {name}")) for name in ("completed", "failed"))


def _notes(path: Path, found: dict[str, Any], failed: list[bool]) -> list[str]:
    notes = []
    asked = found.get("num_prompts")
    if asked is not None and number(asked, f"{path}: num_prompts") > len(failed):
        notes.append(
            f"{len(failed):,} requests were sent, and num_prompts asked for {int(asked):,}: as a rule, the "
            "data set held no more."
        )
    if "chat" in str(found.get("backend") or found.get("endpoint_type") or ""):
        notes.append(
            "On the chat endpoint the tool takes the first chunk for the first token, even one that only "
            "names the role. vLLM sends it together with the first token; each request then adds one ITL "
            "near zero. Of servers that send it at once, the TTFT here is too low."
        )
    if any(failed):
        notes.append(
            f"{sum(failed)} requests failed. The tool leaves them out of its percentiles; here they count as "
            "endless. When they ended is not in the file; they are drawn as ended when last seen."
        )
    return notes


def _date(value: object) -> str | None:
    try:
        return datetime.datetime.strptime(str(value), "%Y%m%d-%H%M%S").isoformat()
    except ValueError:
        return None
