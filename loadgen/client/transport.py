"""Bytes to and from a server over a non-blocking socket, plain or TLS."""

import errno
import os
import socket
import ssl
import time
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from gevent import monkey

from common.redact import redact
from common.usage import UsageError
from loadgen.client.kernel_timestamps import SPACE, KernelStamps
from loadgen.client.network import Network

_socket = monkey.get_original("socket", "socket")  # gevent's own would wait cooperatively
_READ_SIZE = 65536
_PROBE_LIMIT = 1.0  # seconds
_QUERY = "/%:@!$'()*+,;=~?&"
_PATH = "/%:@!$&'()*+,;=~"  # what stands for itself in a path (RFC 3986), or is quoted already
_AFTER_CONNECTING = (errno.ECONNRESET, errno.EPIPE)  # errors that only a connection has


@dataclass(frozen=True)
class Host:
    """Where the server is, resolved once, so that no name look-up falls into the run."""

    url: str
    family: int
    address: tuple
    authority: str  # for the Host header
    server_name: str | None  # for TLS; None for plain http
    base_path: str
    query: str = ""  # goes with each request

    def target(self, path: str) -> str:
        """What a request for `path` names."""
        mark = "&" if "?" in path else "?"
        return f"{self.base_path}{path}{mark}{self.query}" if self.query else self.base_path + path

    @classmethod
    def resolve(cls, url: str) -> "Host":
        """Look up `http(s)://name[:port][/base][?query]`. Raises UsageError for what leads nowhere."""
        try:
            parts = urlsplit(url)
        except ValueError as error:
            raise UsageError(f"host {url!r}: {error}") from None
        try:
            port = (443 if parts.scheme == "https" else 80) if parts.port is None else parts.port
        except ValueError:
            port = 0
        if not port:
            raise UsageError(f"host {url!r}: the port is not a number from 1 to 65535")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError(f"host {url!r}: must look like http://127.0.0.1:8000")
        if parts.username or parts.password:
            raise UsageError("host: a password in the URL is not accepted; set OPENAI_API_KEY instead")
        if parts.fragment or redact(f"?{parts.query}") != f"?{parts.query}":  # it would be kept with the run
            raise UsageError("host: holds a key or a '#'; set OPENAI_API_KEY, or give --header 'Name: value'")
        try:
            found = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:  # UnicodeError: no name at all
            why = getattr(error, "strerror", None) or "it is no host name"
            raise UsageError(f"host {url!r}: the name {parts.hostname!r} cannot be resolved: {why}") from None
        family, address = _choose([(each[0], each[4]) for each in found])
        name = parts.hostname if parts.scheme == "https" else None
        path = quote(parts.path, safe=_PATH).rstrip("/")
        return cls(url, family, address, parts.netloc, name, path, quote(parts.query, safe=_QUERY))


def joined(url: str, path: str) -> str:
    """The URL of `path` below another, whose query it keeps."""
    base, mark, query = url.partition("?")
    return base.rstrip("/") + path + mark + query


def _choose(places: list[tuple[int, tuple]]) -> tuple[int, tuple]:
    """The first place that takes a connection, or else the first: `localhost` is often ::1 as well as
    127.0.0.1, and the server listens on one of them only."""
    if len(places) == 1:
        return places[0]
    for family, address in places:
        with _socket(family, socket.SOCK_STREAM) as probe:
            probe.settimeout(_PROBE_LIMIT)
            if probe.connect_ex(address) == 0:
                return family, address
    return places[0]


class Transport:
    """One plain TCP connection. `connect`, `send` and `receive` never block.

    stamp: `time.perf_counter()` when what `receive` gave last had come.
    """

    def __init__(self, host: Host) -> None:
        self._sock = _socket(host.family, socket.SOCK_STREAM)
        self._sock.setblocking(False)
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._kernel = KernelStamps.ask(self._sock)
        self._address = host.address
        self._outgoing = b""
        self.stamp = 0.0
        self.connected = False
        self.fd = self._sock.fileno()

    def connect(self) -> None:
        """Start to connect. Raises OSError where that fails at once."""
        code = self._sock.connect_ex(self._address)
        if code == 0:
            self.connected = True
        elif code not in (errno.EINPROGRESS, errno.EAGAIN):
            raise OSError(code, os.strerror(code))

    def send(self, data: bytes = b"") -> bool:
        """Send `data` after what still waits; True when everything has left. Raises OSError."""
        self._outgoing += data
        if not self.connected:
            code = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code in _AFTER_CONNECTING:  # it may have answered before; the reader will see
                self.connected, self._outgoing = True, b""
                return True
            if code:
                raise OSError(code, os.strerror(code))
            try:
                self._sock.getpeername()
            except OSError:
                return False
            self.connected = True
        return self._flush()

    def receive(self) -> bytes | None:
        """What has come: bytes, b"" at the end of the stream, None when nothing is there yet."""
        try:
            if self._kernel is None:
                data = self._sock.recv(_READ_SIZE)
                self.stamp = time.perf_counter()
            else:
                data, ancillary, _, _ = self._sock.recvmsg(_READ_SIZE, SPACE)
                self.stamp = self._kernel.read(ancillary)
        except BlockingIOError:
            return None
        return data

    @property
    def stamped_by_kernel(self) -> bool:
        """Whether the last stamp is the kernel's, and so does not depend on when it was read."""
        return self._kernel is not None and self._kernel.given

    @property
    def wants_write(self) -> bool:
        return bool(self._outgoing) or not self.connected

    def close(self, network: Network) -> None:
        network.add(self._sock)
        self._sock.close()

    def _flush(self) -> bool:
        while self._outgoing:
            try:
                sent = self._sock.send(self._outgoing)
            except BlockingIOError:
                return False
            self._outgoing = self._outgoing[sent:]
        return True


class TlsTransport(Transport):
    """The same over TLS, with the handshake and the records kept in memory buffers."""

    def __init__(self, host: Host, context: ssl.SSLContext) -> None:
        super().__init__(host)
        self._incoming = ssl.MemoryBIO()
        self._encrypted = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._encrypted, server_hostname=host.server_name)
        self._plain = b""
        self._shaken = False

    def send(self, data: bytes = b"") -> bool:
        self._plain += data
        if not self.connected and not super().send():
            return False
        self._progress()
        return self._flush() and not self._plain

    def receive(self) -> bytes | None:
        raw = super().receive()
        if raw is None:
            return None
        if raw:
            self._incoming.write(raw)
        else:
            self._incoming.write_eof()
        self._progress()
        self._flush()
        return self._decrypt() if self._shaken else None

    def _progress(self) -> None:
        try:
            if not self._shaken:
                self._tls.do_handshake()
                self._shaken = True
            if self._plain:
                self._tls.write(self._plain)
                self._plain = b""
        except ssl.SSLWantReadError:
            pass
        finally:
            self._outgoing += self._encrypted.read()

    def _decrypt(self) -> bytes | None:
        pieces = []
        try:
            while piece := self._tls.read(_READ_SIZE):
                pieces.append(piece)
            return b"".join(pieces)
        except ssl.SSLWantReadError:
            return b"".join(pieces) or None
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return b"".join(pieces)


def open_transport(host: Host, context: ssl.SSLContext | None) -> Transport:
    """A transport for `host`, TLS when it is https; not yet connecting."""
    return TlsTransport(host, context) if context is not None else Transport(host)
