"""A server that is not trusted is told with the options for it."""

import pytest

from common.usage import UsageError
from loadgen.master.server_info import Server
from tests.support.fakeserver import FakeServer, answering


def test_a_certificate_that_is_not_trusted_comes_with_the_options_for_it() -> None:
    with FakeServer(tls=True) as fake, pytest.raises(UsageError) as caught:
        Server(fake.url(), {}, True).describe(None)
    assert "does not answer (its certificate is not trusted: " in str(caught.value)
    assert str(caught.value).endswith("; --ca-file FILE, or --insecure)")


def test_a_server_that_wants_a_key_is_told_in_its_own_words() -> None:
    answer = b'HTTP/1.1 401 Unauthorized\r\ncontent-length: 30\r\n\r\n{"message": "give an api-key"}'
    with answering(answer) as url, pytest.raises(UsageError) as caught:
        Server(url, {}, True).describe(None)
    assert str(caught.value).startswith(f"{url}: wants a key (401: ")
    assert "give an api-key" in str(caught.value) and "--header 'Name: value'" in str(caught.value)
