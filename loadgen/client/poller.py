"""Sockets that are read in rounds, so that one wake-up of the process serves many of them.

Being woken for a chunk costs more than reading it. Only for sockets whose stamps the kernel keeps: a chunk
may wait here for a whole period.
"""

from collections.abc import Callable

from gevent import get_hub, monkey

_PERIOD = 0.002  # s; chunks of one stream that come closer together would share a stamp
_AT_ONCE = 32  # sockets after which whatever else is due (a send) has its turn before the rest

_select = monkey.get_original("select", ["epoll", "EPOLLIN"])  # gevent takes them from the module


class Rounds:
    """Runs while it has a socket. Everything is called inside the hub."""

    def __init__(self) -> None:
        epoll, self._ready = _select
        self._epoll = epoll()
        self._readers: dict[int, Callable[[], None]] = {}
        loop = get_hub().loop
        self._timer = loop.timer(_PERIOD, repeat=_PERIOD)
        self._rest = loop.timer(0.0)

    def add(self, fd: int, reader: Callable[[], None]) -> None:
        """From now on `reader` is called in each round that finds something to read on `fd`."""
        if not self._readers:
            self._timer.start(self._round, update=True)
        self._readers[fd] = reader
        self._epoll.register(fd, self._ready)

    def remove(self, fd: int) -> None:
        self._epoll.unregister(fd)
        del self._readers[fd]
        if not self._readers:
            self._stop()

    def close(self) -> None:
        self._stop()
        self._timer.close()
        self._rest.close()
        self._epoll.close()

    def _stop(self) -> None:
        self._timer.stop()
        self._rest.stop()

    def _round(self) -> None:
        readers, ready = self._readers, self._epoll.poll(0, _AT_ONCE)
        if len(ready) == _AT_ONCE:
            self._rest.start(self._round)
        for fd, _ in ready:
            reader = readers.get(fd)  # one before it in this round may have closed it
            if reader is not None:
                reader()
