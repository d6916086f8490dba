"""Real sockets of this machine: who listens, and whom a process has connected to."""

import os
import socket

import pytest

from loadgen.host.sockets import Sockets

ME = os.getpid()


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_a_listener_and_a_connection_are_found(family: socket.AddressFamily) -> None:
    dual = family == socket.AF_INET6
    place = ("::" if dual else "127.0.0.1", 0)
    with (
        socket.create_server(place, family=family, dualstack_ipv6=dual) as server,
        socket.create_connection(("127.0.0.1", server.getsockname()[1])),
        server.accept()[0],
    ):
        port = server.getsockname()[1]
        seen = Sockets([ME])
        [here] = [each for each in seen.listening if each.port == port]
        assert here.pid == ME and here.anywhere is dual
        assert (b"0100007F", port) in seen.ends([ME])
        assert not any(each.pid == ME for each in Sockets([]).listening), "nobody was asked for"
    assert (b"0100007F", port) not in Sockets([ME]).ends([ME])
