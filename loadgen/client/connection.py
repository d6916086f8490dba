"""A connection to the host, kept open from one request to the next."""

import logging
import ssl
from typing import Protocol

from gevent import get_hub

from loadgen.client.network import Network
from loadgen.client.poller import Rounds
from loadgen.client.transport import Host, open_transport

_READ, _WRITE = 1, 2  # of libev


class Owner(Protocol):
    """Who uses a connection at the moment."""

    def received(self, data: bytes, stamp: float) -> None:
        """Bytes came; `stamp` is `time.perf_counter()` when the kernel had the last of them, or, where it
        does not say, right after they were read."""

    def lost(self, error: OSError | None) -> None:
        """The connection has ended and is to be closed; None: the server closed it in good order."""


class Connection:
    """Not connected before the first `send`. The owner is told of everything inside the hub.

    The event loop calls back for each socket that is ready. A greenlet per stream would cost two switches
    for every chunk, and its stamp would wait for those that were scheduled before it.
    """

    __slots__ = ("_in_rounds", "_network", "_reader", "_rounds", "_transport", "_writer", "owner")

    def __init__(
        self,
        host: Host,
        context: ssl.SSLContext | None,
        owner: Owner,
        rounds: Rounds,
        network: Network,
    ) -> None:
        """network: counts the connection when it is closed. Raises OSError where no socket can be had."""
        self._transport = open_transport(host, context)
        self._rounds, self._network = rounds, network
        self._in_rounds = False
        loop = get_hub().loop
        self._reader = loop.io(self._transport.fd, _READ)
        self._writer = loop.io(self._transport.fd, _WRITE)  # runs while something waits to be sent
        self.owner = owner

    @property
    def connected(self) -> bool:
        return self._transport.connected

    @property
    def stamped_by_kernel(self) -> bool:
        return self._transport.stamped_by_kernel

    def relax(self) -> None:
        """What comes from now on may wait for the next round, where its stamp does not suffer."""
        if self._reader.active and self._transport.stamped_by_kernel:
            self._reader.stop()
            self._rounds.add(self._transport.fd, self._readable)
            self._in_rounds = True

    def hurry(self) -> None:
        """What comes from now on is read at once."""
        if self._in_rounds:
            self._rounds.remove(self._transport.fd)
            self._in_rounds = False
            self._reader.start(self._readable)

    def send(self, data: bytes) -> None:
        """Send `data`, connecting first where that is still to do.

        Raises OSError where no connection can be made. What happens to one that had been made, `lost` will
        say: there may be an answer to read before its end.
        """
        if not self._reader.active and not self._in_rounds:
            self._transport.connect()
            self._reader.start(self._readable)
        self._write(data)

    def close(self) -> None:
        self.hurry()
        for watcher in (self._reader, self._writer):
            watcher.stop()
            watcher.close()
        self._transport.close(self._network)
        del self.owner  # they refer to each other: nothing is left to the cyclic collector

    def _write(self, data: bytes = b"") -> None:
        try:
            self._transport.send(data)
            writing = self._transport.wants_write
        except OSError:
            if not self._transport.connected:
                raise
            writing = False
        self._watch(writing)

    def _watch(self, writing: bool) -> None:
        if writing and not self._writer.active:
            self._writer.start(self._writable)
        elif not writing:
            self._writer.stop()

    def _writable(self) -> None:
        try:
            self._write()
        except OSError as error:
            self.owner.lost(error)

    def _readable(self) -> None:
        try:
            try:
                data = self._transport.receive()
            except OSError as error:
                self.owner.lost(error)
                return
            if data:
                self.owner.received(data, self._transport.stamp)
            elif data is None:
                self._watch(self._transport.wants_write)  # a TLS handshake may have more to say
            else:
                self.owner.lost(None)
        except Exception:  # a fault of ours: without this the loop would come back to it at once, for ever
            logging.getLogger(__name__).exception("what came on a connection could not be taken")
            self.hurry()
            self._reader.stop()
