"""`vllm bench serve` 0.8 to 0.33, and the Rust bench of vLLM's repository: `--save-result --save-detailed`:
send, TTFT, gaps, lengths and error of each request, from 0.32 on when it was due; durations only in 0.8.

Read off vllm/benchmarks/serve.py (0.32.0: `result_json`, `calculate_metrics`), lib/endpoint_request_func.py,
and rust/src/bench/src/output/json.rs, metrics/calculator.rs. One JSON object: `date` (local time,
YYYYmmdd-HHMMSS), `backend` (`endpoint_type`), `model_id`, `num_prompts`, `request_rate` (1/s, or "inf"),
`burstiness`, `max_concurrency`, `duration` (s), `completed`, `failed` (not in old versions),
`total_output_tokens`, `request_throughput` (1/s), `request_goodput` (1/s; "request_goodput:" up to 0.9),
`output_throughput` (tokens/s), and `mean|median|std|pNN_ttft|tpot|itl|e2el_ms`.
`--save-detailed` adds lists with one entry for each request: `start_times` (perf_counter at the send; not
in vLLM 0.8), `ttfts`, `itls` (gaps between chunks), `latencies` and `queue_times` (newer versions; the Rust
bench has no queue_times), all in seconds, `input_lens`, `output_lens` (`usage`, else the text tokenised
again), `errors` ("" where none). A failed request has ttft 0.0 or only a part of its gaps, latency 0.0 and
output length 0. `--append-result` writes several objects, `vllm bench sweep` a list of them without lists.

Definitions: TTFT = first chunk - send; TPOT = (latency - TTFT) / (tokens - 1), of 2 tokens or more; ITL =
gaps between chunks, pooled; latency to the last chunk with choices; all of completed requests; rates over
`duration`, which ends with the last answer; percentiles interpolate. On the chat endpoint the first chunk is
the first token, also where it only names the role: up to 0.32 every chunk with choices counts, so that N
tokens have N gaps; from 0.33 on it must carry text.
"""

import datetime
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import ijson
import numpy as np
from ijson.common import ObjectBuilder
from numpy.typing import NDArray

from common.usage import UsageError
from loadgen.records.record import COMPLETED, FAILED
from reports.runs.importers import definitions
from reports.runs.importers.imported import (
    MOST_TOKENS,
    ROUNDING,
    Claim,
    Claims,
    Imported,
    error_line,
    make_table,
    no_records,
    number,
    one_clock,
)
from reports.runs.importers.number_lists import NumberLists, Part
from reports.runs.importers.registry import Importer, importer
from reports.runs.importers.source import Source
from reports.runs.importers.vllm_load import Load, load_limits, load_notes, read_load
from reports.runs.runs import ChunkBatch, Chunks, Floats, Limits, Mask

LISTS = ("ttfts", "itls", "input_lens", "output_lens", "errors")
EXTRA = ("start_times", "latencies", "queue_times")
NUMBERS = ("ttfts", "input_lens", "output_lens", *EXTRA)
MARKS = ("request_throughput", "output_throughput", "num_prompts", "ttfts", "start_times")
UNREAD = ("generated_texts",)
ROLE_FIRST = 0.95  # share of the answers whose chunks must show it
AT_ONCE = 0.001  # s between two chunks that were sent together
MS = 0.001
CLAIMS = {
    "output_throughput": ("output_token_throughput", 1.0),
    "request_throughput": ("completed_rate", 1.0),
    "completed": ("completed", 1.0),
    "failed": ("failed", 1.0),
    "request_goodput": ("goodput_rate", 1.0),
    "request_goodput:": ("goodput_rate", 1.0),
} | {
    f"{how}_{name}_ms": (f"{row}_{share}", MS)
    for name, row in (("ttft", "ttft"), ("tpot", "tpot"), ("itl", "itl"), ("e2el", "latency"))
    for how, share in (
        *(("mean", "mean"), ("median", "p50")),
        *((share, share) for share in definitions.SHARES),
    )
}
_SURVIVORS = "of completed requests only"
MEANING = {
    "ttft": _SURVIVORS,
    "tpot": _SURVIVORS,
    "itl": f"{_SURVIVORS}, by chunk",
    "latency": _SURVIVORS,
    "output_token_throughput": "tokens of completed requests, over all the time up to the last answer",
    "completed_rate": "over all the time up to the last answer",
    "goodput_rate": "its SLO is not in the file, and its clock starts at the send",
}


@dataclass(frozen=True)
class Dialect:
    """How a tool of this family names its figures."""

    tool: str
    claims: Mapping[str, tuple[str, float]]
    meaning: Mapping[str, str]
    tail: float = 0.0  # s by which an answer may last longer than its lists say


_ROLE = "its first chunk is the one that names the role, which holds no token"


VLLM = Dialect("vllm bench serve", CLAIMS, MEANING)


@dataclass
class Result:
    """One JSON object, and beside it the gaps of each request."""

    found: dict[str, Any]
    gaps: NumberLists = field(default_factory=NumberLists)

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """Gaps of each request."""
        return self.gaps.counts

    @cached_property
    def streams(self) -> "Streams":
        """What one pass over all gaps gives."""
        lasted, first, least = np.zeros((3, len(self.gaps)))
        found = Streams(lasted, first, least)
        for part in self.gaps.parts():
            found.add(part)
        return found


@dataclass
class Streams:
    """Of each request, s: its gaps in all, its first and its least gap; 0 without any."""

    lasted: Floats
    first: Floats
    least: Floats
    apart: int = 0  # gaps of all requests that are longer than 2 * AT_ONCE

    def add(self, part: Part) -> None:
        self.apart += int(np.count_nonzero(part.numbers > 2 * AT_ONCE))
        some = part.counts > 0
        begins = part.offsets[:-1][some]
        if len(begins):
            self.lasted[part.rows][some] = np.add.reduceat(part.numbers, begins)
            self.first[part.rows][some] = part.numbers[begins]
            self.least[part.rows][some] = np.minimum.reduceat(part.numbers, begins)


@importer
class VllmBench(Importer):
    tool = VLLM.tool
    files = "--save-result, with or without --save-detailed, --append-result; sweep's summary.json"

    def knows(self, source: Source) -> bool:
        marked = sum(name in source.names for name in MARKS) >= 2
        return source.shape in ("object", "array") and marked and "random_range_ratio" not in source.names

    def read(self, source: Source) -> list[Imported]:
        results = read_results(source)
        if not results:
            raise UsageError(f"{source.path}: an empty list; there is nothing to audit")
        return [read_vllm(source.path, each) for each in results]


def read_results(source: Source) -> list[Result]:
    """All results of a file, streamed."""
    try:
        return list(_streamed(source))
    except (ijson.JSONError, UnicodeDecodeError):
        return _all(source.path, source.value())  # NaN or Infinity; or an error, with line and column


def _all(path: Path, found: Any) -> list[Result]:
    return [_whole(path, each) for each in (found if isinstance(found, list) else [found])]


def _streamed(source: Source) -> Iterator[Result]:
    """Gaps go straight into arrays, and the answers' texts nowhere."""
    inside = "item." if source.shape == "array" else ""
    gap, gaps, one = f"{inside}itls.item.item", f"{inside}itls.item", inside.removesuffix(".")
    unread = {f"{inside}{name}.item" for name in UNREAD}
    gap_lists, one_list, builder = NumberLists(), array("d"), ObjectBuilder()
    with source.events(("itls", *NUMBERS)) as (events, lists):
        for prefix, event, value in events:
            if prefix == gap:
                if event == "string" and value in lists:
                    one_list = lists.pop(value)
                elif event == "number":
                    one_list.append(value)
                else:
                    where = f"{source.path}: record {len(gap_lists)} (from 0): itls holds"
                    raise UsageError(f"{where} {str(value)[:40]!r}, not a number")
            elif prefix == gaps:
                if event == "end_array":
                    gap_lists.add(one_list)
                    one_list = array("d")
                elif event != "start_array":
                    raise UsageError(
                        f"{source.path}: record {len(gap_lists)} (from 0): itls is no list of gaps"
                    )
            elif prefix not in unread:
                builder.event(event, value)
                if prefix == one and event == "end_map":
                    found = builder.value[-1] if inside else builder.value
                    yield Result(found | _taken(found, lists), gap_lists)
                    gap_lists, builder = NumberLists(), ObjectBuilder()
                    if inside:
                        builder.event("start_array", None)


def _taken(found: Mapping[str, Any], lists: "dict[str, array[float]]") -> "dict[str, array[float]]":
    """The lists of numbers that marks stand for."""
    marks = {name: found[name][0] for name in NUMBERS if isinstance(found.get(name), list) and found[name]}
    return {name: lists.pop(mark) for name, mark in marks.items() if mark in lists}


def _whole(path: Path, found: Any) -> Result:
    if not isinstance(found, dict):
        raise UsageError(f"{path}: holds a {type(found).__name__}, not the JSON object that a tool writes")
    lists = found.get("itls")
    gaps = (_gaps(path, index, each) for index, each in enumerate(lists if isinstance(lists, list) else []))
    return Result(found, NumberLists(gaps))


def _gaps(path: Path, index: int, found: Any) -> Floats:
    if not isinstance(found, list):
        raise UsageError(f"{path}: record {index} (from 0): itls is no list of gaps")
    gaps = np.array(found, np.float64) if {float, int}.issuperset(map(type, found)) else None
    if gaps is None or not np.isfinite(gaps).all():
        gaps = np.array(
            [number(each, f"{path}: record {index} (from 0): itls") for each in found], np.float64
        )
    return gaps


def read_vllm(path: Path, result: Result, dialect: Dialect = VLLM) -> Imported:
    """One result as records. Raises UsageError for nonsense, with the request's number (from 0)."""
    found = result.found
    model = str(found["model_id"]) if found.get("model_id") else None
    if not any(isinstance(found.get(name), list | array) for name in ("ttfts", "itls")):
        if "output_throughput" not in found and ("latencies" in found or "rtfx" not in found):
            raise UsageError(f"{path}: {_pooling(found)}")
        claims = Claims(f"{path}: ", meaning=dialect.meaning).take(found, dialect.claims).all()
        limit = found.get("max_concurrency")
        return no_records(
            path,
            dialect.tool,
            claims,
            _counted(path, found, 0),
            model=model,
            started_at=_date(found.get("date")),
            asked={"rate": found.get("request_rate"), "arrivals": {"max_concurrency": limit}},
            notes=[
                "Saved without --save-detailed: save it again with it, and single requests can be audited."
            ],
        )
    lists = _lists(path, found)
    numbers = {name: _numbers(lists[name], f"{path}: {name}") for name in NUMBERS if name in lists}
    if len(result.gaps) != len(numbers["ttfts"]):
        raise UsageError(f"{path}: its lists are not of one length (itls {len(result.gaps)})")
    _sensible(path, numbers, result)
    failed = _failed(lists, numbers)
    records = _Records(path, result, numbers, failed)
    load = _load(path, found, records)
    columns = records.columns(load, lists["errors"])
    return Imported(
        path=path,
        tool=dialect.tool,
        table=make_table(columns),
        chunks=records.chunks(load),
        watched=max(float(columns["end"].max()), ROUNDING),
        due=_counted(path, found, len(failed)),
        open_loop=load is not None and load.open_loop,
        claims=_claims(path, found, records, dialect),
        model=model,
        asked=load.asked if load else {"rate": found.get("request_rate"), "requests": len(failed)},
        concurrency=load.limit if load else None,
        started_at=_date(found.get("date")),
        limits=load_limits(load) if load else Limits({"slo_attainment": "the file does not hold the SLO"}),
        notes=[*(load_notes(load) if load else _NO_STARTS), *records.notes(found)],
        placed=load is not None,
    )


@dataclass
class _Records:
    """The requests of one result: as the tool has them, and by the definitions here."""

    path: Path
    result: Result
    numbers: dict[str, Floats]
    failed: Mask

    @property
    def until(self) -> Floats:
        """Seconds from the send to the last chunk."""
        return self.numbers["ttfts"] + self.result.streams.lasted

    @property
    def latency(self) -> Floats:
        """As the tool has it; old versions do not save it."""
        return self.numbers.get("latencies", self.until)

    @cached_property
    def role_first(self) -> bool:
        """Whether answers begin with a chunk that holds no token: it alone makes as many gaps as tokens."""
        done = ~self.failed & (self.result.counts > 0)
        if not done.any():
            return False
        as_many = self.result.counts[done] == self.numbers["output_lens"][done]
        return bool(as_many.mean() >= ROLE_FIRST) or self._sent_with_first(done)

    def _sent_with_first(self, done: Mask) -> bool:
        """Whether the first two chunks of nearly all answers came together and the others did not."""
        streams, first = self.result.streams, self.result.streams.first[done]
        others = self.result.gaps.total - len(first)
        apart = streams.apart - np.count_nonzero(first > 2 * AT_ONCE)
        return bool((first < AT_ONCE).mean() >= ROLE_FIRST and apart > others / 2)

    def sent(self, load: Load | None) -> Floats:
        """Seconds from the first request that came due; 0 for all where the file does not tell."""
        start = self.numbers.get("start_times")
        return np.zeros(len(self.failed)) if start is None or load is None else start - float(load.due.min())

    def first(self) -> Floats:
        """Seconds from the send to the first chunk with text; NaN where none came."""
        ttft = np.where(self.numbers["ttfts"] > 0, self.numbers["ttfts"], np.nan)
        return ttft + self.result.streams.first if self.role_first else ttft

    def columns(self, load: Load | None, errors: Sequence[Any]) -> dict[str, Any]:
        sent = self.sent(load)
        last = np.where(self.came, sent + self.until, np.nan)
        return {
            "due": sent if load is None else load.due - float(load.due.min()),
            "sent": sent,
            "first_token": sent + self.first(),
            "last_token": last,
            "end": np.fmax(last, sent),
            "status": [FAILED if each else COMPLETED for each in self.failed],
            "error": [
                error_line(text) if bad else None for text, bad in zip(errors, self.failed, strict=True)
            ],
            "prompt_tokens": self.numbers["input_lens"],
            "output_tokens": np.where(self.failed, np.nan, self.numbers["output_lens"]),
        }

    @property
    def came(self) -> Mask:
        """Whose first chunk came."""
        return self.numbers["ttfts"] > 0

    def chunks(self, load: Load | None) -> Chunks:
        """When the chunks with text of each request came."""
        shown = self.came & ~(self.role_first & (self.result.counts > 0))  # whose first chunk has text
        began, ended = self.sent(load) + self.numbers["ttfts"], self.sent(load) + self.until
        count = int(self.result.counts[self.came].sum() + np.count_nonzero(shown))

        def batches() -> Iterator[ChunkBatch]:
            for part in self.result.gaps.parts():
                of = part.rows
                yield _chunks(part, began[of], ended[of], self.came[of], shown[of])

        return Chunks(count, batches)

    def own(self, duration: float | None) -> dict[str, float]:
        """The figures as the tool defines them, by row."""
        kept, tokens = ~self.failed, self.numbers["output_lens"]
        ttft, latency = self.numbers["ttfts"][kept], self.latency[kept]
        figures = definitions.statistics(
            {
                "ttft": ttft,
                "tpot": definitions.per_token(ttft, latency, tokens[kept]),
                "latency": latency,
            }
        )
        figures |= definitions.pooled("itl", self.result.gaps, kept)
        figures |= {"completed": float(kept.sum()), "failed": float(self.failed.sum())}
        if duration:
            figures["output_token_throughput"] = float(tokens[kept].sum()) / duration
            figures["completed_rate"] = float(kept.sum()) / duration
        return figures

    def notes(self, found: dict[str, Any]) -> list[str]:
        notes = []
        asked = found.get("num_prompts")
        if asked is not None and number(asked, f"{self.path}: num_prompts") > len(self.failed):
            notes.append(
                f"{len(self.failed):,} requests were sent, and num_prompts asked for {int(asked):,}: as a "
                f"rule, "
                "the data set held no more."
            )
        if self.role_first:
            notes.append(
                "Each answer has one chunk more than tokens: up to vLLM 0.32 the tool takes the chunk "
                "that names "
                "the role for the first token. Here the next one is the first token. A server that sends the "
                "role at once has too low a TTFT in the tool's figures, others one ITL near zero for each "
                "answer."
            )
        elif "chat" in str(found.get("backend") or found.get("endpoint_type") or ""):
            notes.append(
                "On the chat endpoint vLLM up to 0.32 counts the chunk that names the role, and 0.33 does "
                "not. The chunks here do not show such a one."
            )
        if self.failed.any():
            notes.append(
                f"{int(self.failed.sum())} requests failed. The tool leaves them out of its percentiles; "
                "here they count as endless. When they ended is not in the file; they are drawn as ended "
                "when last seen."
            )
        return notes


def _chunks(part: Part, began: Floats, ended: Floats, came: Mask, shown: Mask) -> ChunkBatch:
    """The chunks of some requests: from when to when each came, s, whether any did, and the first shows."""
    gaps, counts = part.numbers, part.counts
    if not came.all():
        gaps, counts = gaps[np.repeat(came, counts)], np.where(came, counts, 0)
    starts = np.cumsum(counts) - counts
    # Steps from each chunk to the next, of one request after the other.
    steps = np.insert(gaps, starts[shown], 0.0)
    offsets = np.concatenate([[0], np.cumsum(counts + shown)])
    some = offsets[1:] > offsets[:-1]
    begins = offsets[:-1][some]
    steps[begins] += began[some] - np.concatenate([[0.0], ended[some][:-1]])
    times = np.cumsum(steps, out=steps)
    times[offsets[1:][some] - 1] = ended[some]  # the sum to the last bit, for windows end there
    return ChunkBatch(part.first, offsets, times, np.full(len(times), np.nan))


_NO_STARTS = [
    "The file does not say when requests were sent (no start_times: vLLM 0.8, or SGLang). Durations are "
    "read; rates and whatever rests on the order of the requests are not."
]


def _claims(path: Path, found: dict[str, Any], records: _Records, dialect: Dialect) -> list[Claim]:
    took = found.get("duration")
    own = records.own(number(took, f"{path}: duration") if took is not None else None)
    meaning = dict(dialect.meaning)
    if records.role_first:
        meaning |= {"ttft": _ROLE, "itl": f"{_ROLE}, so that N tokens have N gaps", "tpot": _ROLE}
    claims = Claims(f"{path}: ", own, meaning).take(found, dialect.claims).all()
    if not dialect.tail:
        return claims
    tokens = max(float(np.median(records.numbers["output_lens"])) - 1, 1.0)
    slack = {"latency": dialect.tail, "tpot": dialect.tail / tokens}
    return [replace(each, rounding=slack.get(each.row.rpartition("_")[0], 0.0)) for each in claims]


def _load(path: Path, found: dict[str, Any], records: _Records) -> Load | None:
    """None where the file does not say when requests were sent."""
    start = records.numbers.get("start_times")
    if start is None:
        return None
    return read_load(path, found, start, start + records.until, records.numbers.get("queue_times"))


def _numbers(values: "list[Any] | array[float]", where: str) -> Floats:
    found = np.array(values) if isinstance(values, array) else None
    if found is None or not np.isfinite(found).all():
        found = np.array([number(value, f"{where}[{i}]") for i, value in enumerate(values)])
    return found


def _lists(path: Path, found: dict[str, Any]) -> dict[str, Any]:
    """The lists of the file, all of one length."""
    missing = [name for name in LISTS if not isinstance(found.get(name), list | array)]
    if missing:
        raise UsageError(
            f"{path}: has no list {missing[0]}, so no single requests; save it again with --save-detailed"
        )
    names = [
        name for name in (*LISTS, *EXTRA) if name != "itls" and isinstance(found.get(name), list | array)
    ]
    lists = {name: found[name] for name in names}
    lengths = {name: len(values) for name, values in lists.items()}
    if len(set(lengths.values())) > 1:
        shown = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise UsageError(f"{path}: its lists are not of one length ({shown}); take the whole file")
    if not lists["ttfts"]:
        raise UsageError(f"{path}: its lists are empty; there is nothing to audit")
    return lists


def _pooling(found: dict[str, Any]) -> str:
    if "latencies" in found:
        return "of a pooling model, which streams no tokens: it has no TTFT and no TPOT to audit"
    return "holds neither single requests nor the sums of a result; take the whole file"


def _sensible(path: Path, numbers: dict[str, Floats], result: Result) -> None:
    """No negative durations or counts, all start times of one clock."""
    for name, values in numbers.items():
        least = 0.0 if name.endswith("_lens") else -ROUNDING
        if name != "start_times" and (values < least).any():
            index = int((values < least).argmax())
            what = "a negative number" if name.endswith("_lens") else "a negative duration"
            raise UsageError(f"{path}: record {index} (from 0): {name} is {values[index]:g}, {what}")
        if name.endswith("_lens") and (values > MOST_TOKENS).any():
            index = int((values > MOST_TOKENS).argmax())
            raise UsageError(
                f"{path}: record {index} (from 0): {name} is {values[index]:g}, not a number of tokens"
            )
    streams = result.streams
    if not np.isfinite(streams.lasted).all():
        index = int((~np.isfinite(streams.lasted)).argmax())
        raise UsageError(f"{path}: record {index} (from 0): itls holds a number that is not finite")
    if (streams.least < -ROUNDING).any():
        index = int((streams.least < -ROUNDING).argmax())
        raise UsageError(
            f"{path}: record {index} (from 0): itls holds {streams.least[index]:g} s, a negative duration: "
            "a token came before the one before it"
        )
    latency = numbers.get("latencies", np.zeros(0))
    early = np.flatnonzero((latency > 0) & (latency < numbers["ttfts"][: len(latency)] - ROUNDING))
    if len(early):
        index = int(early[0])
        raise UsageError(
            f"{path}: record {index} (from 0): its first token ({numbers['ttfts'][index]:g} s) came after "
            f"its last ({latency[index]:g} s)"
        )
    if "start_times" in numbers:
        one_clock(path, numbers["start_times"])


def _failed(lists: dict[str, list[Any]], numbers: dict[str, Floats]) -> Mask:
    """Those with an error text, and those that have none (an empty HTTP reason) but no token either."""
    empty = (numbers["ttfts"] <= 0) & (numbers["output_lens"] == 0)
    return empty | np.array([bool(text) for text in lists["errors"]], dtype=bool)


def _counted(path: Path, found: dict[str, Any], listed: int) -> int:
    """Requests that the tool says there were; older versions do not count those that failed."""
    if found.get("completed") is None or found.get("failed") is None:
        return listed
    return sum(int(number(found[name], f"{path}: {name}")) for name in ("completed", "failed"))


def _date(value: object) -> str | None:
    try:
        return datetime.datetime.strptime(str(value), "%Y%m%d-%H%M%S").isoformat()
    except ValueError:
        return None
