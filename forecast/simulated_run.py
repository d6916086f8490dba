"""A simulated outcome as a run: the records and manifest that a real one has, marked as a forecast."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from common.results import MANIFEST, RECORDS, make_new, now, stamped, write_json
from forecast.calibration import FrontEnd, running_at
from forecast.load import Traffic
from forecast.scheduler import Outcome
from loadgen.records.record import COMPLETED, SCHEMA, UNFINISHED
from reports.runs.manifest import FORMAT, Manifest
from reports.runs.runs import Records, Run
from reports.runs.server_metrics import ServerMetrics

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MARK = " (forecast)"  # behind the variant's name, so that every page that names the variant says it


@dataclass(frozen=True)
class Description:
    """What the manifest says of a forecast. `basis`: the run that it was made from."""

    variant: str
    basis: str
    server: dict[str, Any]
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class SimulatedRun:
    """The forecast as a run in memory, and its records as a table."""

    run: Run
    table: pa.Table

    def write(self, results: Path) -> Path:
        """Write it as a run folder; the folder."""
        folder = make_new(results / stamped(self.run.manifest.variant.replace(MARK, "-forecast")))
        manifest = self.run.manifest.model_dump(mode="json", exclude_none=True) | {"run": folder.name}
        pq.write_table(self.table, folder / RECORDS)
        write_json(folder / MANIFEST, manifest)
        return folder


def run_of(
    traffic: Traffic, outcome: Outcome, front: FrontEnd, said: Description, chunk: int | None = None
) -> SimulatedRun:
    """The forecast as a run. `chunk`: tokens that a chunk after the first carries; None: without chunks,
    which are most of the work and the memory, and which only ITL and a timeline need."""
    schedule = traffic.schedule
    limit = schedule.end + schedule.scenario.drain
    tokens = _received(traffic, outcome, front, limit)
    columns, ended = _columns(traffic, tokens, front, limit)
    if chunk is not None:
        columns |= _chunks(tokens, chunk)
    count = len(tokens.rows)
    table = pa.table(
        [
            columns[field.name].cast(field.type) if field.name in columns else pa.nulls(count, field.type)
            for field in SCHEMA
            if field.name in columns or not field.name.startswith("chunk")
        ],
        names=[name for name in SCHEMA.names if name in columns or not name.startswith("chunk")],
    )
    manifest = _manifest(traffic, said, count, max(min(limit, ended), schedule.end))
    return SimulatedRun(Run(Manifest.model_validate(manifest), Records(table), ServerMetrics()), table)


@dataclass(frozen=True)
class _Received:
    """Which tokens reached the client in time. `rows`: requests that came due, and of each the stretches of
    tokens `begin`, `length` (engine steps), `owner` (place in `rows`), `late` seconds later (by owner)."""

    rows: Ints
    begin: Ints
    length: Ints
    owner: Ints
    late: Floats
    sent: Floats
    step_end: Floats

    @property
    def count(self) -> Ints:
        """Tokens of each request."""
        return np.bincount(self.owner, self.length, len(self.rows)).astype(np.int64)

    def edges(self) -> tuple[Floats, Floats]:
        """(time of the first token, of the last) of each request; NaN where none came."""
        first, last = np.full(len(self.rows), np.nan), np.full(len(self.rows), np.nan)
        some = self.length > 0
        owner, begin = self.owner[some], self.begin[some]
        end = begin + self.length[some] - 1
        first[owner[::-1]] = self.step_end[begin][::-1] + self.late[owner][::-1]  # of several, the earliest
        last[owner] = self.step_end[end] + self.late[owner]
        return first, last

    def between(self, start: float, end: float) -> int:
        """Tokens that the client got in [start, end) seconds."""
        late = self.late[self.owner]
        low = np.searchsorted(self.step_end, start - late)
        high = np.searchsorted(self.step_end, end - late)
        stop = self.begin + self.length
        return int(np.maximum(np.minimum(high, stop) - np.maximum(low, self.begin), 0).sum())


def tokens_per_second(traffic: Traffic, outcome: Outcome, front: FrontEnd) -> float:
    """Output tokens that reach the client inside the window / its length, as reports define it."""
    schedule = traffic.schedule
    limit = schedule.end + schedule.scenario.drain
    start, end = schedule.window_start, schedule.window_end
    return _received(traffic, outcome, front, limit).between(start, end) / (end - start)


def _received(traffic: Traffic, outcome: Outcome, front: FrontEnd, limit: float) -> _Received:
    due = np.array(traffic.due)
    rows = np.flatnonzero(due < traffic.schedule.end)
    sent = due[rows] + front.lag
    late = np.maximum(np.asarray(front.seconds(running_at(outcome, sent))) - traffic.delay, 0.0)
    begin, length, request = _pieces(outcome)
    place = np.full(len(due), -1, dtype=np.int64)
    place[rows] = np.arange(len(rows))
    owner = place[request]
    seen = np.searchsorted(outcome.step_end, limit - late[owner], "right")  # steps that end in time
    length = np.clip(seen - begin, 0, length)
    return _Received(rows, begin, length, owner, late, sent, outcome.step_end)


def _columns(
    traffic: Traffic, tokens: _Received, front: FrontEnd, limit: float
) -> tuple[dict[str, pa.Array], float]:
    """The columns but for the chunks, and when the last record was closed."""
    rows, count = tokens.rows, tokens.count
    first, last = tokens.edges()
    asked = np.array(traffic.load.output)[rows]
    done = count >= asked
    end = np.where(done, last, limit)
    arrivals = [traffic.arrivals[row] for row in rows.tolist()]
    columns = {
        "arrival": pa.array([each.number for each in arrivals], pa.int32()),
        "lane": pa.array(np.zeros(len(rows), np.int16)),
        "workload": pa.array([each.workload for each in arrivals], pa.string()),
        "conversation": pa.array([each.conversation for each in arrivals], pa.int32()),
        "turn": pa.array([each.turn for each in arrivals], pa.int16()),
        "due": pa.array(np.array(traffic.due)[rows]),
        "sent": pa.array(tokens.sent),
        "first_byte": _times(first),
        "first_token": _times(first),
        "last_token": _times(last),
        "end": pa.array(end),
        "status": pa.array(np.where(done, COMPLETED, UNFINISHED).tolist(), pa.string()),
        "finish_reason": pa.array(["length" if each else None for each in done.tolist()], pa.string()),
        "prompt_asked": pa.array([each.prompt_asked for each in arrivals], pa.int32()),
        "prompt_tokens": pa.array(np.array(traffic.load.prompt)[rows].astype(np.int32)),
        "output_asked": pa.array([each.output_tokens for each in arrivals], pa.int32()),
        "output_tokens": pa.array(count.astype(np.int32)),
        "tokens_from": pa.array(["usage"] * len(rows), pa.string()),
    }
    return columns, float(end.max(initial=traffic.schedule.end))


def _chunks(tokens: _Received, chunk: int) -> dict[str, pa.Array]:
    """chunk_times and chunk_tokens: the first token alone, then `chunk` at a time, the rest at the end."""
    length = tokens.length
    step = np.arange(length.sum()) - np.repeat(np.cumsum(length) - length - tokens.begin, length)
    which = np.repeat(tokens.owner, length)
    times = tokens.step_end[step] + tokens.late[which]
    count = tokens.count
    offset = np.cumsum(count) - count
    number = np.arange(len(times)) - offset[which]  # of the token in its answer, from 0
    shown = (number % chunk == 0) | (number == count[which] - 1)
    carried = np.diff(number[shown], prepend=0)
    carried[number[shown] == 0] = 1
    lists = pa.array(
        np.concatenate([[0], np.cumsum(np.bincount(which[shown], minlength=len(count)))]), pa.int32()
    )
    return {
        "chunk_times": pa.ListArray.from_arrays(lists, pa.array(times[shown])),
        "chunk_tokens": pa.ListArray.from_arrays(lists, pa.array(carried.astype(np.int32))),
    }


def _pieces(outcome: Outcome) -> tuple[Ints, Ints, Ints]:
    """(first step, steps, request) of every stretch of tokens, by request and time."""
    owner = np.flatnonzero(outcome.first >= 0)
    begin, length = outcome.first[owner], (outcome.last - outcome.first + 1)[owner]
    if not outcome.pieces:
        return begin, length, owner
    rows = [
        (index, first, last - first + 1)
        for index in owner.tolist()
        for first, last in outcome.pieces.get(index, [(int(outcome.first[index]), int(outcome.last[index]))])
    ]
    table = np.array(rows, dtype=np.int64)
    return table[:, 1], table[:, 2], table[:, 0]


def _times(values: Floats) -> pa.Array:
    return pa.array(values, mask=np.isnan(values))


def _manifest(traffic: Traffic, said: Description, count: int, drained: float) -> dict[str, Any]:
    schedule = traffic.schedule
    lane = {
        "lane": 0, "worker": "forecast", "arrivals": count, "records": count, "batches_sent": 1,
        "batches_received": 1, "lost": False,
    }  # fmt: skip
    return {
        "format": FORMAT,
        "run": f"forecast-{said.variant}",
        "variant": said.variant + MARK,
        "target": said.server.get("target"),
        "model": said.server.get("model"),
        **schedule.told(),
        "drained_at": drained,
        "started_at": now(),
        "due": count,
        "scheduled": sum(arrival.due is not None for arrival in schedule.arrivals),
        "prompts": {"how": "simulated", "exact": True, "unique": schedule.prompts_unique},
        "lanes": [lane],
        "server": said.server | {"variant": said.variant + MARK},
        "forecast": {"basis": said.basis, "remarks": list(said.remarks)},
        "machine": {},
    }
