"""The HTTP side of one exchange: the request's bytes, and the answer as httptools frames it."""

from collections.abc import Mapping
from http import HTTPStatus

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from common.usage import UsageError

_NO_STREAMS = ("json", "html", "xml")
_HEAD_MOST = 256 * 1024  # bytes before the body; servers and proxies themselves take 8 to 64 KiB
_TRAILERS_MOST = 100
_BODY_KEPT = 65536  # bytes of an answer that is no stream; its message stands at the start
_DEFAULTS = {
    "User-Agent": "tokenswarm",
    "Accept": "text/event-stream",
    "Accept-Encoding": "identity",
    "Content-Type": "application/json",
}


def request_head(authority: str, headers: Mapping[str, str]) -> bytes:
    """The header lines that all requests to a host share. Raises UsageError for what HTTP cannot carry."""
    chosen = {name.lower(): (name, value) for name, value in {**_DEFAULTS, "Host": authority}.items()}
    chosen |= {name.lower(): (name, value) for name, value in headers.items()}
    lines = [f"{name}: {value}\r\n" for name, value in chosen.values()]
    for line in lines:
        if not line[:-2].isprintable() or not line.isascii():
            raise UsageError(f"header {line.partition(':')[0]!r}: only printable ASCII can be sent")
    return "".join(lines).encode("ascii")


def request_bytes(path: str, head: bytes, request_id: str, body: bytes) -> bytes:
    """A whole POST request."""
    return b"POST %b HTTP/1.1\r\n%bX-Request-Id: %b\r\nContent-Length: %d\r\n\r\n%b" % (
        path.encode("ascii"),
        head,
        request_id.encode("ascii"),
        len(body),
        body,
    )


class Answer:
    """An answer that is coming in. `feed` it; look at `complete`, and at `ends_with_connection` at the end.

    pieces: the body's parts that came since somebody took them away. status: None until the headers are
    in; interim answers (100, 103) are passed over.
    """

    __slots__ = (
        "_head",
        "_parser",
        "_trailers",
        "_whole",
        "complete",
        "headers",
        "keep_alive",
        "on_body",
        "pieces",
        "status",
    )

    def __init__(self, whole: bool = False) -> None:
        """whole: one JSON text was asked for, not a stream."""
        self._whole = whole
        self.status: int | None = None
        self.headers: dict[bytes, bytes] = {}  # names in lower case
        self.pieces: list[bytes] = []
        self.complete = False
        self.keep_alive = False
        self._head = self._trailers = 0
        self.on_body = self.pieces.append  # httptools calls it: no Python code runs for a piece
        self._parser: HttpResponseParser | None = HttpResponseParser(self)

    @property
    def overlong_head(self) -> bool:
        """Whether more came before the body than any head has."""
        return self._head > _HEAD_MOST

    def feed(self, data: bytes) -> bool:
        """Take bytes from the connection; False: they are not HTTP, and nothing more can be read."""
        assert self._parser is not None
        if self.status is None:
            self._head += len(data)
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade):
            self.keep_alive = False
            return self.complete  # else it is about what follows an answer, which nobody asked for
        return True

    def release(self) -> None:
        """Let go of the parser, which refers back to here: nothing is left to the cyclic collector."""
        self._parser = None

    @property
    def is_wanted(self) -> bool:
        """Whether the body is to be read: a success that does not say to be something else than was asked."""
        if self.status != HTTPStatus.OK or self.encoding:
            return False
        if self._whole:
            return self.content_type.endswith("json")
        return not self.content_type.endswith(_NO_STREAMS)

    @property
    def content_type(self) -> str:
        """Without parameters, in lower case; empty when it was not given."""
        return self.headers.get(b"content-type", b"").partition(b";")[0].strip().lower().decode("latin-1")

    @property
    def encoding(self) -> bytes:
        """How the body is compressed; empty when it is not."""
        encoding = self.headers.get(b"content-encoding", b"").lower()
        return b"" if encoding in (b"identity", b"none") else encoding

    @property
    def chunked(self) -> bool:
        """Whether the body is framed in chunks, one for each write of the server."""
        return b"chunked" in self.headers.get(b"transfer-encoding", b"").lower()

    @property
    def ends_with_connection(self) -> bool:
        """Whether the body is as long as the connection lasts, so that its close is no fault."""
        return self.status is not None and b"content-length" not in self.headers and not self.chunked

    def body(self) -> bytes:
        """What came of a body that is no stream, its first 64 KiB."""
        return b"".join(self.pieces)[:_BODY_KEPT]

    def drop_excess(self) -> bool:
        """Keep no more of a body that is no stream than somebody would read; False: nobody reads the rest."""
        if len(self.pieces) > 1:
            self.pieces[:] = [self.body()]
        return len(self.pieces[0]) < _BODY_KEPT

    # What follows is called by httptools.

    def on_message_begin(self) -> None:
        if self.complete:
            raise ValueError("nobody asked for another answer")

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.status is None:
            self.headers[name.lower()] = value
            return
        self._trailers += 1
        if self._trailers > _TRAILERS_MOST:
            raise ValueError("trailers without end")

    def on_headers_complete(self) -> None:
        assert self._parser is not None
        status = self._parser.get_status_code()
        if status >= 200:
            self.status = status
        else:
            self.headers.clear()

    def on_message_complete(self) -> None:
        if self.status is not None:
            assert self._parser is not None
            self.complete = True
            self.keep_alive = self._parser.should_keep_alive()
