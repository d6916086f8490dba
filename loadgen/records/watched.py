"""Samples of a machine or server on their way to machine.parquet and server_metrics.parquet."""

from array import array
from collections.abc import Iterable
from pathlib import Path

import numpy as np
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


class Samples:
    """Rows as they come, each text kept once: eight hours of a machine are some 40 MB."""

    def __init__(self) -> None:
        self._moments, self._values, self._texts = array("d"), array("d"), array("i")
        self._known: dict[tuple[str, str], int] = {}  # name and labels: their place

    def extend(self, rows: Iterable[Row]) -> None:
        for moment, name, labels, value in rows:
            self._moments.append(moment)
            self._values.append(value)
            self._texts.append(self._known.setdefault((name, labels), len(self._known)))

    def table(self) -> pa.Table:
        """A table of METRICS_SCHEMA."""
        places = pa.array(np.array(self._texts, np.int32))
        names, labels = (
            pa.DictionaryArray.from_arrays(
                places, pa.array([each[part] for each in self._known], pa.string())
            )
            for part in (0, 1)
        )
        numbers = [pa.array(np.array(each, np.float64)) for each in (self._moments, self._values)]
        columns = [numbers[0], names.cast(pa.string()), labels.cast(pa.string()), numbers[1]]
        return pa.table(columns, schema=METRICS_SCHEMA)


def table(rows: Iterable[Row]) -> pa.Table:
    """Rows as a table of METRICS_SCHEMA."""
    samples = Samples()
    samples.extend(rows)
    return samples.table()


def write(path: Path, tables: Iterable[pa.Table]) -> None:
    """Write tables of METRICS_SCHEMA to a file that is there whole, or not at all. Raises OSError."""
    part = path.with_name(f".{path.name}.part")
    with pq.ParquetWriter(part, METRICS_SCHEMA) as writer:
        for each in tables:
            writer.write_table(each)
    part.replace(path)


def pack(found: pa.Table) -> bytes:
    """A table of METRICS_SCHEMA as an Arrow stream."""
    sink = pa.BufferOutputStream()
    columns = [each.dictionary_encode() if pa.types.is_string(each.type) else each for each in found.columns]
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
