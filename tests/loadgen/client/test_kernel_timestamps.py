"""Stamps are the kernel's: a process that had no time to look does not make them late."""

import socket
import struct
import time
from dataclasses import dataclass

import gevent
import pytest

from loadgen.client import kernel_timestamps
from loadgen.client.kernel_timestamps import KernelStamps
from loadgen.client.outcome import Reply
from loadgen.client.poller import Rounds
from tests.support.fakechat import Chats, client_of
from tests.support.fakeserver import FakeServer
from tests.support.waiting import wait_until

ROLE_AND_FIRST = 2  # pieces of an answer, to its first token


@dataclass
class Slept:
    """A chat whose first token came while the client's process slept until `woke`."""

    reply: Reply
    woke: float
    stamps: str | None


def chat_asleep() -> Slept:
    server = FakeServer(ttft=0.1, hold_after=ROLE_AND_FIRST)
    with server, client_of(server.url("normal")) as client:
        chats = Chats(client)
        chats.send(tokens=2)
        wait_until(lambda: server.requests, "no request", gevent.sleep)
        request = server.requests[0]
        while request.left < ROLE_AND_FIRST:
            time.sleep(0.01)  # nothing of gevent's runs
        time.sleep(0.05)
        woke = time.perf_counter()
        wait_until(lambda: chats.firsts["r-0"], "no token", gevent.sleep)
        server.go_on.set()  # not before: what is read together shares a stamp
        reply = chats.wait()[0]
        return Slept(reply, woke, client.stamps)


def test_a_token_that_came_while_the_process_slept_has_its_own_time() -> None:
    slept = chat_asleep()
    assert slept.stamps == "kernel"
    assert slept.reply.first_token is not None
    assert slept.reply.first_token < slept.woke
    assert len(slept.reply.chunk_times) == 2


def test_without_the_kernel_stamps_are_those_of_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(KernelStamps, "ask", lambda sock: None)
    slept = chat_asleep()
    assert slept.stamps == "process"
    assert slept.reply.first_token is not None
    assert slept.reply.first_token >= slept.woke
    assert len(slept.reply.chunk_times) == 2


class Clocks:
    """time.time() and time.perf_counter() as told."""

    wall, counter = 1_700_000_000.0, 500.0

    def time(self) -> float:
        return self.wall

    def perf_counter(self) -> float:
        return self.counter

    def pass_by(self, seconds: float) -> None:
        self.wall += seconds
        self.counter += seconds


def _ancillary(wall: float) -> kernel_timestamps.Ancillary:
    return [(socket.SOL_SOCKET, 35, struct.pack("ll", int(wall), round(wall % 1 * 1e9)))]


def test_a_wall_clock_that_is_set_moves_no_stamp(monkeypatch: pytest.MonkeyPatch) -> None:
    clocks = Clocks()
    monkeypatch.setattr(kernel_timestamps, "time", clocks)
    stamps = KernelStamps()
    clocks.pass_by(2.0)
    assert stamps.read(_ancillary(clocks.wall - 0.25)) == pytest.approx(501.75, abs=1e-6)
    assert stamps.given
    clocks.wall += 3600.0  # set
    assert stamps.read(_ancillary(clocks.wall - 3600.25)) == 502.0
    assert not stamps.given
    clocks.pass_by(1.0)
    assert stamps.read(_ancillary(clocks.wall - 0.25)) == pytest.approx(502.75, abs=1e-6)


def test_bytes_without_a_stamp_have_come_now(monkeypatch: pytest.MonkeyPatch) -> None:
    clocks = Clocks()
    monkeypatch.setattr(kernel_timestamps, "time", clocks)
    stamps = KernelStamps()
    assert (stamps.read([]), stamps.given) == (500.0, False)


def test_rounds_read_what_is_ready_until_it_is_removed() -> None:
    ours, theirs = socket.socketpair()
    rounds, read = Rounds(), list[bytes]()
    with ours, theirs:
        rounds.add(ours.fileno(), lambda: read.append(ours.recv(100)))
        for text in (b"one", b"two"):
            theirs.send(text)
            wait_until(lambda: text in read, "not read", gevent.sleep)  # noqa: B023
        assert read == [b"one", b"two"]
        rounds.remove(ours.fileno())
        theirs.send(b"three")
        gevent.sleep(0.05)
        assert read == [b"one", b"two"]
        rounds.close()
