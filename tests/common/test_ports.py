"""Ports that are found free stay free until they are used."""

import socket

from common.ports import free_port, is_free
from tests.support.ports import refusing


def test_a_free_port_is_none_that_the_kernel_hands_out() -> None:
    found = {free_port() for _ in range(50)}
    assert len(found) > 40 and all(is_free(port) for port in found)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        assert other.getsockname()[1] > max(found)


def test_a_port_in_use_is_not_free() -> None:
    with refusing() as url:
        assert not is_free(int(url.rsplit(":", 1)[1]))
