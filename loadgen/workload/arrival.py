"""One scheduled request, and all those of a run: columns, out of which each is made when it is asked for."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

Columns = dict[str, Any]  # a field of Arrival: an array or a list with each one's value, or what all share

AT_ONCE = 10_000  # arrivals whose values are Python objects at a time


@dataclass(frozen=True, slots=True)
class Arrival:
    """One scheduled request.

    The prompt has `prefix_tokens` + `prompt_tokens` tokens, chat template included. In a later turn of a
    conversation `prompt_tokens` are those of the new message alone; the history comes on top.
    """

    number: int  # k; unique, and the same for any number of workers
    due: float | None  # seconds from the start; None: `think` seconds after the end of arrival `after`
    after: int | None
    think: float  # seconds
    lane_key: int  # worker i of n launches those with lane_key % n == i: a chain stays on one worker
    workload: str
    conversation: int | None  # the chain it belongs to: a conversation, or a client of a closed loop
    turn: int  # from 0
    prompt_tokens: int
    output_tokens: int
    prefix_group: int | None = None  # prompts of one group begin with the same prefix
    prefix_tokens: int = 0
    priority: int | None = None
    system: bool = False  # the prefix is a system message
    history: bool = False  # the turns before are sent along
    blocks: tuple[int, ...] = ()  # a trace's hash ids: prompts with the same first ids begin alike
    dialogue: tuple[tuple[str, str], ...] = ()  # (role, content) of a prompt that a dataset gives
    warmup_end: float = 0.0  # seconds from the start; a request that is due before it is not judged
    block_tokens: int = 512  # of each of `blocks`
    adapter: str | None = None  # that the request is for, in place of the model
    cancel_after: float | None = None  # seconds after which the client gives it up
    images: int = 0

    @property
    def prompt_asked(self) -> int | None:
        """Tokens of the whole prompt; None where nobody knows them before (history, a dataset's text)."""
        if self.dialogue or (self.history and self.turn):
            return None
        return self.prefix_tokens + self.prompt_tokens


ADDED = ("block_tokens", "adapter", "cancel_after", "images")
"""Fields of Arrival that came later: a schedule that does without them keeps the digest that it had."""
_DEFAULTS = {each.name: each.default for each in fields(Arrival)}


class Arrivals(Sequence[Arrival]):
    """A million are some 30 MB; as objects, they took 400 MB and most of the time of a run's start."""

    def __init__(self, count: int, columns: Mapping[str, Any]) -> None:
        """Fields that `columns` lacks have their defaults."""
        self._count, self._columns = count, {name: columns.get(name, _DEFAULTS[name]) for name in _DEFAULTS}
        self._shared = list(self._columns.values())
        self._varying = [
            (place, value) for place, value in enumerate(self._shared) if isinstance(value, np.ndarray | list)
        ]
        self._of = [
            (place, value.item if isinstance(value, np.ndarray) else value.__getitem__)
            for place, value in self._varying
        ]

    @classmethod
    def of(cls, arrivals: Sequence[Arrival]) -> "Arrivals":
        """Those of a list."""
        columns: Columns = {name: [getattr(each, name) for each in arrivals] for name in _DEFAULTS}
        return cls(len(arrivals), columns | {"due": np.array(columns["due"], np.float64)})

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, place: int) -> Arrival: ...

    @overload
    def __getitem__(self, place: slice) -> "Arrivals": ...

    def __getitem__(self, place: int | slice) -> "Arrival | Arrivals":
        if isinstance(place, slice):
            return self.take(np.arange(self._count)[place])
        if not -self._count <= place < self._count:
            raise IndexError(place)
        row = self._shared.copy()
        for field, value in self._of:
            row[field] = value(place)
        return Arrival(*row)

    def __iter__(self) -> Iterator[Arrival]:
        places, row = [place for place, _ in self._varying], self._shared.copy()
        for values in self._rows(column for _, column in self._varying):
            for place, value in zip(places, values, strict=True):
                row[place] = value
            yield Arrival(*row)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Arrivals) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # as of a list

    def take(self, places: NDArray[np.integer[Any]]) -> "Arrivals":
        """Those at these places, in their order."""

        def taken(value: Any) -> Any:
            if isinstance(value, np.ndarray):
                return value[places]
            return [value[place] for place in places.tolist()] if isinstance(value, list) else value

        return Arrivals(len(places), {name: taken(value) for name, value in self._columns.items()})

    def numbers(self, name: str) -> NDArray[Any]:
        """A field that is a number in each; shape (arrivals,)."""
        value = self._columns[name]
        return np.asarray(value) if isinstance(value, np.ndarray | list) else np.full(self._count, value)

    def values(self, name: str) -> set[Any]:
        """The different values of a field."""
        value = self._columns[name]
        if isinstance(value, np.ndarray):
            return set(value.tolist())
        return set(value) if isinstance(value, list) else {value} if self._count else set()

    def texts(self) -> Iterator[bytes]:
        """What a digest of all of them is made of: each field as Python writes it; of ADDED, what is not as
        usual. (Digests are compared with those of older runs, which were made of objects.)"""
        usual = {name: _DEFAULTS[name] for name in ADDED}
        names = [name for name in _DEFAULTS if name not in usual]
        same = {name: repr(value).replace("%", "%%") for name, value in self._columns.items()}
        varying = [name for name in names if isinstance(self._columns[name], np.ndarray | list)]
        form = ", ".join("%r" if name in varying else same[name] for name in names)
        texts = (f"[{form}]" % values for values in self._rows(self._columns[name] for name in varying))
        if any(self._columns[name] is not usual[name] for name in ADDED):
            texts = (
                text + (repr(more) if more != usual else "")
                for text, more in zip(texts, self._added(), strict=True)
            )
        block = []
        for text in texts:
            block.append(text)
            if len(block) == AT_ONCE:
                yield "".join(block).encode()
                block.clear()
        yield "".join(block).encode()

    def checksum(self) -> str:
        """SHA-256 over the columns as they lie in memory: the same in processes that come to the same."""
        digest = hashlib.sha256()
        for name, value in self._columns.items():
            digest.update(name.encode())
            if isinstance(value, np.ndarray) and value.dtype != object:
                digest.update(np.ascontiguousarray(value).data)
            else:
                digest.update(repr(value.tolist() if isinstance(value, np.ndarray) else value).encode())
        return digest.hexdigest()

    def _added(self) -> Iterator[dict[str, Any]]:
        columns = [
            value if isinstance(value, np.ndarray | list) else [value] * self._count
            for value in (self._columns[name] for name in ADDED)
        ]
        return (dict(zip(ADDED, values, strict=True)) for values in self._rows(columns))

    def _rows(self, columns: Any) -> Iterator[tuple[Any, ...]]:
        """Successive values of the columns, as Python's own types."""
        kept = list(columns)
        for start in range(0, self._count, AT_ONCE):
            parts = [column[start : start + AT_ONCE] for column in kept]
            yield from zip(
                *(part.tolist() if isinstance(part, np.ndarray) else part for part in parts), strict=True
            )


def joined(first: Columns, count: int, second: Columns, more: int) -> Columns:
    """Columns of `count` arrivals and of `more` after them, with the same fields."""

    def both(name: str) -> Any:
        one, other = first[name], second[name]
        if not any(isinstance(value, np.ndarray | list) for value in (one, other)) and one == other:
            return one
        one, other = (
            value if isinstance(value, np.ndarray | list) else [value] * size
            for value, size in ((one, count), (other, more))
        )
        if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
            return np.concatenate([one, other])
        return [*_list(one), *_list(other)]

    return {name: both(name) for name in first}


def _list(column: Any) -> list[Any]:
    return column.tolist() if isinstance(column, np.ndarray) else column
