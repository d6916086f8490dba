"""The records of all lanes, kept as they come and put together at the end.

`tokenswarm recover` makes a run of what a dead master or its workers left.
"""

import contextlib
import json
import re
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from common.results import MANIFEST, RECORDS, write_json
from common.usage import UsageError
from loadgen.host import machine
from loadgen.records.outbox import write_batch
from loadgen.records.record import LOST, SCHEMA, Record, to_table
from loadgen.workload.scenario import Scenario
from loadgen.workload.schedule import schedule

BATCHES = ".batches"  # folder in the run's: batches until requests.parquet is whole
DRAFT = ".manifest.json"  # the manifest's beginning, written before the first request
DRAFT_ONLY = ("lane_count", "clocks", "master")  # keys of it that the manifest has not
SORTED = 512 * 2**20  # bytes of batches that are sorted by arrival in memory; larger runs stay as they came
_NAME = re.compile(r"lane-(\d+)-(\d+)\.arrow")


class Collector:
    """The batches of one run in its folder, until `discard`; the same batch twice counts once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._numbers: dict[int, set[int]] = {}

    def receive(self, lane: int, number: int, content: bytes) -> None:
        """Keep a batch. Raises OSError where it cannot be written."""
        if number not in self._numbers.setdefault(lane, set()):
            write_batch(self.folder / BATCHES, lane, number, content)
            self._numbers[lane].add(number)

    def received(self, lane: int) -> int:
        """Batches of this lane so far."""
        return len(self._numbers.get(lane, ()))

    def write(self, lost: Sequence[Record]) -> dict[int, int]:
        """Write requests.parquet from all batches and the `lost` arrivals; records of each lane, lost ones
        left out. Raises OSError."""
        return write_records(self.folder, sorted((self.folder / BATCHES).glob("*.arrow")), lost)

    def discard(self) -> None:
        """Remove the batches: the run is whole without them."""
        shutil.rmtree(self.folder / BATCHES, ignore_errors=True)


def write_records(folder: Path, batches: Sequence[Path], lost: Sequence[Record]) -> dict[int, int]:
    """Put batches together into requests.parquet, by arrival where they fit in memory."""
    path, part = folder / RECORDS, folder / f".{RECORDS}.part"
    counts: Counter[int] = Counter()
    small = sum(batch.stat().st_size for batch in batches) <= SORTED
    tables = [to_table(lost)] if lost else []
    with pq.ParquetWriter(part, SCHEMA) as writer:
        for table in _read(batches):
            counts.update(table["lane"].to_pylist())
            if small:
                tables.append(table)
            else:
                writer.write_table(table)
        whole = pa.concat_tables(tables) if tables else SCHEMA.empty_table()
        writer.write_table(whole.sort_by("arrival"))
    part.replace(path)
    return dict(counts)


def known_arrivals(folder: Path) -> set[int]:
    """The arrivals that have a record in the batches."""
    found: set[int] = set()
    for table in _read(sorted((folder / BATCHES).glob("*.arrow"))):
        found.update(table["arrival"].to_pylist())
    return found


def lost_records(scenario: Scenario, seed: int, lanes: int, known: set[int], until: float) -> list[Record]:
    """A record for each arrival that came due before `until` (s) and has none."""
    plan = schedule(scenario, seed)
    return [
        Record(
            arrival=arrival.number,
            lane=arrival.lane_key % lanes,
            workload=arrival.workload,
            due=arrival.due or 0.0,
            status=LOST,
            conversation=arrival.conversation,
            turn=arrival.turn,
            error="its worker was lost",
            prompt_asked=arrival.prompt_asked,
            output_asked=arrival.output_tokens,
        )
        for arrival in plan.arrivals
        if arrival.number not in known and (arrival.due or 0.0) < until
    ]


def _read(batches: Sequence[Path]) -> Iterator[pa.Table]:
    for path in batches:
        try:
            with pa.memory_map(str(path)) as source:
                yield pa.ipc.open_file(source).read_all()
        except (OSError, pa.ArrowException) as error:
            raise UsageError(f"{path}: cannot be read: {error}") from None


def recoverable(results: Path) -> list[Path]:
    """The folders under `results` that hold answers of which no master known to live makes a run."""
    found = []
    for draft in sorted(results.glob(f"*/{DRAFT}")):
        folder = draft.parent
        kept = any((folder / BATCHES).glob("*.arrow")) and not (folder / MANIFEST).exists()
        with contextlib.suppress(UsageError, OSError):
            if kept and not machine.is_running(_read_draft(folder)["master"]):
                found.append(folder)
    return found


def recover(folders: Sequence[Path]) -> Path:
    """Make a run in the first folder that has the manifest's beginning. Raises UsageError."""
    for folder in folders:
        if (folder / MANIFEST).is_file():
            raise UsageError(f"{folder}: is a whole run already")
    home = next((folder for folder in folders if (folder / DRAFT).is_file()), None)
    if home is None:
        names = ", ".join(map(str, folders))
        raise UsageError(f"{names}: no {DRAFT} there, so nothing to recover (the master's folder has it)")
    draft = _read_draft(home)
    master = draft.get("master")
    if master and machine.is_running(master):
        raise UsageError(f"{home}: its run goes on, in process {master['pid']}, which will write it")
    _gather(home, folders)
    known = known_arrivals(home)
    if not known:
        raise UsageError(f"{home}: holds no records; the run ended before the first answer")
    batches = sorted((home / BATCHES).glob("*.arrow"))
    numbers: Counter[int] = Counter(int(_NAME.fullmatch(path.name)[1]) for path in batches)  # type: ignore[index]
    only = {name: draft.pop(name, []) for name in DRAFT_ONLY}
    scenario, lanes = Scenario.from_dict(draft["scenario"]), only["lane_count"]
    before = {each["lane"]: each for each in only["clocks"]}
    # What was due after the last send may never have been launched: it is not known to have come due.
    end = min(draft["schedule_end"], _last(batches, "sent"))
    lost = lost_records(scenario, draft["seed"], lanes, known, end)
    counts = write_records(home, batches, lost)
    missing = Counter(record.lane for record in lost)
    draft |= {
        "lanes": [
            {
                **before.get(lane, {"lane": lane}),
                "arrivals": counts.get(lane, 0) + missing[lane],
                "records": counts.get(lane, 0),
                "batches_sent": None,
                "batches_received": numbers[lane],
                "lost": True,
            }
            for lane in range(lanes)
        ],
        "due": len(known) + len(lost),
        "schedule_end": end,
        "drained_at": _last(batches, "end"),
        "ended": "interrupted",
        "ended_why": "the master died; recovered from what was kept",
    }
    write_json(home / MANIFEST, draft)
    shutil.rmtree(home / BATCHES)
    (home / DRAFT).unlink()
    return home


def _read_draft(home: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((home / DRAFT).read_text(encoding="utf-8"))
    except ValueError:
        raise UsageError(f"{home}: its run ended before it had begun; there is nothing to recover") from None
    return found


def _gather(home: Path, folders: Sequence[Path]) -> None:
    """Copy the batches of the other folders beside the home's own."""
    for folder in folders:
        for path in [*folder.glob("*.arrow"), *(folder / BATCHES).glob("*.arrow")]:
            match = _NAME.fullmatch(path.name)
            if match and path.parent != home / BATCHES:
                write_batch(home / BATCHES, int(match[1]), int(match[2]), path.read_bytes())


def _last(batches: Sequence[Path], column: str) -> float:
    """The latest of these moments, seconds from the run's start."""
    found = [np.nanmax(table[column].to_numpy(), initial=0.0) for table in _read(batches)]
    return float(max(found, default=0.0))
