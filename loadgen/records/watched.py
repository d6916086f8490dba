"""Samples of a machine or server on their way to machine.parquet and server_metrics.parquet."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from loadgen.records.record import METRICS_SCHEMA

LONGEST = 1000  # characters of a name or of labels
_SHORT = pa.schema(  # the same with each text once: an hour's rows are many, their texts few
    [
        pa.field(each.name, pa.dictionary(pa.int32(), pa.string()) if each.type == pa.string() else each.type)
        for each in METRICS_SCHEMA
    ]
)
Row = tuple[float, str, str, float]  # t, name, labels as JSON, value


def table(rows: Sequence[Row]) -> pa.Table:
    """Rows as a table of METRICS_SCHEMA."""
    columns = [pa.array([row[place] for row in rows], each.type) for place, each in enumerate(METRICS_SCHEMA)]
    return pa.table(columns, schema=METRICS_SCHEMA)


def write(path: Path, tables: Iterable[pa.Table]) -> None:
    """Write tables of METRICS_SCHEMA to a file that is there whole, or not at all. Raises OSError."""
    part = path.with_name(f".{path.name}.part")
    with pq.ParquetWriter(part, METRICS_SCHEMA) as writer:
        for each in tables:
            writer.write_table(each)
    part.replace(path)


def pack(rows: Sequence[Row]) -> bytes:
    """The table as an Arrow stream."""
    sink = pa.BufferOutputStream()
    columns = [
        each.dictionary_encode() if pa.types.is_string(each.type) else each for each in table(rows).columns
    ]
    with pa.ipc.new_stream(sink, _SHORT) as writer:
        writer.write_table(pa.table(columns, schema=_SHORT))
    return sink.getvalue().to_pybytes()


def unpack(content: bytes) -> pa.Table:
    """The table again. Raises ValueError for what is none."""
    try:
        found = pa.ipc.open_stream(content).read_all()
        if not found.schema.equals(_SHORT):
            raise ValueError("it has other columns")
        found.validate(full=True)
        for part in (part for name in ("name", "labels") for part in found[name].chunks):
            if any(len(text) > LONGEST for text in part.dictionary.to_pylist()):
                raise ValueError("a text in it is too long")
        return found.cast(METRICS_SCHEMA)
    except (pa.ArrowException, OSError) as error:
        raise ValueError(str(error)) from None
