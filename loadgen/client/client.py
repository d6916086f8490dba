"""Streamed requests to one host over as many kept connections as the load needs."""

import fcntl
import logging
import os
import resource
import ssl
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import gevent
from gevent.event import Event

from common.usage import UsageError
from loadgen.client.chat_chunks import Reading
from loadgen.client.connection import Connection
from loadgen.client.deferred_parsing import Backlog
from loadgen.client.http1 import request_bytes, request_head
from loadgen.client.network import Network
from loadgen.client.outcome import Reply
from loadgen.client.poller import Rounds
from loadgen.client.stream import Held, Stream
from loadgen.client.transport import Host

_LOOK = 0.25  # seconds between two looks at the streams under way
_QUIET = 0.25  # seconds without a byte after which a stream is read as far as it came
_AT_ONCE = 256  # streams that are looked at together: some 0.1 ms
_TURN = 0.001  # s; with 0 the hub would come back before it looks at a socket
_MANY_FILES = 65536
_UNREAD = 1024  # pieces after which a stream is read before it ends, so that memory stays bounded
CANCELLED = "cancelled by the client, as the scenario asks"


class _Way:
    """To one host: what requests begin with, and the connections that are kept."""

    __slots__ = ("_client", "_context", "_host", "head", "idle")

    def __init__(self, client: "Client", host: Host, headers: Mapping[str, str], verify: bool | str) -> None:
        self._client, self._host = client, host
        self.head = request_head(host.authority, headers)
        self._context = _tls_context(verify) if host.server_name is not None else None
        self.idle: list[Connection] = []  # the last used at the end

    def target(self, path: str) -> str:
        return self._host.target(path)

    def open(self, stream: Stream) -> Connection:
        client = self._client
        connection = Connection(self._host, self._context, stream, client.rounds, client.network)
        client.connections += 1
        return connection

    def over(self, stream: Stream, connection: Connection | None) -> None:
        if connection is not None:
            connection.hurry()
            connection.owner = _Idle(connection, self.idle)
            self.idle.append(connection)
        self._client.over(stream)


class Client:
    """Make it in the process and thread whose gevent hub shall serve it. Nothing queues for a pool.

    in_flight: sent, and its `on_end` not yet done. connections: opened so far. stamps: "kernel" where the
    kernel gave those of all answers, "process" where it did not, None before the first answer. network: of
    the connections that have been closed.
    """

    def __init__(
        self,
        host: Host,
        *,
        headers: Mapping[str, str] | None = None,
        verify: bool | str = True,
        direct: Host | None = None,
    ) -> None:
        """verify: check an https server's certificate, against this CA file where it is a path. direct: the
        server itself, where the host is a gateway.

        Raises UsageError for a header that cannot be sent and a CA file that cannot be read.
        """
        self.in_flight = 0
        self.peak_in_flight = 0
        self.connections = 0
        self.stamps: str | None = None
        self.network = Network()
        self._way, *past = (_Way(self, each, headers or {}, verify) for each in (host, direct) if each)
        self._past = past[0] if past else self._way
        _make_room_for_files()
        self._backlog = Backlog(self._read)
        self.rounds = Rounds()
        self._held = Held()
        self._streams: set[Stream] = set()  # not delivered yet
        self._events_read = 0
        self._events_seen = 0
        self._empty = Event()
        self._empty.set()
        loop = gevent.get_hub().loop
        self._look, self._rest = loop.timer(_LOOK, repeat=_LOOK), loop.timer(0.0)
        self._look.start(self._look_round)
        self._to_look_at: list[Stream] = []
        self._closed = False

    def progress(self) -> tuple[int, int]:
        """SSE events seen so far, and chunks of text in the answers that have not ended; of what is not read
        yet, one for each piece that came. Others have their turn between parts of many streams."""
        streams, events, chunks = list(self._streams), self._events_read, 0
        for start in range(0, len(streams), _AT_ONCE):
            if start:
                gevent.sleep(_TURN)
            for stream in streams[start : start + _AT_ONCE]:
                unread, reading = stream.unread, stream.reading
                events += unread + reading.events
                chunks += unread + len(reading.chunk_times)
        self._events_seen = max(self._events_seen, events)
        return self._events_seen, chunks

    def send(
        self,
        path: str,
        body: bytes,
        *,
        request_id: str,
        timeout: float,
        on_end: Callable[[Reply], None],
        on_first_token: Callable[[float, float], None] | None = None,
        keep_text: bool = False,
        reading: type[Reading] = Reading,
        cancel_after: float | None = None,
        direct: bool = False,
    ) -> None:
        """POST `body`, a JSON text, to `path`. Never blocks; may be called from a greenlet or the hub.

        on_first_token gets, live, in the hub, when the request was sent and the stamp of the first text.
        on_end is called exactly once, in a greenlet. timeout: seconds for the whole exchange, from its start.
        reading: how the answer is read. cancel_after: seconds after which it is given up, UNFINISHED.
        direct: to the server itself, where the client knows it.
        """
        if self._closed:
            raise RuntimeError("the client is closed")
        way = self._past if direct else self._way
        stream = Stream(
            request_bytes(way.target(path), way.head, request_id, body),
            request_id,
            timeout,
            reading(keep_text),
            way.open,
            way.over,
            on_first_token,
            on_end,
            self._held,
        )
        self._streams.add(stream)
        self.in_flight += 1
        self.peak_in_flight = max(self.peak_in_flight, self.in_flight)
        self._empty.clear()
        stream.start(way.idle.pop() if way.idle else None)
        if cancel_after is not None:
            gevent.spawn_later(cancel_after, stream.abandon, CANCELLED)

    def abandon(self) -> None:
        """Every request still in flight ends now, as UNFINISHED, with what it has."""
        for stream in list(self._streams):
            stream.abandon()

    def give_up(self) -> None:
        """Deliver what has ended and could not be read in time, with what was read of it."""
        for stream in list(self._streams):
            stream.abandon()
            self._deliver(stream)

    def join(self, timeout: float) -> bool:
        """Wait, cooperatively, up to `timeout` seconds until nothing is in flight; whether that is so."""
        return self._empty.wait(timeout)

    def close(self) -> None:
        """Abandon what is in flight and close all connections."""
        if self._closed:
            return
        self._closed = True
        self.abandon()
        for way in (self._way, self._past):
            for connection in way.idle:
                connection.close()
            way.idle.clear()
        for timer in (self._look, self._rest):
            timer.stop()
            timer.close()
        self.rounds.close()

    def over(self, stream: Stream) -> None:
        """Nothing more will come on it; what has come is to be read."""
        if stream.stamped_by_kernel is not None and self.stamps != "process":
            self.stamps = "kernel" if stream.stamped_by_kernel else "process"
        self._backlog.add(stream)

    def _read(self, stream: Stream) -> None:
        if stream.over:
            gevent.spawn(self._deliver, stream)

    def _deliver(self, stream: Stream) -> None:
        if stream not in self._streams:  # given up meanwhile
            return
        self._streams.remove(stream)
        self._events_read += stream.reading.events
        try:
            stream.on_end(stream.reply())
        except Exception:
            logging.getLogger(__name__).exception("on_end failed")
        finally:
            self.in_flight -= 1
            if not self.in_flight:
                self._empty.set()

    def _look_round(self) -> None:
        """Read long streams before they end, and silent ones: after [DONE] a server may hang."""
        if not self._to_look_at:
            self._to_look_at = list(self._streams)
            self._look_at_some()

    def _look_at_some(self) -> None:
        """At a part of them; the rest has its turn after whatever else is due."""
        before, some = time.perf_counter() - _QUIET, self._to_look_at[-_AT_ONCE:]
        del self._to_look_at[-_AT_ONCE:]
        if self._to_look_at:
            self._rest.start(self._look_at_some)
        for stream in some:
            if stream.over:
                continue
            quiet = stream.quiet_since(before)
            if stream.reading.done and (quiet or stream.done_before):
                stream.finish()  # whatever else comes, it is no part of the answer
            elif stream.unread > (0 if quiet or stream.comments else _UNREAD):
                self._backlog.add(stream)
            stream.done_before = stream.reading.done


class _Idle:
    """Owns a connection that waits for its next request: whatever comes on it now is its end."""

    def __init__(self, connection: Connection, pool: list[Connection]) -> None:
        self._connection, self._pool = connection, pool

    def received(self, data: bytes, stamp: float) -> None:
        self.lost(None)

    def lost(self, error: OSError | None) -> None:
        self._pool.remove(self._connection)
        self._connection.close()


def _tls_context(verify: bool | str) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=verify if isinstance(verify, str) else None)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(f"CA file {verify}: cannot be read: {error.strerror or error}") from None
    if verify is False:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _make_room_for_files() -> None:
    """Let the kernel enlarge this process's table of open files now and not in the middle of a run: each
    doubling can take 20 ms, in which no stamp is taken (it waits for the other threads)."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = (_MANY_FILES if limit == resource.RLIM_INFINITY else min(limit, _MANY_FILES)) - 1
    with Path(os.devnull).open() as file:
        os.close(fcntl.fcntl(file.fileno(), fcntl.F_DUPFD_CLOEXEC, highest))
