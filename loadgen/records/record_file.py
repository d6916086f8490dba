"""requests.parquet while it is written: row groups, each sorted by arrival, of what has come."""

import ctypes
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from common.results import RECORDS
from loadgen.records.record import SCHEMA, Record, to_table

# Bytes of records in one row group: 2,200 of 150 chunks; it takes some times as much to write.
GROUP = 4 * 2**20

_TRIM = getattr(ctypes.CDLL(None), "malloc_trim", None)  # of glibc alone


class RecordFile:
    """The file appears in `folder` once it is whole. Raises OSError where it cannot be written.

    `counts`: records of each lane so far, lost ones left out.
    """

    def __init__(self, folder: Path) -> None:
        self.counts: Counter[int] = Counter()
        self._path, self._part = folder / RECORDS, folder / f".{RECORDS}.part"
        self._writer: pq.ParquetWriter | None = None
        self._waiting: list[pa.Table] = []
        self._size = 0

    def add(self, table: pa.Table) -> None:
        """Records that have come."""
        self.counts.update(table["lane"].to_pylist())
        self._add(table)

    def finish(self, lost: Sequence[Record]) -> dict[int, int]:
        """Write the rest, and the lost arrivals; `counts`."""
        if lost:
            self._add(to_table(lost))
        self._write_group()
        assert self._writer is not None
        self._writer.close()
        self._part.replace(self._path)
        return dict(self.counts)

    def discard(self) -> None:
        """Leave nothing of it."""
        if self._writer is not None:
            self._writer.close()
        self._part.unlink(missing_ok=True)

    def _add(self, table: pa.Table) -> None:
        self._waiting.append(table)
        self._size += table.nbytes
        if self._size >= GROUP:
            self._write_group()

    def _write_group(self) -> None:
        if self._writer is None:
            self._part.parent.mkdir(parents=True, exist_ok=True)
            self._writer = pq.ParquetWriter(self._part, SCHEMA)
        if self._waiting:
            self._writer.write_table(pa.concat_tables(self._waiting).sort_by("arrival"))
        self._waiting, self._size = [], 0
        pa.default_memory_pool().release_unused()  # some 60 MiB, which the pool would keep
        if _TRIM is not None:
            _TRIM(0)  # likewise for the batches that came as messages
