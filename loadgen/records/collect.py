"""The records of all lanes, kept as they come and put together at the end.

`tokenswarm recover` makes a run of what a dead master or its workers left.
"""

import contextlib
import json
import re
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from common.results import DRAFT, MANIFEST, write_json
from common.usage import UsageError
from loadgen.host import machine
from loadgen.records.outbox import write_batch
from loadgen.records.record import ADDED, LOST, SCHEMA, Record
from loadgen.records.record_file import RecordFile
from loadgen.workload.arrival import Arrival
from loadgen.workload.scenario import Scenario
from loadgen.workload.schedule import schedule

BATCHES = ".batches"  # folder in the run's: batches until requests.parquet is whole
SET_ASIDE = "set-aside"  # folder in the run's: batches that cannot be read
DRAFT_ONLY = ("lane_count", "clocks", "master")  # keys of it that the manifest has not
_NAME = re.compile(r"lane-(\d+)-(\d+)\.arrow")


@dataclass(frozen=True)
class SetAside:
    """A batch that cannot be read, kept for whoever wants to look; the manifest names it."""

    lane: int
    batch: int
    why: str


class Collector:
    """The batches of one run in its folder, until `discard`; the same batch twice counts once.

    `set_aside`: batches that cannot be read. `gone`: how many files of batches had been kept and are missing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.set_aside: list[SetAside] = []
        self.gone = 0
        self._numbers: dict[int, set[int]] = {}
        self._file: RecordFile | None = RecordFile(folder)  # None: to be written anew from the batches

    def receive(self, lane: int, number: int, content: bytes) -> None:
        """Keep a batch, apart from the others where it cannot be read. Raises OSError where it cannot be
        written."""
        if number in self._numbers.setdefault(lane, set()):
            return
        why = _fault(content, lane)
        write_batch(self.folder / (SET_ASIDE if why else BATCHES), lane, number, content)
        self._numbers[lane].add(number)
        if why:
            self.set_aside.append(SetAside(lane, number, why))
        elif self._file is not None:
            try:
                self._file.add(_as_now(pa.ipc.open_file(content).read_all()))
            except OSError:  # the batch is kept; there may be room later
                self._file = None

    def received(self, lane: int) -> int:
        """Batches of this lane so far."""
        return len(self._numbers.get(lane, ()))

    def settle(self) -> dict[int, int]:
        """Look what is on disk: records of each lane; what is missing or spoilt by now is noted."""
        batches = _batches(self.folder)
        expected = sum(map(len, self._numbers.values())) - len(self.set_aside)
        self.gone = max(expected - len(batches), 0)
        counts, spoilt = sound_batches(self.folder, batches)
        self.set_aside += spoilt
        if self._file is not None and dict(self._file.counts) != counts:
            self._file.discard()
            self._file = None
        return counts

    def write(self, lost: Sequence[Record]) -> dict[int, int]:
        """Finish requests.parquet, which has grown with the batches, by the `lost` arrivals; records of each
        lane, lost ones left out. Raises OSError."""
        if self._file is None:
            return write_records(self.folder, _batches(self.folder), lost)
        file, self._file = self._file, None  # a second call begins anew
        return file.finish(lost)

    def discard(self) -> None:
        """Remove the batches: the run is whole without them."""
        shutil.rmtree(self.folder / BATCHES, ignore_errors=True)


def sound_batches(folder: Path, batches: Sequence[Path]) -> tuple[dict[int, int], list[SetAside]]:
    """Records of each lane in the batches; those that cannot be read are moved away from the others."""
    counts: Counter[int] = Counter()
    bad = []
    for path in batches:
        match = _NAME.fullmatch(path.name)
        lane, number = (int(match[1]), int(match[2])) if match else (-1, -1)
        try:
            with pa.memory_map(str(path)) as source:
                why = "its name is no batch's" if match is None else _fault(source, lane)
                rows = 0 if why else sum(each.num_rows for each in _record_batches(source))
        except (OSError, ValueError) as error:  # an empty file cannot be mapped
            why, rows = f"{type(error).__name__}", 0
        if why:
            (folder / SET_ASIDE).mkdir(exist_ok=True)
            path.replace(folder / SET_ASIDE / path.name)
            bad.append(SetAside(lane, number, why))
        elif rows:
            counts[lane] += rows
    return dict(counts), bad


def _record_batches(source: Any) -> Iterator[pa.RecordBatch]:
    source.seek(0)
    reader = pa.ipc.open_file(source)
    for place in range(reader.num_record_batches):
        yield reader.get_batch(place)


def _as_now(table: pa.Table) -> pa.Table:
    """A batch; one of an earlier version gets the columns that it lacked."""
    for place, field in enumerate(SCHEMA):
        if field.name not in table.schema.names:
            table = table.add_column(place, field, pa.nulls(table.num_rows, field.type))
    return table


def _fault(content: Any, lane: int) -> str | None:
    """What is wrong with a batch; None: nothing."""
    try:
        table = pa.ipc.open_file(content).read_all()
        table.validate(full=True)
    except (OSError, pa.ArrowException, ValueError) as error:  # ArrowInvalid is a ValueError
        return " ".join(str(error).split())[:200] or type(error).__name__
    known = pa.schema([each for each in SCHEMA if each.name in table.schema.names or each.name not in ADDED])
    if not table.schema.equals(known):
        return "it has other columns than a batch"
    if table.num_rows and set(table["lane"].unique().to_pylist()) != {lane}:
        return "it holds records of another lane"
    if any(table[field.name].null_count for field in SCHEMA if not field.nullable):
        return "a column that must be filled is not"
    return None


def _batches(folder: Path) -> list[Path]:
    return sorted((folder / BATCHES).glob("*.arrow"))


def write_records(folder: Path, batches: Sequence[Path], lost: Sequence[Record]) -> dict[int, int]:
    """Put batches together into requests.parquet."""
    file = RecordFile(folder)
    for table in _read(batches):
        file.add(table)
    return file.finish(lost)


def known_arrivals(folder: Path) -> set[int]:
    """The arrivals that have a record in the batches."""
    found: set[int] = set()
    for table in _read(_batches(folder)):
        found.update(table["arrival"].to_pylist())
    return found


def lost_records(scenario: Scenario, seed: int, lanes: int, known: set[int], until: float) -> list[Record]:
    """A record for each arrival that came due before `until` (s) and has none."""
    return [
        _lost(arrival, lanes, arrival.due or 0.0)
        for arrival in schedule(scenario, seed).arrivals
        if arrival.number not in known and (arrival.due or 0.0) < until
    ]


def lost_turns(
    scenario: Scenario, seed: int, lanes: int, known: set[int], missing: dict[int, int]
) -> list[Record]:
    """Records for arrivals that followed another, came due and have none: `missing` of each lane.

    Which they were is known where a later one of the chain has a record; the others are taken in the order of
    the chains. When one came due is not known: no earlier than its chain began.
    """
    load, found = schedule(scenario, seed), list[Record]()
    left = {lane: count for lane, count in missing.items() if count > 0}
    last: dict[int, int] = {}
    for number in known:
        chain = number % max(len(load.arrivals), 1)
        last[chain] = max(last.get(chain, 0), number)
    for certain in (True, False):
        for first in load.arrivals:
            lane, arrival = first.lane_key % lanes, load.next_in_chain(first)
            while arrival is not None and left.get(lane, 0) > 0:
                if certain and arrival.number > last.get(first.number, -1):
                    break
                if arrival.number not in known:
                    known.add(arrival.number)
                    found.append(_lost(arrival, lanes, first.due or 0.0))
                    left[lane] -= 1
                arrival = load.next_in_chain(arrival)
    return found


def _lost(arrival: Arrival, lanes: int, due: float) -> Record:
    return Record(
        arrival=arrival.number,
        lane=arrival.lane_key % lanes,
        workload=arrival.workload,
        due=due,
        status=LOST,
        conversation=arrival.conversation,
        turn=arrival.turn,
        error="its worker was lost",
        prompt_asked=arrival.prompt_asked,
        output_asked=arrival.output_tokens,
        cancel_after=arrival.cancel_after,
        adapter=arrival.adapter,
    )


def _read(batches: Sequence[Path]) -> Iterator[pa.Table]:
    for path in batches:
        try:
            with pa.memory_map(str(path)) as source:
                yield _as_now(pa.ipc.open_file(source).read_all())
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
    _, bad = sound_batches(home, _batches(home))
    known = known_arrivals(home)
    if not known:
        but = f" that can be read ({bad[0].why}, in {home / SET_ASIDE})" if bad else ""
        raise UsageError(f"{home}: holds no records{but}; the run ended before the first answer")
    batches = _batches(home)
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
        "ended_why": "the master died; recovered from what was kept" + said_of(bad, 0),
    }
    if bad:
        draft["set_aside"] = [asdict(each) for each in bad]
    write_json(home / MANIFEST, draft)
    shutil.rmtree(home / BATCHES)
    (home / DRAFT).unlink()
    return home


def said_of(bad: Sequence[SetAside], gone: int) -> str:
    """What the end of `ended_why` says of batches that could not be used; empty where there are none."""
    said = f"; {len(bad)} batches could not be read, see {SET_ASIDE}/" if bad else ""
    return said + (f"; {gone} batches were removed from the folder while the run went on" if gone else "")


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
