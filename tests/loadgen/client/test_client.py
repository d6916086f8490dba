"""A client serves any number of requests at once over kept connections, and ends each exactly once."""

import contextlib
import gc
import re
import time
from collections.abc import Iterator

import gevent
import pytest

from common.usage import UsageError
from loadgen.client.client import Client
from loadgen.client.outcome import Reply
from loadgen.client.transport import Host
from loadgen.records.record import COMPLETED, FAILED, UNFINISHED
from tests.support.fakechat import Chats, chat, client_of
from tests.support.fakefaults import BEHAVIOURS
from tests.support.fakeserver import FakeServer
from tests.support.waiting import PATIENCE, wait_until


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer() as started:
        yield started


def test_a_connection_is_kept(server: FakeServer) -> None:
    with client_of(server.url("normal")) as client:
        chats = Chats(client)
        for _ in range(20):
            chats.send()
            replies = chats.wait()
        assert [reply.new_connection for reply in replies] == [True] + [False] * 19
        assert client.connections == server.connections == 1
        assert {reply.status for reply in replies} == {COMPLETED}


def test_nothing_queues_for_a_pool() -> None:
    # The server answers none before it has read all: one that waited for another's end would time out.
    with FakeServer(gather=300) as server, client_of(server.url("normal")) as client:
        chats = Chats(client)
        for _ in range(300):
            chats.send(timeout=PATIENCE)
        assert client.in_flight == 300
        replies = chats.wait()
        assert client.connections == client.peak_in_flight == 300 and client.in_flight == 0
        assert {reply.status for reply in replies} == {COMPLETED}
        chats.send()
        assert not chats.wait()[-1].new_connection


def test_an_idle_connection_that_the_server_closed_is_not_used(server: FakeServer) -> None:
    with client_of(server.url("silent-close")) as client:
        chats = Chats(client)
        for _ in range(5):
            chats.send()
            chats.wait()
            wait_until(lambda: not client._way.idle, "its close never comes", gevent.sleep)
        assert [reply.new_connection for reply in chats.wait()] == [True] * 5
        assert len(server.requests) == 5


def test_a_kept_connection_that_closes_before_any_byte_is_tried_once_more(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("loadgen.client.stream._CROSSING", PATIENCE)  # the server may be slow
    with client_of(server.url()) as client:
        replies: list[Reply] = []

        def send(model: str) -> None:
            client.send(
                "/v1/chat/completions",
                b'{"model": "%b"}' % model.encode(),
                request_id=model,
                timeout=100,
                on_end=replies.append,
            )
            assert client.join(PATIENCE)

        send("normal")
        before = time.perf_counter()
        send("close-before-headers")
        first, second = replies
        assert (first.new_connection, first.status) == (True, COMPLETED)
        assert (second.new_connection, second.status) == (True, FAILED)  # it closes the second time, too
        assert second.error == "connection closed by the server before the headers"
        assert [request.connection for request in server.requests] == [0, 0, 1]
        assert second.sent is not None and before < second.sent < server.requests[1].read  # as at first


def test_a_request_that_the_server_gave_up_is_not_sent_again(server: FakeServer) -> None:
    """Else the user's wait until then would vanish from TTFT, and the late send would be our fault."""
    with client_of(server.url()) as client:
        replies: list[Reply] = []
        for model in ("normal", "close-late-before-headers"):
            body = b'{"model": "%b"}' % model.encode()
            client.send("/v1/chat/completions", body, request_id=model, timeout=100, on_end=replies.append)
            assert client.join(PATIENCE)
    _, second = replies
    assert (second.status, second.new_connection) == (FAILED, False)
    assert second.error == "connection closed by the server before the headers"
    assert len(server.requests) == 2
    assert second.sent is not None and second.end - second.sent >= 0.4


def test_stamps_are_known_where_every_answer_closes_its_connection(server: FakeServer) -> None:
    with client_of(server.url("silent-close")) as client:
        chats = Chats(client)
        chats.send()
        chats.wait()
        assert client.stamps in ("kernel", "process")


@pytest.mark.parametrize("name", sorted(BEHAVIOURS))
def test_every_request_ends_exactly_once(server: FakeServer, name: str) -> None:
    """The client is closed in the middle of things; Chats refuses a second end."""
    with client_of(server.url(name)) as client:
        chats = Chats(client)
        for _ in range(3):
            chats.send(timeout=0.2)
        gevent.sleep(0.03)
        client.abandon()
        client.close()
        assert len(chats.wait()) == 3


def test_abandon_keeps_what_came() -> None:
    with FakeServer(tpot=0.02) as server, client_of(server.url("endless")) as client:
        chats = Chats(client)
        for _ in range(3):
            chats.send()
        wait_until(
            lambda: min(map(len, chats.firsts.values())) and client.progress()[0] > 40,
            "no events",
            gevent.sleep,
        )
        assert chats.replies == {}
        before = time.perf_counter()
        client.abandon()
        for reply in chats.wait():
            assert (reply.status, reply.error) == (UNFINISHED, None)
            assert len(reply.chunk_times) > 3
            assert (reply.output_tokens, reply.tokens_from) == (len(reply.chunk_times), "chunks")
            assert reply.end >= before > (reply.last_token or 0)


def test_abandon_before_any_byte(server: FakeServer) -> None:
    with client_of(server.url("hang-before-headers")) as client:
        chats = Chats(client)
        chats.send()
        gevent.sleep(0.05)
        client.abandon()
        reply = chats.wait()[0]
        assert (reply.status, reply.first_byte, reply.http_status) == (UNFINISHED, None, None)


def test_join_says_whether_all_has_ended(server: FakeServer) -> None:
    with client_of(server.url("hang-mid-stream")) as client:
        assert client.join(0)
        chats = Chats(client)
        chats.send()
        before = time.perf_counter()
        assert not client.join(0.1)
        assert time.perf_counter() - before >= 0.09


def test_a_chain_is_joined_to_its_end(server: FakeServer) -> None:
    with client_of(server.url("normal")) as client:
        seen: list[Reply] = []

        def send() -> None:
            client.send("/v1/chat/completions", b"{}", request_id="turn", timeout=100, on_end=follow)

        def follow(reply: Reply) -> None:
            seen.append(reply)
            gevent.sleep(0.01)  # it may block
            if len(seen) < 5:
                send()

        send()
        assert client.join(PATIENCE)
        assert [reply.status for reply in seen] == [COMPLETED] * 5


def test_one_that_raises_harms_no_other(server: FakeServer) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("meant")

    with client_of(server.url("normal")) as client:
        options = {"request_id": "x", "timeout": 100.0, "on_end": fail, "on_first_token": fail}
        client.send("/v1/chat/completions", b"{}", **options)  # type: ignore[arg-type]
        chats = Chats(client)
        chats.send()
        assert chats.wait()[0].status == COMPLETED


def test_what_is_sent(server: FakeServer) -> None:
    with client_of(server.url("normal"), headers={"Authorization": "Bearer x", "accept": "*/*"}) as client:
        chats = Chats(client)
        chats.send()
        chats.wait()
    headers = server.requests[0].headers
    assert headers["x-request-id"] == "r-0"
    assert headers["accept-encoding"] == "identity"
    assert headers["authorization"] == "Bearer x"
    assert headers["accept"] == "*/*"
    assert headers["host"] == server.url().removeprefix("http://")
    assert server.requests[0].path == "/normal/v1/chat/completions"


def test_a_body_that_the_kernel_does_not_take_at_once(server: FakeServer) -> None:
    with client_of(server.url("normal")) as client:
        replies: list[Reply] = []
        body = b'{"padding": "%b", "max_tokens": 7}' % (b"x" * 8_000_000)
        client.send("/v1/chat/completions", body, request_id="big", timeout=100, on_end=replies.append)
        assert client.join(PATIENCE)
        assert (replies[0].status, replies[0].output_tokens) == (COMPLETED, 7)


@pytest.mark.parametrize("value", ["a\r\nb: c", "ü", "a\x00"])
def test_a_header_that_cannot_be_sent(value: str) -> None:
    with pytest.raises(UsageError, match="X-Mine"):
        Client(Host.resolve("http://127.0.0.1:1"), headers={"X-Mine": value})


def test_a_ca_file_that_is_none(tmp_path: object) -> None:
    with pytest.raises(UsageError, match="CA file"):
        Client(Host.resolve("https://127.0.0.1:1"), verify=f"{tmp_path}/none.pem")


def test_events_are_counted_live() -> None:
    with FakeServer(tpot=0.02) as server, client_of(server.url("endless")) as client:
        chats = Chats(client)
        chats.send()
        counts = [0]
        for _ in range(4):
            wait_until(lambda: client.progress()[0] > counts[-1], "no events", gevent.sleep)
            counts.append(client.progress()[0])
        assert counts == sorted(counts)
        client.abandon()
        chats.wait()
        assert client.progress()[0] >= counts[-1]


def test_nothing_is_left_for_the_cyclic_collector(server: FakeServer) -> None:
    """A collection of a large heap would stop every stamp for tens of milliseconds."""
    names = ("normal", "silent-close", "reset-between-chunks", "status-500", "gzip", "hang-mid-stream")
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(client_of(server.url(name))) for name in names]
        gc.collect()
        gc.disable()
        stack.callback(gc.enable)
        gc.set_debug(gc.DEBUG_SAVEALL)
        stack.callback(gc.set_debug, 0)
        stack.callback(gc.garbage.clear)
        for client in clients:
            chats = Chats(client)
            for _ in range(10):
                chats.send(timeout=0.2)
            chats.wait()
        gevent.sleep(0.01)
        gc.collect()
        ours = ("loadgen", "httptools", "gevent")
        assert [each for each in gc.garbage if type(each).__module__.startswith(ours)] == []


def test_localhost_is_where_the_server_listens(server: FakeServer) -> None:
    """It may be ::1 first, where nobody listens."""
    assert chat(server.url("normal").replace("127.0.0.1", "localhost")).status == COMPLETED


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://[::1:8000", "Invalid IPv6 URL"),
        ("http://a..b:80", "the name 'a..b' cannot be resolved: it is no host name"),
        (f"http://{'a' * 70}:80", "cannot be resolved: it is no host name"),
        ("http://127.0.0.1:0", "the port is not a number from 1 to 65535"),
        ("http://127.0.0.1:70000", "the port is not a number from 1 to 65535"),
    ],
)
def test_a_host_that_is_none(url: str, said: str) -> None:
    with pytest.raises(UsageError, match=re.escape(said)):
        Host.resolve(url)


def test_a_path_is_quoted_once() -> None:
    assert Host.resolve("http://127.0.0.1:1/ü b/%20c/").base_path == "/%C3%BC%20b/%20c"


def test_nothing_can_be_sent_after_the_close(server: FakeServer) -> None:
    with client_of(server.url("normal")) as client:
        client.close()
        with pytest.raises(RuntimeError):
            Chats(client).send()
