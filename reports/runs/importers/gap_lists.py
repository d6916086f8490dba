"""Lists of numbers taken out of a JSON text as it streams, before it is parsed.

A streaming parser has an event for each number, which costs ten times what orjson takes for it in a list.
"""

import re
from array import array
from collections.abc import Iterator
from typing import IO

import orjson

BLOCK = 1 << 18  # bytes read at once
LONGEST = 1 << 26  # bytes of one list that are waited for; the parser reads a longer one by its events
_SPACE = rb"[ \t\r\n]{0,16}"
_REACH = 128  # bytes; a key with what follows it up to its first list is shorter


class GapLists:
    """A file, in whose lists `"<key>": [[…], …]` each inner one is a mark, `["#0"]`; `taken` has it by mark.

    What is no plain list of numbers stays in the text, for the parser to read or to refuse.
    """

    def __init__(self, file: IO[bytes], key: str) -> None:
        self.taken: dict[str, array[float]] = {}
        self._file, self._count = file, 0
        begin = rb'(?<!\\)"%b"' % re.escape(key.encode())
        self._begin = re.compile(begin + _SPACE + b":" + _SPACE + rb"\[" + _SPACE + rb"(?=\[)")
        self._pieces = self._spliced()

    def read(self, size: int = -1) -> bytes:
        """The text that follows, of any length; empty at its end, and where nothing is asked for."""
        return next(self._pieces, b"") if size else b""

    def _spliced(self) -> Iterator[bytes]:
        text, at, inside = b"", 0, False  # what comes before `at` has been given out
        while data := self._file.read(BLOCK):
            text, out = text + data, []
            while True:
                if not inside:
                    found = self._begin.search(text, at)
                    if found is None:
                        break
                    out.append(text[at : found.end()])
                    at, inside = found.end(), True
                end = text.find(b"]", at) + 1
                if not end and len(text) - at <= LONGEST:
                    break
                part, inside = self._marked(text[at : end or len(text)])
                out.append(part)
                at = end or len(text)
            until = at if inside else max(at, len(text) - _REACH)
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
