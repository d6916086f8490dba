"""Server-sent events out of a body that comes in pieces.

sseclient-py is the reference. The usual event (one `data: ` line, LF, whole in one piece) is cut out
directly; everything else is gathered and read by sseclient-py itself.
"""

from collections.abc import Iterator

from sseclient import SSEClient

_ENDS = (b"\n\n", b"\r\r", b"\r\n\r\n")
_LONGEST_END = 4
_MOST_LINES, _MOST_BYTES = 4096, 2 * 2**20  # of one event; reading more would hold others up


class OverlongEventError(ValueError):
    """What comes is too long for an event."""


class EventReader:
    """Feed pieces of a body; get the data of each event as soon as its blank line has come."""

    def __init__(self) -> None:
        self._block: list[bytes] = []  # what has come of the event under way, line by line
        self._lines = self._size = 0  # of it; the size in bytes
        self._last = b""  # its last few bytes: an event's end may straddle lines and pieces

    @property
    def inside(self) -> bool:
        """Whether the body stands inside an event (or a comment)."""
        return bool(self._block)

    def feed(self, piece: bytes) -> list[bytes]:
        """The data of the events that `piece` completes. Raises OverlongEventError: the reader is of no use
        after that."""
        if self._block or not piece.endswith(b"\n\n") or b"\r" in piece:
            return self._feed_by_lines(piece)
        if piece.startswith(b"data: ") and piece.find(b"\n") == len(piece) - 2:  # nearly always
            return [piece[6:-2]]
        events = []
        for block in piece[:-2].split(b"\n\n"):
            if block.startswith(b"data: ") and b"\n" not in block:
                events.append(block[6:])
            else:
                events.extend(_read_block(block + b"\n\n"))
        return events

    def finish(self) -> list[bytes]:
        """The data of an event that the end of the body cut short, as the reference gives it."""
        block = self._end_block()
        return list(_read_block(b"".join(block))) if block else []

    def _end_block(self) -> list[bytes]:
        block, self._block, self._last = self._block, [], b""
        self._lines = self._size = 0
        return block

    def _feed_by_lines(self, piece: bytes) -> list[bytes]:
        events: list[bytes] = []
        for line in piece.splitlines(keepends=True):
            self._block.append(line)
            self._size += len(line)
            self._lines += line.endswith((b"\n", b"\r"))
            self._last = (self._last + line[-_LONGEST_END:])[-_LONGEST_END:]
            if self._last.endswith(_ENDS):
                events.extend(_read_block(b"".join(self._end_block())))
            elif self._lines > _MOST_LINES or self._size > _MOST_BYTES:
                raise OverlongEventError(f"an event of over {_MOST_LINES} lines or {_MOST_BYTES >> 20} MiB")
        return events


class _Block(SSEClient):
    """The reference on one event's lines, without its search for the end, which copies them for each line.

    Read as latin-1, bytes pass unchanged and none can fail to decode.
    """

    def __init__(self, block: bytes) -> None:
        super().__init__(iter([block]), "latin-1")
        self._whole = block

    def _read(self) -> Iterator[bytes]:
        yield self._whole


def _read_block(block: bytes) -> Iterator[bytes]:
    """The reference's events."""
    for event in _Block(block).events():
        yield event.data.encode("latin-1")
