"""Every fault of one request has its status and its reason, and nothing waits for ever."""

import time
from collections.abc import Iterator

import pytest

from loadgen.api.kind import KINDS
from loadgen.records.record import COMPLETED, EMPTY, FAILED
from tests.support.fakechat import chat
from tests.support.fakefaults import BEHAVIOURS
from tests.support.fakeserver import FakeServer, answering, unanswering_port
from tests.support.fakestreams import WORDS
from tests.support.ports import refusing

_TIMED_OUT = "timed out after 1 s"
_FAULTS = {  # behaviour: status, error
    "status-400": (400, "HTTP 400: max_tokens is too large"),
    "status-401": (401, "HTTP 401: wrong key"),
    "quotes-the-key": (401, "HTTP 401: \x1b[2JIncorrect API key provided: none."),
    "quotes-the-key-in-a-stream": (
        200,
        "error in the stream: \x1b[2JIncorrect API key provided: none. (code 401)",
    ),
    "status-404": (404, "HTTP 404: The model `fake` does not exist."),
    "status-429": (429, "HTTP 429: slow down (retry after 7 s)"),
    "status-500": (500, "HTTP 500: the engine died"),
    "status-503": (503, "HTTP 503: loading the model"),
    "status-502-html": (502, "HTTP 502: 502 Bad Gateway"),
    "json-in-place-of-a-stream": (200, "JSON came in place of a stream: a whole completion"),
    "reset-before-headers": (None, "connection reset before the headers"),
    "reset-inside-headers": (None, "connection reset inside the headers"),
    "reset-after-headers": (200, "connection reset after the headers"),
    "reset-between-chunks": (200, "connection reset between events"),
    "reset-inside-chunk": (200, "connection reset inside an event"),
    "close-before-headers": (None, "connection closed by the server before the headers"),
    "close-late-before-headers": (None, "connection closed by the server before the headers"),
    "close-after-headers": (200, "connection closed by the server after the headers"),
    "close-between-chunks": (200, "connection closed by the server between events"),
    "close-inside-chunk": (200, "connection closed by the server inside an event"),
    "content-length-too-short": (200, "connection closed by the server between events"),
    "hang-before-headers": (None, f"{_TIMED_OUT} (waiting for headers)"),
    "hang-before-first-byte": (200, f"{_TIMED_OUT} (waiting for the first token)"),
    "hang-mid-stream": (200, f"{_TIMED_OUT} (mid-stream)"),
    "endless": (200, f"{_TIMED_OUT} (mid-stream)"),
    "slow-bytes": (200, f"{_TIMED_OUT} (waiting for the first token)"),
    "gzip": (200, "HTTP 200: the answer is compressed (gzip) though identity was asked for"),
    "redirect": (
        307,
        "HTTP 307: redirects to /normal/v1/chat/completions, which is not followed; "
        "give the final URL as host",
    ),
    "not-http": (None, "the answer is not HTTP"),
    "bad-chunk-size": (200, "the answer's HTTP framing is broken"),
    "error-event": (200, "error in the stream: the engine died (code 500)"),
    "error-mid-stream": (200, "error in the stream: the engine died (code 500)"),
    "cut-short": (200, "the stream ended without a finish reason and without [DONE]"),
    "empty-stream": (200, "the stream was empty"),
    "only-done": (200, "the stream was empty"),
}
_REMARKS = dict.fromkeys(("bad-json", "not-an-object"), "an event in the stream was malformed")
_TEXTS = {
    "normal": " t0 t1 t2 t3 t4",
    "silent-close": " t0 t1 t2 t3 t4",
    "continue-100": " t0 t1 t2 t3 t4",
    "early-hints-103": " t0 t1 t2 t3 t4",
    "unasked-answer": " t0 t1 t2 t3 t4",
    "no-finish": "Hello",
    "role-only": "",
    "reasoning-content": "",
    "tool-calls": "",
    "two-data-lines": "Hello, two wörld 🌍!",
    "multi-token": "one two three four five six",
    "megabyte-event": "x" * 1_000_000 + "!",
}
_TOKENS = {
    "no-finish": 1,
    "role-only": 0,
    "tool-calls": 9,
    "two-data-lines": 6,
    "multi-token": 6,
    "megabyte-event": 2,
    "reasoning": 7,
}


@pytest.fixture(scope="module")
def server() -> Iterator[FakeServer]:
    with FakeServer() as started:
        yield started


@pytest.fixture(scope="module")
def tls_server() -> Iterator[FakeServer]:
    with FakeServer(tls=True) as started:
        yield started


@pytest.mark.parametrize("name", sorted(_FAULTS))
def test_a_fault(server: FakeServer, name: str) -> None:
    timed_out = _FAULTS[name][1].startswith(_TIMED_OUT)
    begun = time.perf_counter()
    reply = chat(server.url(name), timeout=1.0 if timed_out else 100.0)
    assert (reply.status, reply.http_status, reply.error) == (FAILED, *_FAULTS[name])
    assert reply.sent is not None and reply.sent <= reply.end
    if timed_out:
        assert 0.95 <= reply.end - begun < 100  # the limit is of the whole exchange, connecting included


@pytest.mark.parametrize("name", sorted(BEHAVIOURS.keys() - _FAULTS.keys() - KINDS.keys()))
def test_an_oddity_that_is_no_fault(server: FakeServer, name: str) -> None:
    reply = chat(server.url(name))
    status = EMPTY if name == "role-only" else COMPLETED
    assert (reply.status, reply.error) == (status, _REMARKS.get(name))
    assert reply.text == _TEXTS.get(name, "".join(WORDS))
    assert reply.output_tokens == _TOKENS.get(name, 5)
    assert reply.tokens_from == ("chunks" if name in ("no-usage", "no-done") else "usage")
    assert reply.sent is not None and reply.first_byte is not None
    assert reply.sent <= reply.first_byte <= reply.end
    if reply.chunk_times:
        assert reply.first_byte <= reply.chunk_times[0] <= reply.chunk_times[-1] <= reply.end
        assert list(reply.chunk_times) == sorted(reply.chunk_times)
        began = {"reasoning": 2, "reasoning-content": None}.get(name, 0)  # the answer's first chunk
        assert reply.first_answer == (None if began is None else reply.chunk_times[began])


def test_what_came_before_a_fault_is_kept(server: FakeServer) -> None:
    reply = chat(server.url("close-between-chunks"))
    assert (reply.text, reply.output_tokens, reply.tokens_from) == ("Hello,", 2, "chunks")
    assert len(reply.chunk_times) == 2 and reply.last_token == reply.chunk_times[-1]


def test_stamps_follow_the_server() -> None:
    with FakeServer(read_each=True) as slow:  # else pieces that are read together share a stamp
        reply = chat(slow.url("normal"))
        sent = slow.requests[0].sent
    assert len(reply.chunk_times) == 5
    following = [*sent[2:6], float("inf")]
    for stamp, left, after in zip(
        reply.chunk_times, sent[1:6], following, strict=True
    ):  # sent[0] is the role
        assert left - 0.001 <= stamp < after


def test_a_server_that_hangs_after_done(server: FakeServer) -> None:
    reply = chat(server.url("hang-after-done"), timeout=100.0)
    assert reply.status == COMPLETED and reply.sent is not None and reply.last_token is not None
    assert reply.last_token <= reply.end < reply.sent + 100  # the last byte, not the moment we gave up


def test_refused() -> None:
    with refusing() as url:
        reply = chat(url)
    assert (reply.status, reply.error, reply.http_status) == (FAILED, "connection refused", None)
    assert reply.sent is not None and reply.first_byte is None and reply.new_connection
    assert (reply.output_tokens, reply.tokens_from) == (None, None)


def test_a_connection_that_is_neither_made_nor_refused() -> None:
    with unanswering_port() as url:
        assert chat(url, timeout=0.3).error == "timed out after 0.3 s (connecting)"


def test_a_page_in_place_of_a_stream() -> None:
    with answering(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 12\r\n\r\n<p>Hello</p>"
    ) as url:
        assert chat(url).error == "text/html came in place of a stream: Hello"


def test_tls_that_is_trusted(tls_server: FakeServer) -> None:
    reply = chat(tls_server.url("plain"), verify=str(tls_server.ca_file))
    assert (reply.status, reply.text) == (COMPLETED, "".join(WORDS))
    assert chat(tls_server.url("plain"), verify=False).status == COMPLETED


def test_tls_that_is_not_trusted(tls_server: FakeServer) -> None:
    error = chat(tls_server.url("plain")).error
    assert error == "TLS: the server's certificate is not trusted: unable to get local issuer certificate"


@pytest.mark.parametrize(
    "name",
    [
        "every-raw-byte",
        "http-1.0",
        "close-without-last-chunk",
        "megabyte-event",
        "content-length",
        "silent-close",
    ],
)
def test_oddities_over_tls(tls_server: FakeServer, name: str) -> None:
    reply = chat(tls_server.url(name), verify=False)
    assert (reply.status, reply.output_tokens) == (COMPLETED, _TOKENS.get(name, 5))


@pytest.mark.parametrize(
    "name", ["reset-after-headers", "reset-between-chunks", "close-inside-chunk", "not-http"]
)
def test_faults_over_tls(tls_server: FakeServer, name: str) -> None:
    assert chat(tls_server.url(name), verify=False).error == _FAULTS[name][1]


def test_https_to_a_server_that_speaks_http(server: FakeServer) -> None:
    error = chat(server.url("plain").replace("http:", "https:")).error
    assert error is not None and error.startswith("TLS: ")
