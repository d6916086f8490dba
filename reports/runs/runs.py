"""A run folder, read: the manifest checked, the records column by column, the chunk lists in slices.

Nothing is read before it is asked for, and the chunk lists never become Python objects, so that a run
of 1,000,000 records fits in memory.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from common.results import MACHINE, METRICS, RECORDS
from common.usage import UsageError
from loadgen.records.record import ADDED, LOST, SCHEMA
from reports.runs import columns
from reports.runs.manifest import Manifest, read_manifest
from reports.runs.server_metrics import ServerMetrics, read_server_metrics

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

LATE_SHARE = 0.001  # of the arrivals: one in a thousand cannot move a p99
CHUNKS_AT_ONCE = 100_000  # some 2 MB of times and tokens, and a few times that in their analysis


@dataclass(frozen=True)
class ChunkBatch:
    """The chunk lists of some successive records, flat.

    Record `first_row + i` has times[offsets[i]:offsets[i + 1]] (seconds) and the tokens beside them;
    a token count that the server did not say is NaN.
    """

    first_row: int
    offsets: NDArray[np.int64]  # one more than records
    times: Floats
    tokens: Floats

    @property
    def counts(self) -> NDArray[np.int64]:
        """Chunks of each record."""
        return np.diff(self.offsets)


@dataclass(frozen=True)
class Chunks:
    """Chunk lists that lie outside a table of records."""

    count: int  # of all records
    batches: Callable[[], Iterator[ChunkBatch]]


class Records:
    """The columns of requests.parquet, or of a table in memory with (some of) the same columns."""

    def __init__(
        self, source: pq.ParquetFile | pa.Table, where: str = "records", chunks: Chunks | None = None
    ) -> None:
        self._source = source
        self._where = where
        self._chunks = chunks
        self._numbers: dict[str, Floats] = {}
        self._codes: dict[str, tuple[NDArray[np.int32], list[str]]] = {}
        self._statuses: dict[tuple[str, ...], Mask] = {}
        self._schema: pa.Schema = source.schema_arrow if isinstance(source, pq.ParquetFile) else source.schema
        self._rows = source.metadata.num_rows if isinstance(source, pq.ParquetFile) else source.num_rows

    def __len__(self) -> int:
        return int(self._rows)

    def has(self, name: str) -> bool:
        """Whether the column exists (audits of other tools' files lack some)."""
        return name in self._schema.names

    def numbers(self, name: str) -> Floats:
        """A numeric or boolean column, NaN where empty or absent; shape (records,)."""
        if name not in self._numbers:
            if not self.has(name):
                self._numbers[name] = np.full(len(self), np.nan)
            else:
                self._numbers[name] = columns.floats(self._read([name]).column(0))
        return self._numbers[name]

    def codes(self, name: str) -> tuple[NDArray[np.int32], list[str]]:
        """A text column as (codes of shape (records,), the texts they stand for); -1 where empty."""
        if name not in self._codes:
            if not self.has(name):
                self._codes[name] = np.full(len(self), -1, np.int32), []
            else:
                self._codes[name] = columns.codes(self._read([name]).column(0))
        return self._codes[name]

    def status_is(self, *wanted: str) -> Mask:
        """Which records have one of these statuses."""
        if wanted not in self._statuses:
            codes, names = self.codes("status")
            self._statuses[wanted] = np.isin(codes, [names.index(name) for name in wanted if name in names])
            self._statuses[wanted].flags.writeable = False
        return self._statuses[wanted]

    @property
    def chunk_limit(self) -> int:
        """An upper limit of the number of chunks in all records, read from the file's footer."""
        if self._chunks:
            return self._chunks.count
        if not self.has("chunk_times"):
            return 0
        if isinstance(self._source, pq.ParquetFile):
            leaf = self._source.schema.to_arrow_schema().names.index("chunk_times")
            footer = self._source.metadata
            return sum(_values_in(footer.row_group(group), leaf) for group in range(footer.num_row_groups))
        return sum(int(columns.lengths(each).sum()) for each in self._source["chunk_times"].chunks)

    def chunk_batches(self, tokens: bool = True) -> Iterator[ChunkBatch]:
        """All chunk lists, some thousand records at a time. Nothing where the column is absent.

        Without `tokens` those are NaN: half of what is to be read.
        """
        if self._chunks:
            yield from self._chunks.batches()
        if not self.has("chunk_times"):
            return
        names = ["chunk_times"] + ["chunk_tokens"] * (tokens and self.has("chunk_tokens"))
        row = 0
        for batch in self._batches(names):
            yield _chunk_batch(batch, row, self._where)
            row += batch.num_rows

    def frame(self, names: Sequence[str]) -> "pd.DataFrame":
        """Some columns as a pandas frame (imports pandas: about half a second)."""
        return self._read(list(names)).to_pandas()

    def _read(self, names: list[str]) -> pa.Table:
        try:
            if isinstance(self._source, pq.ParquetFile):
                return self._source.read(columns=names)
            return self._source.select(names)
        except (OSError, pa.ArrowException) as error:
            raise UsageError(f"{self._where}: damaged: {_one_line(error)}; run the load test again") from None

    def _batches(self, names: list[str]) -> Iterator[pa.RecordBatch]:
        rows = 1 + CHUNKS_AT_ONCE * len(self) // max(self.chunk_limit, len(self), 1)
        try:
            if isinstance(self._source, pq.ParquetFile):
                yield from self._source.iter_batches(batch_size=rows, columns=names)
            else:
                yield from self._source.select(names).to_batches(max_chunksize=rows)
        except (OSError, pa.ArrowException) as error:
            raise UsageError(f"{self._where}: damaged: {_one_line(error)}; run the load test again") from None


@dataclass(frozen=True)
class Limits:
    """What a run's source cannot tell, and why: figures by the name of their metric or row, and rules.

    Empty for runs of this project; another tool's file holds less.
    """

    figures: Mapping[str, str] = field(default_factory=dict)
    rules: Mapping[str, str] = field(default_factory=dict)


@dataclass(eq=False)
class Run:
    """One run: what was asked (manifest), what happened (records), what the server said (server)."""

    manifest: Manifest
    records: Records
    server: ServerMetrics
    folder: Path | None = None  # None for records that another tool wrote
    limits: Limits = Limits()
    machine: ServerMetrics = field(default_factory=ServerMetrics)  # what the machines beside it did
    memo: dict[Any, Any] = field(default_factory=dict, repr=False)  # of `kept`
    of_records: dict[str, Any] = field(default_factory=dict, repr=False)  # what its parts have in common

    @property
    def name(self) -> str:
        return self.manifest.run

    @property
    def window(self) -> tuple[float, float]:
        """(start, end) of the measuring window, seconds from the run's start.

        An interruption or an early stop cuts it, so that rates are over the time for which arrivals came due;
        one before its start leaves it whole, and empty.
        """
        start, end = self.manifest.window.start, self.manifest.window.end
        cut = min(end, self.manifest.schedule_end)
        return start, cut if cut > start else end

    @property
    def window_length(self) -> float:
        """Seconds."""
        start, end = self.window
        return end - start

    @property
    def process(self) -> str | None:
        """How arrivals come about ("poisson", "closed-loop", …); None where the scenario does not say."""
        arrivals = self.manifest.scenario.get("arrivals")
        return arrivals.get("process") if isinstance(arrivals, Mapping) else arrivals

    @property
    def closed_loop(self) -> bool:
        """Whether each client waits for its answer before it asks again, so that the server sets the pace."""
        return self.process == "closed-loop"

    @cached_property
    def offered(self) -> Mask:
        """Which records are of arrivals due inside the window; shape (records,)."""
        due, (start, end) = self.records.numbers("due"), self.window
        return (due >= start) & (due < end)

    @cached_property
    def judged(self) -> Mask:
        """Those of them that were not to be cancelled: when such a one ended is the client's doing. Nor those
        that went past the gateway: the figures are of what users go through."""
        past = self.records.numbers("direct") > 0
        return self.offered & np.isnan(self.records.numbers("cancel_after")) & ~past

    def until(self, end: float) -> "Run":
        """The same run as if its window had ended at `end` (s from the start), where it ends later."""
        window = self.manifest.window.model_copy(update={"end": min(end, self.manifest.window.end)})
        return replace(self, manifest=self.manifest.model_copy(update={"window": window}), memo={})

    def part(self, chosen: Mask) -> "Run":
        """The same run, of whose arrivals only the chosen ones (shape (records,)) are judged."""
        found = replace(self, memo={})
        found.__dict__["offered"] = self.offered & chosen
        return found

    @cached_property
    def closed_at(self) -> Floats:
        """When each record was closed; the end of the drain where it does not say; NaN for lost ones."""
        end = self.records.numbers("end")
        closed = np.where(np.isnan(end), self.manifest.drained_at, end)
        closed[self.records.status_is(LOST)] = np.nan
        return closed


Given = ParamSpec("Given")
Found = TypeVar("Found")


def kept(function: Callable[Concatenate[Run, Given], Found]) -> Callable[Concatenate[Run, Given], Found]:
    """What the function finds of a run is kept with the run; nobody may write into it."""

    @wraps(function)
    def found(run: Run, /, *args: Given.args, **others: Given.kwargs) -> Found:
        key = (function, args, tuple(others.items()))
        if key not in run.memo:
            run.memo[key] = function(run, *args, **others)
        return cast(Found, run.memo[key])

    return found


def load_run(folder: Path | str) -> Run:
    """Open a run folder. Raises UsageError when something is missing, cut off or not a run."""
    folder = Path(folder)
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such run folder; `tokenswarm history` lists the runs")
    manifest = read_manifest(folder)
    path = folder / RECORDS
    records = Records(_open_parquet(path), str(path))
    missing = [name for name in SCHEMA.names if name not in ADDED and not records.has(name)]
    if missing:
        raise UsageError(f"{path}: not a run's records: column {missing[0]!r} is missing")
    server, machine = (read_server_metrics(folder / name) for name in (METRICS, MACHINE))
    return Run(manifest, records, server, folder, machine=machine)


def _open_parquet(path: Path) -> pq.ParquetFile:
    if not path.is_file():
        raise UsageError(f"{path}: missing; was the run cut off? `tokenswarm recover` may help")
    try:
        return pq.ParquetFile(path, pre_buffer=False)
    except (OSError, pa.ArrowException) as error:
        raise UsageError(f"{path}: not a Parquet file, or cut off: {_one_line(error)}") from None


def _values_in(group: Any, leaf: int) -> int:
    return int(group.column(leaf).num_values)


def _chunk_batch(batch: pa.RecordBatch, row: int, where: str) -> ChunkBatch:
    times = batch.column(0)
    lengths = columns.lengths(times)
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    flat = columns.floats(times.flatten())
    if batch.num_columns == 1 or batch.column(1).null_count == batch.num_rows:
        return ChunkBatch(row, offsets, flat, np.full(len(flat), np.nan))
    tokens = batch.column(1)
    token_lengths, values = columns.lengths(tokens), columns.floats(tokens.flatten())
    if len(values) == len(flat) and np.array_equal(token_lengths, lengths):
        return ChunkBatch(row, offsets, flat, values)
    absent = (token_lengths == 0) & (lengths > 0)  # records whose server says no token counts
    if not np.array_equal(token_lengths[~absent], lengths[~absent]):
        raise UsageError(f"{where}: chunk_times and chunk_tokens differ in length near row {row}")
    spread = np.full(len(flat), np.nan)
    spread[np.repeat(~absent, lengths)] = values
    return ChunkBatch(row, offsets, flat, spread)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
