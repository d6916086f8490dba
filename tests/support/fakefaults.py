"""What the fake server can do, by name: every fault and every oddity a client has to live with."""

import gzip
import json
import time
from collections.abc import Callable

from tests.support import fakestreams
from tests.support.fakereply import CHUNKED, Reply

Behaviour = Callable[[Reply], None]
BEHAVIOURS: dict[str, Behaviour] = {}
_HALF = fakestreams.BODIES["plain"][:3]


def behaviour(name: str) -> Callable[[Behaviour], Behaviour]:
    def register(function: Behaviour) -> Behaviour:
        BEHAVIOURS[name] = function
        return function

    return register


def _streams(body: list[bytes]) -> Behaviour:
    def reply_with_body(reply: Reply) -> None:
        reply.stream_head()
        reply.pieces(body)
        reply.end()

    return reply_with_body


def _answers(status: str, kind: str, message: str, *headers: str) -> Behaviour:
    def reply_with_error(reply: Reply) -> None:
        error = {"message": message, "type": kind, "param": None, "code": int(status[:3])}
        reply.whole(status, json.dumps({"error": error}).encode(), *headers)

    return reply_with_error


BEHAVIOURS |= {name: _streams(body) for name, body in (fakestreams.BODIES | fakestreams.TYPED).items()}
BEHAVIOURS |= {
    "status-400": _answers("400 Bad Request", "BadRequestError", "max_tokens is too large"),
    "status-401": _answers("401 Unauthorized", "Unauthorized", "wrong key"),
    "status-404": _answers("404 Not Found", "NotFoundError", "The model `fake` does not exist."),
    "status-429": _answers("429 Too Many Requests", "RateLimit", "slow down", "retry-after: 7"),
    "status-500": _answers("500 Internal Server Error", "InternalServerError", "the engine died"),
    "status-503": _answers("503 Service Unavailable", "ServiceUnavailable", "loading the model"),
}


@behaviour("embeddings")
def _embeddings(reply: Reply) -> None:
    body = {
        "object": "list",
        "data": [{"index": 0, "embedding": [0.25] * 4096}],
        "usage": {"prompt_tokens": 3},
    }
    reply.whole("200 OK", json.dumps(body).encode())


@behaviour("rerank")
def _rerank(reply: Reply) -> None:
    body = {"results": [{"index": 0, "relevance_score": 0.5}], "usage": {"total_tokens": 30}}
    reply.whole("200 OK", json.dumps(body).encode())


@behaviour("normal")
def _normal(reply: Reply) -> None:
    reply.stream_head()
    reply.pieces(fakestreams.normal(int(reply.request.body.get("max_tokens", 5))))
    reply.end()


def _quotation(reply: Reply) -> bytes:
    """As OpenAI's API says of a wrong key; and it would clear the screen."""
    said = f"\x1b[2JIncorrect API key provided: {reply.request.headers.get('authorization', 'none')}."
    return json.dumps({"error": {"message": said, "type": "invalid_request_error", "code": 401}}).encode()


@behaviour("quotes-the-key")
def _quotes_the_key(reply: Reply) -> None:
    reply.whole("401 Unauthorized", _quotation(reply))


@behaviour("quotes-the-key-in-a-stream")
def _quotes_the_key_in_a_stream(reply: Reply) -> None:
    reply.stream_head()
    reply.piece(b"data: " + _quotation(reply) + b"\n\n")
    reply.end()


@behaviour("status-502-html")
def _bad_gateway(reply: Reply) -> None:
    page = b"<html><body><h1>502 Bad Gateway</h1></body></html>"
    reply.whole("502 Bad Gateway", page, content_type="text/html")


@behaviour("json-in-place-of-a-stream")
def _no_stream(reply: Reply) -> None:
    choice = {"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}
    reply.whole("200 OK", json.dumps({"id": "chatcmpl-1", "choices": [choice]}).encode())


@behaviour("reset-before-headers")
def _reset_before_headers(reply: Reply) -> None:
    reply.reset()


@behaviour("reset-inside-headers")
def _reset_inside_headers(reply: Reply) -> None:
    reply.raw(b"HTTP/1.1 200 OK\r\ncontent-ty")
    reply.settle()
    reply.reset()


@behaviour("reset-after-headers")
def _reset_after_headers(reply: Reply) -> None:
    reply.stream_head()
    reply.settle()
    reply.reset()


@behaviour("reset-between-chunks")
def _reset_between_chunks(reply: Reply) -> None:
    reply.stream_head()
    reply.pieces(_HALF)
    reply.settle()
    reply.reset()


@behaviour("reset-inside-chunk")
def _reset_inside_chunk(reply: Reply) -> None:
    reply.stream_head()
    reply.pieces(_HALF)
    reply.raw(b'80\r\ndata: {"id":"chatcmpl-1","choi')
    reply.settle()
    reply.reset()


@behaviour("close-before-headers")
def _close_before_headers(reply: Reply) -> None:
    reply.keep = False


@behaviour("close-late-before-headers")
def _close_late_before_headers(reply: Reply) -> None:
    """It took the request, and gave it up."""
    time.sleep(0.4)
    reply.keep = False


@behaviour("unasked-answer")
def _unasked_answer(reply: Reply) -> None:
    """A proxy's word about an idle connection, in one write with the answer's end."""
    reply.stream_head()
    reply.pieces(fakestreams.normal(5))
    reply.raw(b"0\r\n\r\nHTTP/1.1 408 Request Timeout\r\ncontent-length: 3\r\n\r\nbye")
    reply.keep = False


@behaviour("close-after-headers")
def _close_after_headers(reply: Reply) -> None:
    reply.stream_head()
    reply.keep = False


@behaviour("close-between-chunks")
def _close_between_chunks(reply: Reply) -> None:
    reply.stream_head()
    reply.pieces(_HALF)
    reply.keep = False


@behaviour("close-inside-chunk")
def _close_inside_chunk(reply: Reply) -> None:
    reply.stream_head()
    reply.pieces(_HALF)
    reply.raw(b'80\r\ndata: {"id":"chatcmpl-1","choi')
    reply.keep = False


@behaviour("close-without-last-chunk")
def _close_without_last_chunk(reply: Reply) -> None:
    """All events came, [DONE] too; only HTTP's last, empty chunk is missing."""
    reply.stream_head()
    reply.pieces(fakestreams.BODIES["plain"])
    reply.keep = False


@behaviour("hang-before-headers")
def _hang_before_headers(reply: Reply) -> None:
    reply.hang()


@behaviour("hang-before-first-byte")
def _hang_before_first_byte(reply: Reply) -> None:
    reply.stream_head()
    reply.hang()


@behaviour("hang-mid-stream")
def _hang_mid_stream(reply: Reply) -> None:
    reply.stream_head()
    reply.pieces(_HALF)
    reply.hang()


@behaviour("hang-after-done")
def _hang_after_done(reply: Reply) -> None:
    reply.stream_head()
    reply.pieces(fakestreams.BODIES["plain"])
    reply.hang()


@behaviour("endless")
def _endless(reply: Reply) -> None:
    """Never silent and never done."""
    reply.stream_head()
    reply.piece(fakestreams.ROLE)
    while True:
        reply.wait_until(time.perf_counter() + max(reply.server.tpot, 0.01))
        reply.piece(fakestreams.chunk({"content": " on"}))


@behaviour("every-byte")
def _every_byte(reply: Reply) -> None:
    """Each byte of the body is an HTTP chunk and a packet of its own."""
    reply.stream_head()
    for value in b"".join(fakestreams.BODIES["plain"]):
        reply.piece(bytes([value]))
    reply.end()


@behaviour("every-raw-byte")
def _every_raw_byte(reply: Reply) -> None:
    """Each byte, of headers and framing too, is a packet of its own."""
    body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in fakestreams.BODIES["plain"])
    head = f"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n{CHUNKED}\r\n\r\n"
    for value in head.encode() + body + b"0\r\n\r\n":
        reply.raw(bytes([value]))


@behaviour("slow-bytes")
def _slow_bytes(reply: Reply) -> None:
    """A byte every `byte_period` seconds, for ever (there is always another keep-alive)."""
    reply.stream_head()
    while True:
        for value in b"".join(_HALF) + b": keep-alive\n\n":
            reply.wait_until(time.perf_counter() + reply.server.byte_period)
            reply.piece(bytes([value]))


@behaviour("gzip")
def _gzip(reply: Reply) -> None:
    reply.stream_head("content-encoding: gzip")
    reply.piece(gzip.compress(b"".join(fakestreams.BODIES["plain"])))
    reply.end()


@behaviour("redirect")
def _redirect(reply: Reply) -> None:
    location = reply.request.path.replace("/redirect", "/normal", 1)
    reply.whole("307 Temporary Redirect", b"", f"location: {location}")


@behaviour("connection-close")
def _connection_close(reply: Reply) -> None:
    reply.stream_head("connection: close")
    reply.pieces(fakestreams.BODIES["plain"])
    reply.end()
    reply.keep = False


@behaviour("silent-close")
def _silent_close(reply: Reply) -> None:
    """Answers well, then closes although the client may keep the connection."""
    _normal(reply)
    reply.keep = False


@behaviour("content-length")
def _content_length(reply: Reply) -> None:
    body = fakestreams.BODIES["plain"]
    length = sum(map(len, body))
    reply.head("200 OK", "content-type: text/event-stream", f"content-length: {length}")
    reply.pieces(body)


@behaviour("content-length-too-short")
def _content_length_too_short(reply: Reply) -> None:
    """Fewer bytes than the header promised."""
    reply.head("200 OK", "content-type: text/event-stream", "content-length: 100000")
    reply.pieces(_HALF)
    reply.keep = False


@behaviour("http-1.0")
def _http_1_0(reply: Reply) -> None:
    """No framing: the body ends where the connection does."""
    reply.head("200 OK", "content-type: text/event-stream", version="1.0")
    reply.pieces(fakestreams.BODIES["plain"])
    reply.end()


@behaviour("continue-100")
def _continue_100(reply: Reply) -> None:
    reply.raw(b"HTTP/1.1 100 Continue\r\n\r\n")
    reply.settle()
    _normal(reply)


@behaviour("early-hints-103")
def _early_hints(reply: Reply) -> None:
    reply.raw(b"HTTP/1.1 103 Early Hints\r\nlink: </x>; rel=preload\r\n\r\n")
    _normal(reply)


@behaviour("chunk-extensions-and-trailers")
def _extensions(reply: Reply) -> None:
    reply.stream_head()
    for piece in fakestreams.BODIES["plain"]:
        reply.raw(b"%X;name=value\r\n%b\r\n" % (len(piece), piece))
    reply.raw(b"0\r\nx-checksum: 17\r\n\r\n")


@behaviour("not-http")
def _not_http(reply: Reply) -> None:
    reply.raw(b"SSH-2.0-OpenSSH_9.2\r\n")
    reply.keep = False


@behaviour("bad-chunk-size")
def _bad_chunk_size(reply: Reply) -> None:
    reply.stream_head()
    reply.pieces(_HALF)
    reply.raw(b"zz\r\ndata: x\n\n\r\n")
    reply.settle()
    reply.keep = False
