"""What a dataset's row says about one request, and the checks that all formats share."""

import csv
import gzip
import io
import json
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from functools import wraps
from pathlib import Path
from typing import IO, Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from common.usage import UsageError

CHARACTERS_PER_TOKEN = 4  # of English text; only to estimate the length of a text that is sent as it is
MOST_TOKENS = 10_000_000  # of one prompt or answer; more is taken for a broken row
SHOWN = 40  # characters of a broken value that a message shows
TOO_DEEP = "lists or objects within each other, too many"
JSON_KINDS = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}

NO_TOKENS = "passed over: 0 tokens in the prompt or the answer"
GZIP, PARQUET = b"\x1f\x8b", b"PAR1"  # how such files begin
AT_ONCE = 10_000  # rows of a Parquet file turned into Python values at a time

Dialogue = tuple[tuple[str, str], ...]  # (role, content)


class Row(NamedTuple):
    """One request of a dataset."""

    where: str  # file and row, for messages
    prompt_tokens: int  # as the file says, or estimated from the text
    output_tokens: int | None = None
    time: float | None = None  # seconds from the trace's start
    dialogue: Dialogue = ()
    blocks: tuple[int, ...] = ()  # the file's ids of the prompt's blocks, for shared prefixes
    workload: str | None = None
    block_tokens: int = 512  # that one of `blocks` stands for
    images: int = 0  # that the request had
    session: str | None = None  # the agent's, or the conversation's, that it is a turn of
    pause: float | None = None  # s from the end of the session's turn before; None: not known


class Note(NamedTuple):
    """What a reader did with a row that is not as it should be, in the words of a remark."""

    text: str


def opened(path: Path) -> IO[bytes]:
    """The file's content, unpacked where it is packed by gzip."""
    file = path.open("rb")
    if file.peek(2)[:2] != GZIP:
        return file
    return gzip.open(file)  # type: ignore[return-value]  # reads as any other


def _is_parquet(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(PARQUET)) == PARQUET


def _parquet_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(file and row, values by column) of a Parquet file, in place of lines."""
    number = 0
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=AT_ONCE):
                for values in batch.to_pylist():
                    number += 1
                    yield f"{path}: row {number}", values
    except pa.ArrowException as error:
        raise UsageError(f"{path}: row {number + 1}: not valid Parquet: {brief(str(error))}") from None


def json_lines(path: Path) -> Iterator[tuple[str, Any]]:
    """(file and row, value) of each line that is not empty, or of each row of a Parquet file."""
    if _is_parquet(path):
        yield from _parquet_rows(path)
        return
    with opened(path) as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                where = f"{path}: row {number}"
                try:
                    yield where, json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
                except UnicodeDecodeError as error:
                    raise UsageError(f"{where}: not UTF-8 text: {error.reason}") from None
                except json.JSONDecodeError as error:
                    what = f"{error.msg} at character {error.colno}"
                    raise UsageError(f"{where}: not valid JSON: {what}") from None
                except ValueError as error:  # a number of thousands of digits
                    raise UsageError(f"{where}: not valid JSON: {brief(error)}") from None
                except RecursionError:
                    raise UsageError(f"{where}: not valid JSON: {TOO_DEEP}") from None


def csv_lines(path: Path, columns: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(file and row, values by column) of each line under the heading, which must have `columns`.

    What is no UTF-8 is let through, so that its row is named where a number is expected. A Parquet file has
    its columns' names for a heading.
    """
    if _is_parquet(path):
        for number, (where, row) in enumerate(_parquet_rows(path)):
            if not number:
                _require_columns(where, columns, row)
            yield where, {name: _plain(each) for name, each in row.items()}
        return
    with opened(path) as packed:
        file = io.TextIOWrapper(packed, encoding="utf-8-sig", errors="surrogateescape", newline="")
        reader = csv.DictReader(file)
        heading = reader.fieldnames or ()
        if not "".join(heading).isprintable():
            raise UsageError(f"{path}: row 1: the heading is not UTF-8 text")
        _require_columns(f"{path}: row 1", columns, heading)
        try:
            for values in reader:
                where = f"{path}: row {reader.line_num}"
                if None in values or None in values.values():
                    raise UsageError(f"{where}: has another number of columns than the heading")
                yield where, values
        except csv.Error as error:
            raise UsageError(f"{path}: row {reader.line_num + 1}: not valid CSV: {error}") from None


def _plain(value: Any) -> int | float | str:
    """A Parquet value, with a moment of time as a text."""
    return value if isinstance(value, int | float) else str(value)


def _require_columns(where: str, columns: Sequence[str], heading: Iterable[str]) -> None:
    if missing := [name for name in columns if name not in heading]:
        raise UsageError(f"{where}: the heading has no column {', '.join(missing)}")


def mapping(where: str, value: Any) -> dict[str, Any]:
    """The value, if it is a JSON object."""
    if not isinstance(value, dict):
        raise UsageError(f"{where}: must be a JSON object, is {JSON_KINDS.get(type(value), 'a number')}")
    return value


def brief(value: object) -> str:
    """The value as a message shows it: a row may hold a whole book where a number is expected."""
    text = value if isinstance(value, str) else str(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def count(where: str, values: dict[str, Any], key: str, least: int = 1) -> int:
    """A whole number of `least` to MOST_TOKENS; a CSV file's text counts if it reads as one."""
    given = value = values.get(key)
    if isinstance(value, str):
        try:
            value = int(value)
        except ValueError:
            raise UsageError(f"{where}: {key} is not a whole number: {brief(repr(given))}") from None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if value is None:
        raise UsageError(f"{where}: {key} is {'null' if key in values else 'missing'}")
    if not isinstance(value, int) or isinstance(value, bool):
        raise UsageError(f"{where}: {key} is not a whole number: {brief(repr(given))}")
    if not least <= value <= MOST_TOKENS:
        raise UsageError(f"{where}: {key} is {brief(given)}, must be {least} to {MOST_TOKENS:,}")
    return value


def lengths(where: str, values: dict[str, Any], prompt: str, output: str) -> tuple[int, int] | None:
    """The tokens in these two columns of a trace; None where one is 0, so that nothing can be asked."""
    found = count(where, values, prompt, least=0), count(where, values, output, least=0)
    return found if all(found) else None


def seconds(where: str, values: dict[str, Any], key: str, unit: float = 1.0) -> float:
    """A finite time of `unit` seconds, 0 or more."""
    try:
        value = float(values[key]) * unit
    except KeyError:
        raise UsageError(f"{where}: {key} is missing") from None
    except (TypeError, ValueError):
        raise UsageError(f"{where}: {key} is not a number: {brief(repr(values[key]))}") from None
    except OverflowError:
        value = float("inf")
    if not 0 <= value < float("inf"):
        raise UsageError(f"{where}: {key} is {brief(values[key])}, must be a finite number, 0 or more")
    return value


def dialogue(where: str, messages: Any, role: str = "role", content: str = "content") -> Dialogue:
    """Chat messages as (role, content); content in parts is joined when all parts are text."""
    if not isinstance(messages, list) or not messages:
        raise UsageError(f"{where}: messages must be a list that is not empty")
    found = []
    for number, message in enumerate(messages, 1):
        entry = mapping(f"{where}: message {number}", message)
        text = entry.get(content)
        if isinstance(text, list):
            parts = [mapping(f"{where}: message {number}", part) for part in text]
            if any(part.get("type") != "text" or not isinstance(part.get("text"), str) for part in parts):
                raise UsageError(f"{where}: message {number}: only parts of type text can be sent")
            text = "".join(part["text"] for part in parts)
        if not isinstance(text, str) or not isinstance(entry.get(role), str):
            raise UsageError(f"{where}: message {number}: needs {role} and {content} as text")
        found.append((sendable(where, entry[role]), sendable(where, text)))
    return tuple(found)


def sendable(where: str, text: str) -> str:
    r"""The text, if a request can hold it: JSON may name half of a pair ("\ud83d"), which has no UTF-8."""
    if broken := half_character(text):
        raise UsageError(f"{where}: {broken} is half a character, which no request can hold")
    return text


def half_character(text: str) -> str:
    """The first half of a pair that the text holds, as JSON writes it; empty where it holds none."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return ascii(error.object[error.start])
    return ""


def estimated_tokens(messages: Dialogue) -> int:
    """A rough number of tokens: a quarter of the characters."""
    return max(1, sum(len(content) for _, content in messages) // CHARACTERS_PER_TOKEN)


def hash_ids(where: str, values: dict[str, Any]) -> tuple[int, ...]:
    """The ids of the prompt's blocks, in order; none where the row has none."""
    ids = values.get("hash_ids") or []
    if not isinstance(ids, list) or not all(type(each) is int for each in ids):
        raise UsageError(f"{where}: hash_ids must be a list of whole numbers")
    return tuple(ids)


def hashed_row(
    where: str,
    values: dict[str, Any],
    block: int,
    counts: Callable[[int], Container[int]],
    unit: float,
    other: str,
) -> Row | Note:
    """A row with `timestamp`, `input_length`, `output_length` and `hash_ids`, each id of `block` tokens.

    counts: how many ids a prompt of so many tokens has. unit: of the times, s. other: what else the file may
    be, for the message where the ids do not fit.
    """
    ids = hash_ids(where, values)
    asked = lengths(where, values, "input_length", "output_length")
    if asked is None:
        return Note(NO_TOKENS)
    if ids and len(ids) not in counts(asked[0]):
        raise UsageError(
            f"{where}: {len(ids)} hash_ids for {asked[0]} tokens are no blocks of {block}; is it {other}?"
        )
    time = seconds(where, values, "timestamp", unit)
    return Row(where, *asked, time=time, blocks=ids, block_tokens=block)


def since_first(read: Callable[[Path], Iterator[Row | Note]]) -> Callable[[Path], Iterator[Row | Note]]:
    """A decorator: the rows have their times counted from the first one's."""

    @wraps(read)
    def rows(path: Path) -> Iterator[Row | Note]:
        first = None
        for row in read(path):
            if isinstance(row, Note) or row.time is None:
                yield row
                continue
            first = row.time if first is None else first
            yield row._replace(time=row.time - first)

    return rows
