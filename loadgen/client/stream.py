"""One streamed chat, stamped: a request, and its answer as it comes.

While it comes, bytes are only framed, stamped and stored, so that no other stream's stamp waits; its
events are read until the first text has come, and again, piece by piece, when somebody calls `read`.
"""

import logging
import time
from array import array
from collections.abc import Callable

from gevent import get_hub

from loadgen.client import errors
from loadgen.client.chat_chunks import Reading
from loadgen.client.connection import Connection
from loadgen.client.errors import Ending, How
from loadgen.client.http1 import Answer
from loadgen.client.outcome import Reply, Stamps, make_reply, make_unread

ONE_HELD = 8 * 2**20  # bytes of one answer that wait to be read; a fast one has some KB
ALL_HELD = 96 * 2**20  # of all answers together
_SHARE = 2**20  # of one answer, from which on it is looked at
SILENT = 2**20  # bytes of framing alone, between two parts of a body
_CROSSING = 0.25  # s; the end of a connection and a request that crossed on their ways meet within it


class Held:
    """Bytes of all of a client's answers that have come and wait to be read."""

    __slots__ = ("total",)

    def __init__(self) -> None:
        self.total = 0


class Stream:
    """Owns a connection from `start` until it is over, which `on_over(stream, connection)` is told once.

    The connection is None where it cannot be used again. `open_new` gives a fresh one, or raises OSError.
    `timeout` is in seconds from `sent`.
    """

    __slots__ = (
        "_connection",
        "_ending",
        "_first_byte",
        "_first_token_seen",
        "_held",
        "_held_by_all",
        "_kept",
        "_last_byte",
        "_on_first_token",
        "_on_over",
        "_open_new",
        "_request",
        "_sent",
        "_silent",
        "_stamps",
        "_timeout",
        "_timer",
        "answer",
        "done_before",
        "end",
        "on_end",
        "reading",
        "request_id",
        "stamped_by_kernel",
    )

    def __init__(
        self,
        request: bytes,
        request_id: str,
        timeout: float,
        reading: Reading,
        open_new: Callable[["Stream"], Connection],
        on_over: Callable[["Stream", Connection | None], None],
        on_first_token: Callable[[float, float], None] | None,
        on_end: Callable[[Reply], None],
        held_by_all: Held,
    ) -> None:
        self._held, self._held_by_all, self._silent = 0, held_by_all, 0
        self.done_before = False  # it had said [DONE] at the last look
        self._request, self.request_id, self._timeout = request, request_id, timeout
        self._open_new, self._on_over, self._on_first_token = open_new, on_over, on_first_token
        self.on_end = on_end
        self._connection: Connection | None = None
        self._kept = False
        self._sent: float | None = None
        self._first_byte: float | None = None
        self._first_token_seen = False
        self._last_byte: float | None = None
        self._stamps = array("d")  # one for each of the answer's pieces
        self._ending: Ending | None = None
        self._timer = get_hub().loop.timer(timeout)
        self.end = 0.0
        self.stamped_by_kernel: bool | None = None  # None: no answer came
        self.answer = Answer(reading.whole)
        self.reading = reading

    @property
    def over(self) -> bool:
        """Nothing more will come; what has come may still have to be read."""
        return self._ending is not None

    @property
    def unread(self) -> int:
        """Pieces of a stream that wait to be read."""
        return len(self._stamps) if self._first_token_seen else 0

    def start(self, kept: Connection | None) -> None:
        """Send the request, over a kept connection or a new one. Never raises."""
        self._timer.start(self._time_out, update=True)
        self._sent = time.perf_counter()  # of what is sent anew later, too: the way lost it since
        if kept is not None:
            self._kept = True
            kept.owner = self
            self._send(kept)
        else:
            self._start_anew()

    def quiet_since(self, moment: float) -> bool:
        """Whether an answer has begun and no byte of it has come after `moment`."""
        return self._last_byte is not None and self._last_byte < moment

    def read(self, limit: int) -> bool:
        """Read up to `limit` stored pieces; True when some are left."""
        if not self._first_token_seen:  # read as they came, or not a stream
            return False
        pieces, stamps, reading = self.answer.pieces, self._stamps, self.reading
        taken, at = pieces[:limit], stamps[:limit]
        del pieces[:limit], stamps[:limit]
        for piece, stamp in zip(taken, at, strict=True):
            reading.feed(piece, stamp)
        size = sum(map(len, taken)) if pieces else self._held  # with the last piece goes the framing of all
        self._held -= size
        self._held_by_all.total -= size
        if reading.too_much is not None:
            self._give_up(reading.too_much)
        return bool(pieces)

    @property
    def comments(self) -> bool:
        """Whether what came last is a comment, as one that keeps a connection alive after [DONE]."""
        return bool(self.answer.pieces) and self.answer.pieces[-1].startswith(b":")

    def finish(self) -> None:
        """End a stream that has said [DONE] but whose HTTP answer does not end."""
        self._close(Ending(How.ANSWERED))

    def abandon(self, why: str = "") -> None:
        """Wait no longer. `why` becomes the reply's error."""
        self._close(Ending(How.ABANDONED, why=why))

    def reply(self) -> Reply:
        """What became of it; call it once, when it is over and has been read."""
        assert self._ending is not None
        self.reading.finish(self._last_byte or self.end)
        moments = Stamps(self._sent, self._first_byte, self._last_byte, self.end, not self._kept)
        try:
            return make_reply(self.answer, self.reading, self._ending, moments, self.request_id)
        except Exception as error:  # a fault of ours must not cost the arrival its record
            logging.getLogger(__name__).exception("an answer could not be judged")
            return make_unread(moments, f"the answer could not be judged: {type(error).__name__}")

    # What follows is called by the connection, as its owner.

    def received(self, data: bytes, stamp: float) -> None:
        answer, stamps = self.answer, self._stamps
        self._last_byte = stamp
        good = answer.feed(data)
        new = len(answer.pieces) - len(stamps)
        if new == 1:
            stamps.append(stamp)
        elif new:
            stamps.extend([stamp] * new)
            self._hurry()
        if not self._first_token_seen:
            self._look_for_text(stamp)
        elif new:  # count what waits to be read
            size = len(data)
            self._held += size
            self._held_by_all.total += size
            if self._held > _SHARE:
                self._hold()
        if not new:
            self._silent += len(data)
            if answer.overlong_head:
                self._give_up("the answer's headers have no end")
            elif self._silent > SILENT:
                self._give_up("the answer's HTTP framing has no end")
        if not good:
            self._close(Ending(How.NOT_HTTP))
        elif answer.complete:
            self._close(Ending(How.ANSWERED))

    def _hold(self) -> None:
        """A server that sends faster than it can be read fills no memory."""
        if self._held > ONE_HELD or self._held_by_all.total > ALL_HELD:
            self._give_up("the answer comes faster than it can be read")

    def _give_up(self, why: str) -> None:
        """End it for a bound that it reached; what has come is still read, and may hold the answer's end."""
        self._close(Ending(How.TOO_MUCH, why=why))

    def lost(self, error: OSError | None) -> None:
        connection = self._connection
        assert connection is not None
        if self._given_up_before():
            connection.close()
            self._connection = None
            self._start_anew()
        else:
            self._close(Ending(How.LOST, error, connection.connected))

    def _given_up_before(self) -> bool:
        """Whether the server must have closed this kept connection before it got the request. Later, it is
        the request that it gave up, and that is its answer."""
        if not self._kept or self._first_byte is not None or self._sent is None:
            return False
        return time.perf_counter() - self._sent < _CROSSING

    def _start_anew(self) -> None:
        self._kept = False
        try:
            connection = self._open_new(self)
        except OSError as error:
            self._close(Ending(How.LOST, error, connected=False))
        else:
            self._send(connection)

    def _send(self, connection: Connection) -> None:
        self._connection = connection
        try:
            connection.send(self._request)
        except OSError as error:
            self._close(Ending(How.LOST, error, connected=False))

    def _look_for_text(self, stamp: float) -> None:
        """Read at once, until the first text is found. Keep a body that is no stream for its message."""
        answer = self.answer
        if self._first_byte is None:
            self._first_byte = stamp
        if not answer.pieces:
            return
        if not answer.is_wanted:
            more = answer.drop_excess()
            self._stamps = array("d", [stamp])
            if not more:
                self._close(
                    Ending(How.TOO_MUCH, why=f"a long answer came in place of {errors.wanted(self.reading)}")
                )
            return
        for piece in answer.pieces:
            self.reading.feed(piece, stamp)
        answer.pieces.clear()
        del self._stamps[:]
        if self.reading.too_much is not None:
            self._give_up(self.reading.too_much)
        elif self.reading.chunk_times:
            self._first_token_seen = True
            self._relax()
            self._tell_first_token(self.reading.chunk_times[0])

    def _relax(self) -> None:
        """Only where pieces show which chunks were read together, and so share a stamp."""
        if self._connection is not None and self.answer.chunked:
            self._connection.relax()

    def _hurry(self) -> None:
        """Pieces came closer together than a round is long, and share a stamp: let it be the last time."""
        if self._connection is not None:
            self._connection.hurry()

    def _tell_first_token(self, stamp: float) -> None:
        if self._on_first_token is not None and self._sent is not None:
            try:
                self._on_first_token(self._sent, stamp)
            except Exception:
                logging.getLogger(__name__).exception("on_first_token failed")

    def _time_out(self) -> None:
        connected = self._connection is not None and self._connection.connected
        self._close(Ending(How.TIMED_OUT, connected=connected, limit=self._timeout))

    def _close(self, ending: Ending) -> None:
        """The exchange is over; give the connection back or close it."""
        if self._ending is not None:
            return
        self._ending = ending
        self.end = time.perf_counter()
        self._timer.stop()
        self._timer.close()
        self.answer.release()
        connection, self._connection = self._connection, None
        self._request = b""
        if connection is not None and self._first_byte is not None:
            self.stamped_by_kernel = connection.stamped_by_kernel
        if connection is not None and not (ending.how is How.ANSWERED and self.answer.keep_alive):
            connection.close()
            connection = None
        self._on_over(self, connection)
