"""Lists of numbers, one for each request of a file; no statistics of them.

They lie in a temporary file, so that memory does not grow with the tokens of another tool's result.
"""

import tempfile
import weakref
from array import array
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.usage import UsageError
from reports.runs.runs import CHUNKS_AT_ONCE, Floats

IN_MEMORY = 1 << 20  # bytes before there is a file


class Part(NamedTuple):
    """The lists of some successive requests: that of `first + i` is numbers[offsets[i]:offsets[i + 1]]."""

    first: int
    offsets: NDArray[np.int64]  # one more than requests
    numbers: Floats

    @property
    def rows(self) -> slice:
        """Which requests these are."""
        return slice(self.first, self.first + len(self.offsets) - 1)

    @property
    def counts(self) -> NDArray[np.int64]:
        """Numbers of each request."""
        return np.diff(self.offsets)


class NumberLists:
    """All are added before any is read. Raises UsageError where the temporary folder has no room."""

    def __init__(self, lists: Iterable[Floats] = ()) -> None:
        self._file = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115 (closed with the object)
        weakref.finalize(self, self._file.close)
        self._ends = array("q", [0])
        for each in lists:
            self.add(each)

    def __len__(self) -> int:
        return len(self._ends) - 1

    def add(self, numbers: "Floats | array[float]") -> None:
        """The list of the next request."""
        try:
            self._file.write(numbers.tobytes())
        except OSError as error:
            raise UsageError(
                f"{tempfile.gettempdir()}: {error.strerror}; name a folder with more room by TMPDIR="
            ) from None
        self._ends.append(self.total + len(numbers))

    @property
    def total(self) -> int:
        """Numbers of all lists."""
        return self._ends[-1]

    @property
    def counts(self) -> NDArray[np.int64]:
        """Numbers of each list."""
        return np.diff(np.array(self._ends))

    def parts(self) -> Iterator[Part]:
        """All of them, in order, some CHUNKS_AT_ONCE numbers at a time."""
        ends, first = np.array(self._ends), 0
        while first < len(self):
            after = max(int(np.searchsorted(ends, ends[first] + CHUNKS_AT_ONCE, "right")) - 1, first + 1)
            self._file.seek(8 * int(ends[first]))
            data = self._file.read(8 * int(ends[after] - ends[first]))
            yield Part(first, ends[first : after + 1] - ends[first], np.frombuffer(data))
            first = after
