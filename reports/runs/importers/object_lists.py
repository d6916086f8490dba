"""Objects taken out of the lists of a JSON text as it streams, one at a time; the rest is read as a whole.

A parser that streams has an event for each value, which costs several times what orjson takes for an object.
"""

import contextlib
import re
from collections.abc import Collection, Iterator
from typing import IO, Any

import orjson

BLOCK = 1 << 18  # bytes read at once
LONGEST = 1 << 26  # bytes of one object
_SPACE = rb"[ \t\r\n]{0,64}"
_REACH = 256  # bytes; a key with what follows it up to its first object is shorter
# What comes before the next brace, strings whole, and the brace: else the text or a string in it is cut off.
_PART = re.compile(rb'(?:[^"{}]++|"(?:[^"\\]++|\\.)*+")*+(.?)', re.DOTALL)
_END = re.compile(rb"\}" + _SPACE + b"," + _SPACE + rb"\{")  # of an object before another, or within one
_NEXT = re.compile(_SPACE + b"," + _SPACE + rb"(?=\{)")


class ObjectLists:
    """Iterated: (number of the list, object) of lists `"<key>": [{…}, …]`; `rest`, after that: the text, with
    `[number]` in place of each such list.

    Raises orjson.JSONDecodeError where an object is none, or longer than LONGEST.
    """

    def __init__(self, file: IO[bytes], keys: Collection[str]) -> None:
        names = b"|".join(re.escape(key.encode()) for key in keys)
        self._begin = re.compile(b'"(?:%b)"' % names + _SPACE + b":" + _SPACE + rb"\[" + _SPACE + rb"(?=\{)")
        self._file, self._rest = file, list[bytes]()
        self._text, self._at = b"", 0  # what comes before `at` is done with

    @property
    def rest(self) -> bytes:
        """The text without the objects."""
        return b"".join(self._rest)

    def __iter__(self) -> Iterator[tuple[int, Any]]:
        number = 0
        while True:
            if found := self._begin.search(self._text, self._at):
                self._rest += [self._text[self._at : found.end()], b"%d" % number]
                self._at = found.end()
                while True:
                    yield number, self._object()
                    if not self._another():
                        break
                number += 1
                continue
            keep = max(self._at, len(self._text) - _REACH)
            self._rest.append(self._text[self._at : keep])
            self._at = keep
            if not self._more():
                self._rest.append(self._text[self._at :])
                return

    def _more(self) -> bool:
        """Read on; False at the end."""
        data = self._file.read(BLOCK)
        self._text, self._at = self._text[self._at :] + data, 0
        return bool(data)

    def _object(self) -> Any:
        """The one that begins here."""
        if end := _END.search(self._text, self._at):  # nearly always its own, and no part of it is JSON
            with contextlib.suppress(orjson.JSONDecodeError):
                found = orjson.loads(self._text[self._at : end.start() + 1])
                self._at = end.start() + 1
                return found
        return orjson.loads(self._looked_through())

    def _looked_through(self) -> bytes:
        """Its text, by its braces; what is left where its end is missing."""
        seen, depth = 0, 0  # bytes of it that were looked through, braces that are open there
        while True:
            start = self._at
            for found in _PART.finditer(self._text, start + seen):
                if found[1] not in (b"{", b"}"):
                    break
                seen = found.end() - start
                depth += 1 if found[1] == b"{" else -1
                if not depth:
                    self._at = found.end()
                    return self._text[start : self._at]
            if len(self._text) - start > LONGEST or not self._more():
                return self._text[self._at :]

    def _another(self) -> bool:
        """Go to the next object of the list; False where there is none."""
        while True:
            if found := _NEXT.match(self._text, self._at):
                self._at = found.end()
                return True
            if self._text[self._at : self._at + _REACH].strip(b", \t\r\n") or not self._more():
                return False
