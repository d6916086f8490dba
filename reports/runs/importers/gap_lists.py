"""Lists of numbers taken out of a JSON text as it streams, before it is parsed.

A streaming parser has an event for each number, which costs ten times what orjson takes for it in a list.
"""

import math
import re
from array import array
from collections.abc import Collection, Iterator
from typing import IO

import orjson

BLOCK = 1 << 18  # bytes read at once
LONGEST = 1 << 26  # bytes of one list that are waited for; the parser reads a longer one by its events
_SPACE = rb"[ \t\r\n]{0,16}"
_REACH = 128  # bytes; a key with what follows it up to its first list is shorter


class GapLists:
    """A file, in which lists of numbers by one of the keys are marks: `"<key>": ["#0"]`, and where the list
    holds lists, each inner one, `"<key>": [["#1"], ["#2"]]`; `taken` has them by mark.

    What is no plain list of numbers stays in the text, for the parser to read or to refuse.
    """

    def __init__(self, file: IO[bytes], keys: Collection[str]) -> None:
        self.taken: dict[str, array[float]] = {}
        self._file, self._count = file, 0
        begin = rb'(?<!\\)"(?:%b)"' % b"|".join(re.escape(key.encode()) for key in keys)
        self._begin = re.compile(begin + _SPACE + b":" + _SPACE + rb"(?=\[" + _SPACE + rb"[\[0-9-])")
        self._outer = re.compile(rb"\[" + _SPACE + rb"(?=\[)")
        self._pieces = self._spliced()

    def read(self, size: int = -1) -> bytes:
        """The text that follows, of any length; empty at its end, and where nothing is asked for."""
        return next(self._pieces, b"") if size else b""

    def _spliced(self) -> Iterator[bytes]:
        text, at, left = b"", 0, 0.0  # what comes before `at` has been given out; so many lists are wanted
        while data := self._file.read(BLOCK):
            text, out = text + data, []
            while True:
                if not left:
                    found = self._begin.search(text, at)
                    if found is None:
                        break
                    outer = self._outer.match(text, found.end())  # of a list of lists
                    after = outer.end() if outer else found.end()
                    out.append(text[at:after])
                    at, left = after, math.inf if outer else 1
                end = text.find(b"]", at) + 1
                if not end and len(text) - at <= LONGEST:
                    break
                part, more = self._marked(text[at : end or len(text)])
                out.append(part)
                at, left = end or len(text), left - 1 if more else 0
            until = at if left else max(at, len(text) - _REACH)
            out.append(text[at:until])
            text, at = text[max(until - 1, 0) :], min(until, 1)  # the byte before may be a backslash
            if whole := b"".join(out):
                yield whole
        if text[at:]:
            yield text[at:]

    def _marked(self, part: bytes) -> tuple[bytes, bool]:
        """The text up to a closing bracket with its list as a mark, and whether another list may follow."""
        before, bracket, numbers = part.partition(b"[")
        if not bracket or before.strip(b", \t\r\n"):
            return part, False
        try:
            found = orjson.loads(bracket + numbers)
        except orjson.JSONDecodeError:
            return part, False
        if not {float, int}.issuperset(map(type, found)):
            return part, False
        mark, self._count = f"#{self._count}", self._count + 1
        self.taken[mark] = array("d", found)
        return b'%b["%b"]' % (before, mark.encode()), True
