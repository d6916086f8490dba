"""A result file of unknown kind: its first look (shape, names of keys), and its content, streamed.

Whatever a file holds is hostile: sizes are bounded, and nothing in it is executed or unpickled.
"""

import csv
import gzip
import io
import json
import re
import sqlite3
from array import array
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Any, Literal

import ijson
import orjson
import yaml

from common.usage import UsageError
from reports.runs.importers.gap_lists import GapLists
from reports.runs.importers.object_lists import ObjectLists
from reports.text import escape

Shape = Literal["object", "array", "table", "database", "yaml", "text"]

LOOK = 1 << 20  # bytes of the beginning and the end in which names of keys are looked for
MOST = 8 << 30  # bytes of an unpacked .gz
MOST_YAML = 32 << 20  # bytes; PyYAML builds nodes of some hundred bytes for each value
_GZIP, _SQLITE = b"\x1f\x8b", b"SQLite format 3\x00"
_KEY = re.compile(rb'"([A-Za-z][\w .:()/%-]{0,60})"\s*:')
_YAML_KEY = re.compile(rb"^\s*-?\s*'?\"?([A-Za-z]\w{0,60})'?\"?:", re.MULTILINE)


@dataclass(frozen=True)
class Source:
    """One file. Reading raises UsageError: missing, cut off, no such text."""

    path: Path

    @cached_property
    def shape(self) -> Shape:
        """What the file begins with."""
        head = self._head.lstrip(b"\xef\xbb\xbf \t\r\n")
        if head.startswith(_SQLITE):
            return "database"
        if head.startswith((b"{", b"[")):
            return "object" if head.startswith(b"{") else "array"
        first = head.split(b"\n", 1)[0]
        if first.count(b",") >= 2:
            return "table"
        return "yaml" if _YAML_KEY.match(head) or head.startswith((b"---", b"#")) else "text"

    @cached_property
    def names(self) -> frozenset[str]:
        """Names of keys (or columns) near the beginning and the end, at any depth."""
        if self.shape == "table":
            return frozenset(self.rows_of_table(limit=1)[0])
        found = (_YAML_KEY if self.shape == "yaml" else _KEY).findall(self._head + b"\n" + self._tail)
        return frozenset(name.decode("ascii", "replace") for name in found)

    @property
    def begin(self) -> bytes:
        """The first characters of the first line that is not empty."""
        return (self._head.strip().splitlines() or [b""])[0][:40]

    @contextmanager
    def open(self) -> Iterator[IO[bytes]]:
        """The bytes, unpacked where the file is packed."""
        try:
            with self.path.open("rb") as raw:
                packed = raw.read(2) == _GZIP
                raw.seek(0)
                yield _Unpacked(self.path, raw) if packed else raw  # type: ignore[misc]
        except (OSError, EOFError) as error:
            why = getattr(error, "strerror", None) or str(error) or "cut off"
            raise UsageError(f"{self.path}: cannot be read: {escape.clean(why)}") from None

    def value(self) -> Any:
        """The one JSON value that the file holds."""
        with self.open() as file:
            text = file.read()
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError:
            return self._slowly(text)

    def value_around(self, keys: Collection[str], take: Callable[[int, Any], None]) -> Any:
        """As `value`, but objects in lists by one of the keys go to `take`, with their list's number: in its
        place stands `[number]`. A text that is no plain JSON is read as a whole; then the lists are in it."""
        with self.open() as file:
            objects = ObjectLists(file, keys)
            try:
                for number, each in objects:
                    take(number, each)
                return orjson.loads(objects.rest)
            except orjson.JSONDecodeError:
                pass
        return self.value()

    def values(self) -> Iterator[tuple[int, Any]]:
        """(line, JSON value) of each line that is not empty; lines count from 1."""
        with self.open() as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    try:
                        yield number, orjson.loads(line)
                    except orjson.JSONDecodeError as error:
                        raise UsageError(
                            f"{self.path}: line {number}: cut off, or no JSON ({error.msg}); take the "
                            f"whole file"
                        ) from None

    def items(self) -> Iterator[Any]:
        """The members of a JSON array, one at a time."""
        try:
            with self.open() as file:
                yield from ijson.items(file, "item", use_float=True)
        except ijson.JSONError as error:
            raise self.broken(error) from None

    @contextmanager
    def events(
        self, keys: Collection[str]
    ) -> Iterator[tuple[Iterable[tuple[str, str, Any]], dict[str, "array[float]"]]]:
        """(prefix, event, value) of ijson: one JSON value or several, one after the other; and the lists of
        numbers below the keys, by the text that stands for each of them."""
        with self.open() as file:
            spliced = GapLists(file, keys)
            yield ijson.parse(spliced, use_float=True, multiple_values=True), spliced.taken

    def broken(self, error: Exception) -> UsageError:
        """What is wrong with a text that a streaming parser gave up on, in one line."""
        why = escape.clean(str(error).splitlines()[0] if str(error) else "its end is missing")[:80]
        return UsageError(f"{self.path}: cut off, or no JSON: {why.strip()}; take the whole file")

    def rows_of_table(self, limit: int | None = None) -> list[list[str]]:
        """The cells of a CSV file."""
        with self.open() as file:
            text = io.TextIOWrapper(file, "utf-8-sig", errors="replace", newline="")
            try:
                rows = []
                for row in csv.reader(text):
                    rows.append(row)
                    if limit is not None and len(rows) >= limit:
                        break
                return rows
            except csv.Error as error:
                raise UsageError(f"{self.path}: no table of comma-separated values: {error}") from None
            finally:
                text.detach()

    def query(self, text: str) -> Iterator[tuple[Any, ...]]:
        """Rows of a SQLite database, which is opened for reading only."""
        try:
            with closing(sqlite3.connect(f"{self.path.resolve().as_uri()}?mode=ro", uri=True)) as database:
                yield from database.execute(text)
        except sqlite3.Error as error:
            raise UsageError(f"{self.path}: damaged, or cut off: {error}") from None

    def document(self) -> Any:
        """The value of a YAML (or JSON) file."""
        if self.shape != "yaml":
            return self.value()
        with self.open() as file:
            text = file.read(MOST_YAML + 1)
        if len(text) > MOST_YAML:
            raise UsageError(f"{self.path}: a YAML file of more than {MOST_YAML >> 20} MiB is no report")
        try:
            return yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 (both safe)
        except (yaml.YAMLError, RecursionError, ValueError) as error:
            raise UsageError(f"{self.path}: no YAML: {' '.join(str(error).split())[:150]}") from None

    @cached_property
    def _head(self) -> bytes:
        with self.open() as file:
            return file.read(LOOK)

    @cached_property
    def _tail(self) -> bytes:
        """Of a packed file its end is not looked at: that would unpack it all."""
        with self.open() as file:
            if isinstance(file, _Unpacked):
                return b""
            size = file.seek(0, io.SEEK_END)
            file.seek(max(LOOK, size - LOOK))
            return file.read()

    def _slowly(self, text: bytes) -> Any:
        """For what orjson refuses: NaN and Infinity, which Python writes, and an error that says more."""
        try:
            return json.loads(text)
        except json.JSONDecodeError as error:
            raise UsageError(f"{self.path}: {_no_json(error)}") from None
        except (ValueError, RecursionError) as error:
            raise UsageError(f"{self.path}: no JSON text: {' '.join(str(error).split())[:200]}") from None


class _Unpacked(io.RawIOBase):
    """A packed file's content, up to MOST bytes of it."""

    def __init__(self, path: Path, raw: IO[bytes]) -> None:
        self._path, self._file, self._read = path, gzip.GzipFile(fileobj=raw), 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        found = self._file.read(MOST + 1 - self._read if size < 0 else size)
        self._read += len(found)
        if self._read > MOST:
            raise UsageError(f"{self._path}: unpacks to more than {MOST >> 30} GiB; that is no result file")
        return found

    def readinto(self, buffer: Any) -> int:
        found = self.read(len(buffer))
        buffer[: len(found)] = found
        return len(found)


def _no_json(error: json.JSONDecodeError) -> str:
    """What the text is instead, and what can be done."""
    if error.msg == "Extra data":
        return "holds more than one JSON value; put each result into a file of its own"
    where = f"line {error.lineno}, column {error.colno}"
    return f"cut off, or no JSON: {error.msg} at {where}; take the whole file"
