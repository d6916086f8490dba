"""What the kernel tells of a connection, counted when it is closed."""

import socket

import pytest

from loadgen.client.network import Network


@pytest.mark.skipif(not hasattr(socket, "TCP_INFO"), reason="this kernel does not tell")
def test_a_connection_is_counted_with_its_round_trip() -> None:
    network = Network()
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as near,
        server.accept()[0] as far,
    ):
        for one, other in ((near, far), (far, near)):
            one.sendall(b"text")
            assert other.recv(100) == b"text"
        network.add(near)
        once = network.as_dict()
        network.add(near)
    segments, trip = once["segments"], once["round_trip_s"]
    assert segments is not None and segments >= 2 and trip is not None and 0 < trip < 5
    assert network.segments >= 2 * segments


def test_what_does_not_tell_is_not_counted() -> None:
    network = Network()
    with socket.socket(socket.AF_UNIX) as other:
        network.add(other)
    assert network.as_dict() == {"round_trip_s": None, "segments": 0, "segments_lost": 0}
