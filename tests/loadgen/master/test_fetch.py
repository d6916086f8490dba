"""Answers of the server's to the master: a kept connection that the server closes costs no answer."""

import socket
import struct
import threading

import pytest
import requests

from loadgen.master.fetch import Fetcher

ANSWER = b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 4\r\n\r\noops"


def serve(listener: socket.socket, answers: list[int]) -> None:
    """One connection for each of `answers`: so many requests are answered, and the next one is reset."""
    for count in answers:
        connection, _ = listener.accept()
        with connection:
            for _ in range(count):
                connection.recv(65536)
                connection.sendall(ANSWER)
            connection.recv(65536)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@pytest.mark.parametrize(("answers", "fails"), [([1, 1], False), ([1, 0], True), ([0], True)])
def test_a_kept_connection_that_is_reset_is_tried_once_more(answers: list[int], fails: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=serve, args=(listener, answers), daemon=True)
        server.start()
        fetcher = Fetcher({}, True)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/version"
        if answers[0]:
            assert fetcher.get(url).status == 500
        if fails:
            with pytest.raises(requests.ConnectionError):
                fetcher.get(url)
        else:
            assert fetcher.get(url).text == "oops"
            fetcher._session.close()
        server.join(10)
