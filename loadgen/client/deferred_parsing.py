"""Streams whose stored events wait to be read, in slices, while no socket has anything for us.

An idle watcher of the event loop runs only when nothing else is pending, so a slice delays a stamp by its
own length at most. (A callback that schedules itself does not do: gevent runs such callbacks for up to
5 ms before it looks at a socket again.)
"""

import logging
import time
from collections import deque
from collections.abc import Callable

from gevent import get_hub

from loadgen.client.stream import Stream

_SLICE = 0.0001  # seconds
_AT_ONCE = 8  # pieces between two looks at the clock
_RATION = 0.005  # seconds after which a slice is due even if sockets never rest


class Backlog:
    """Reads streams, in order. `on_read` gets each one when it has been read as far as it has come."""

    def __init__(self, on_read: Callable[[Stream], None]) -> None:
        self._on_read = on_read
        self._queue: deque[Stream] = deque()
        self._waiting: set[Stream] = set()
        loop = get_hub().loop
        self._idle = loop.idle()
        self._ration = loop.timer(_RATION, repeat=_RATION)

    def add(self, stream: Stream) -> None:
        if stream in self._waiting:
            return
        if not self._queue:
            self._idle.start(self._slice)
            self._ration.start(self._slice, update=True)
        self._queue.append(stream)
        self._waiting.add(stream)

    def _slice(self) -> None:
        queue, clock = self._queue, time.perf_counter
        deadline = clock() + _SLICE
        while queue:
            if not self._read(queue[0]):
                stream = queue.popleft()
                self._waiting.discard(stream)
                self._on_read(stream)
            if clock() > deadline:
                break
        if not queue:
            self._idle.stop()
            self._ration.stop()

    def _read(self, stream: Stream) -> bool:
        try:
            return stream.read(_AT_ONCE)
        except Exception:  # a fault of ours: say it, and let nobody wait for this stream
            logging.getLogger(__name__).exception("a stream could not be read")
            return False
