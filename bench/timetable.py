"""When each token of an answer is due, and the odd traits that a real stream may have.

Each trait alone is off by default; `bench.rosetta` turns on one at a time to see what a tool makes of it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Timetable:
    """Seconds and tokens. `fail`, `empty`, `cut`: shares of the requests, spread evenly over their order."""

    ttft: float
    tpot: float
    chunk: int = 1  # tokens of every chunk after the first
    first_chunk: int = 1  # tokens of the first chunk
    stall: float = 0.0  # by so much the second half of each answer comes late
    fail: float = 0.0  # answered with HTTP 500 at once
    empty: float = 0.0  # answered with status 200, a role and no token
    cut: float = 0.0  # the connection is closed after half of the answer
    role_first: bool = False  # the role chunk leaves at once, by itself, not with the first token

    def offsets(self, index: NDArray[np.int64], asked: NDArray[np.int64]) -> NDArray[np.float64]:
        """Seconds from the start at which token `index` (from 0) of an answer of `asked` tokens is due."""
        number = np.where(index < self.first_chunk, 0, 1 + (index - self.first_chunk) // self.chunk)
        begins = self.first_chunk + (number - 1) * self.chunk  # first token of the chunk
        late = (number > 0) & (begins * 2 >= asked)
        return self.ttft + number * self.chunk * self.tpot + late * self.stall

    def size(self, index: int, asked: int) -> int:
        """Tokens of the chunk that begins with token `index`."""
        return min(self.chunk if index else self.first_chunk, asked - index)

    def fails(self, number: int) -> bool:
        """Whether request `number` (from 0, in order of arrival) is refused."""
        return _every(self.fail, number)

    def is_empty(self, number: int) -> bool:
        """Whether the answer to request `number` holds no token."""
        return _every(self.empty, number)

    def cut_at(self, number: int, asked: int) -> int | None:
        """After how many tokens request `number` is cut off; None: not at all."""
        return max(1, asked // 2) if _every(self.cut, number) else None


def _every(share: float, number: int) -> bool:
    """Whether `number` belongs to the share: the last one of each 1 / share."""
    return int((number + 1) * share + 1e-9) > int(number * share + 1e-9)
