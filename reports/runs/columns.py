"""Arrow columns to numpy and back without pandas, which pyarrow's own conversions import (0.25 s)."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def floats(column: pa.Array | pa.ChunkedArray) -> Floats:
    """A numeric or boolean column as float64, NaN where it is null. The result may not be written to."""
    if not len(column):
        return np.zeros(0)
    array = _whole(column)
    if not (pa.types.is_integer(array.type) or pa.types.is_floating(array.type)):
        array = array.cast(pa.float64())  # which imports pyarrow.compute (0.05 s)
    present, values = array.buffers()
    kind = np.dtype(array.type.to_pandas_dtype())
    found = np.frombuffer(values, kind, len(array), array.offset * kind.itemsize).astype(
        np.float64, copy=False
    )
    if not array.null_count:
        return found
    bits = np.unpackbits(np.frombuffer(present, np.uint8), bitorder="little")
    return np.where(bits[array.offset : array.offset + len(array)], found, np.nan)


def codes(column: pa.Array | pa.ChunkedArray) -> tuple[NDArray[np.int32], list[str]]:
    """A text column as (codes, the texts they stand for); -1 where it is null."""
    if not len(column):
        return np.zeros(0, np.int32), []
    whole = _whole(column)
    encoded = whole if isinstance(whole, pa.DictionaryArray) else whole.cast(pa.string()).dictionary_encode()
    return np.nan_to_num(floats(encoded.indices), nan=-1).astype(np.int32), encoded.dictionary.to_pylist()


def lengths(lists: pa.Array) -> NDArray[np.int64]:
    """The number of values in each list; 0 where it is null."""
    present, offsets = lists.buffers()[:2]
    found = np.diff(np.frombuffer(offsets, np.int32, len(lists) + 1, lists.offset * 4)).astype(np.int64)
    if lists.null_count:
        bits = np.unpackbits(np.frombuffer(present, np.uint8), bitorder="little")
        found[bits[lists.offset : lists.offset + len(lists)] == 0] = 0
    return found


def column_of(values: NDArray[np.generic]) -> pa.Array:
    """Numbers as a column of their own type; NaN becomes null."""
    return _column(pa.from_numpy_dtype(values.dtype), ~np.isnan(values), values)


def texts_of(values: Sequence[str | None]) -> pa.DictionaryArray:
    """Texts as a column; None becomes null."""
    names = [name for name in dict.fromkeys(values) if name is not None]
    places = {name: place for place, name in enumerate(names)}
    found = np.array([-1 if value is None else places[value] for value in values], np.int32)
    coded = [name.encode() for name in names]
    offsets = np.cumsum([0, *map(len, coded)], dtype=np.int64)
    known = _column(
        pa.large_string(), np.ones(len(names), bool), offsets, np.frombuffer(b"".join(coded), np.uint8)
    )
    return pa.DictionaryArray.from_arrays(_column(pa.int32(), found >= 0, found), known)


def _column(kind: pa.DataType, present: NDArray[np.bool_], *parts: NDArray[np.generic]) -> pa.Array:
    bits = None if present.all() else pa.py_buffer(np.packbits(present, bitorder="little"))
    buffers = [pa.py_buffer(np.ascontiguousarray(part)) for part in parts]
    return pa.Array.from_buffers(kind, len(present), [bits, *buffers])


def _whole(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    if isinstance(column, pa.ChunkedArray):
        return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()  # which copies one, too
    return column
