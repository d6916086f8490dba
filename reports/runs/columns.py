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
    array = _whole(column).cast(pa.float64())
    present, values = array.buffers()
    found = np.frombuffer(values, np.float64, len(array), array.offset * 8)
    if not array.null_count:
        return found
    bits = np.unpackbits(np.frombuffer(present, np.uint8), bitorder="little")
    return np.where(bits[array.offset : array.offset + len(array)], found, np.nan)


def codes(column: pa.Array | pa.ChunkedArray) -> tuple[NDArray[np.int32], list[str]]:
    """A text column as (codes, the texts they stand for); -1 where it is null."""
    if not len(column):
        return np.zeros(0, np.int32), []
    encoded = _whole(column).dictionary_encode()
    return np.nan_to_num(floats(encoded.indices), nan=-1).astype(np.int32), encoded.dictionary.to_pylist()


def lengths(lists: pa.Array) -> NDArray[np.int64]:
    """The number of values in each list; 0 where it is null."""
    return np.nan_to_num(floats(lists.value_lengths())).astype(np.int64)


def column_of(values: NDArray[np.generic]) -> pa.Array:
    """Numbers as a column of their own type; NaN becomes null."""
    values = np.ascontiguousarray(values)
    kind = pa.from_numpy_dtype(values.dtype)
    present = ~np.isnan(values)
    bits = None if present.all() else pa.py_buffer(np.packbits(present, bitorder="little"))
    return pa.Array.from_buffers(kind, len(values), [bits, pa.py_buffer(values)])


def texts_of(values: Sequence[str | None]) -> pa.Array:
    """Texts as a column; None becomes null."""
    coded = [(value or "").encode() for value in values]
    offsets = np.cumsum([0, *map(len, coded)], dtype=np.int64)
    bits = np.packbits(np.array([value is not None for value in values], bool), bitorder="little")
    buffers = [pa.py_buffer(bits), pa.py_buffer(offsets), pa.py_buffer(b"".join(coded))]
    return pa.Array.from_buffers(pa.large_string(), len(values), buffers).cast(pa.string())


def _whole(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
