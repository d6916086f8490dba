"""A JSON array of any size, one element at a time."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from common.usage import UsageError
from loadgen.workload.datasets.row import TOO_DEEP, brief, opened

CHUNK = 1 << 16  # characters read at a time
LARGEST = 1 << 28  # characters of one element; more is taken for a broken file
LITERAL = 16  # characters at the end of what was read in which a cut-off word or number may stand

NUMBER = ".eE+-0123456789"


def elements(path: Path) -> Iterator[tuple[str, Any]]:
    """(file and row, value) of each element; rows count from 1. Raises UsageError where it breaks off."""
    with io.TextIOWrapper(opened(path), encoding="utf-8-sig") as file:
        text = _skip("", file)
        if not text.startswith("["):
            found = f"begins with {text[:10]!r}" if text else "is empty"
            raise UsageError(f"{path}: must be a JSON array, {found}")
        text, number = _skip(text[1:], file), 1
        while not (number == 1 and text.startswith("]")):
            where = f"{path}: row {number}"
            value, text = _value(text, file, where)
            yield where, value
            text = _skip(text, file)
            if text.startswith("]"):
                return
            if not text.startswith(","):
                raise UsageError(
                    f"{where}: {'no comma after it' if text else 'the file ends after it, cut off'}"
                )
            text, number = _skip(text[1:], file), number + 1


def _value(text: str, file: TextIO, where: str) -> tuple[Any, str]:
    """The value that `text` begins with, reading on as far as it needs, and the text after it."""
    decoder, wanted = json.JSONDecoder(), CHUNK
    while True:
        try:
            value, end = decoder.raw_decode(text)
            problem = ""
        except json.JSONDecodeError as error:
            value, end, problem = None, len(text), error.msg
            may_go_on = problem.startswith("Unterminated") or error.pos > len(text) - LITERAL
            if not may_go_on or len(text) > LARGEST:
                raise UsageError(f"{where}: not valid JSON: {problem}") from None
        except ValueError as error:  # a number of thousands of digits
            raise UsageError(f"{where}: not valid JSON: {brief(error)}") from None
        except RecursionError:
            raise UsageError(f"{where}: not valid JSON: {TOO_DEEP}") from None
        if end < len(text) and text[end] not in NUMBER:
            return value, text[end:]
        # What reaches to the end of the text may go on, and so may a number like "0.".
        more = file.read(wanted)
        if not more:
            if problem:
                raise UsageError(f"{where}: the file ends within it, cut off: {problem}")
            return value, text[end:]
        text, wanted = text + more, wanted * 2


def _skip(text: str, file: TextIO) -> str:
    """`text` without blanks before it; if nothing is left, the same of what the file still holds."""
    text = text.lstrip()
    while not text and (chunk := file.read(CHUNK)):
        text = chunk.lstrip()
    return text
