"""A lane's finished records on their way to the master: numbered batches, kept until they have arrived."""

import io
from array import array
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from common.results import write_whole
from loadgen.records.record import COMPLETED, FAILED, Record, to_table

ROWS = 500  # of one batch: 150 chunks each are 1 MB, packed in some milliseconds

_SPECIMEN = Record(0, 0, "", 0.0, COMPLETED, chunk_times=np.zeros(1), chunk_tokens=array("i", [1]))

_NO_ROW = (pa.ArrowException, ValueError, TypeError, OverflowError)
Send = Callable[[int, bytes], None]  # number of the batch, its Arrow file


class Outbox:
    """`sent` counts the batches made so far."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._waiting: list[Record] = []
        self._kept: dict[int, bytes] = {}
        self.sent = 0
        self.records = 0
        pack(to_table([_SPECIMEN]))  # pyarrow's first use takes 0.2 s, which must not fall into the run

    def add(self, record: Record) -> None:
        self._waiting.append(record)
        self.records += 1

    def flush(self) -> None:
        """Send what has been added, in batches."""
        while self._waiting:
            rows, self._waiting = self._waiting[:ROWS], self._waiting[ROWS:]
            number, self.sent = self.sent, self.sent + 1
            self._kept[number] = pack(_table(rows))
            self._send(number, self._kept[number])

    def repeat(self) -> None:
        """Send again what has not been acknowledged."""
        for number, content in list(self._kept.items()):
            self._send(number, content)

    def acknowledge(self, number: int) -> None:
        """The master has this batch safe."""
        self._kept.pop(number, None)

    @property
    def unacknowledged(self) -> int:
        return len(self._kept)

    def leave(self, folder: Path, lane: int) -> int:
        """Write what the master has not got into `folder`, where `recover` finds it."""
        self.flush()
        for number, content in self._kept.items():
            write_batch(folder, lane, number, content)
        return len(self._kept)


def _table(rows: list[Record]) -> pa.Table:
    """A row that cannot be stored as it is must not cost the others, nor the arrival its record."""
    try:
        return to_table(rows)
    except _NO_ROW:
        return to_table([row if _fits(row) else _bare(row) for row in rows])


def _fits(row: Record) -> bool:
    try:
        to_table([row])
    except _NO_ROW:
        return False
    return True


def _bare(row: Record) -> Record:
    """The record without what a server can have put into it."""
    return replace(
        row,
        status=FAILED,
        error="what the server said of it cannot be stored",
        finish_reason=None,
        prompt_tokens=None,
        output_tokens=None,
        chunk_tokens=None,
        text=None,
    )


def pack(table: pa.Table) -> bytes:
    """A table as an Arrow file."""
    buffer = io.BytesIO()
    with pa.ipc.new_file(buffer, table.schema) as writer:
        writer.write_table(table)
    return buffer.getvalue()


def write_batch(folder: Path, lane: int, number: int, content: bytes) -> None:
    """Keep one batch as a file, whole or not at all. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / f"lane-{lane:04}-{number:06}.arrow", content)
