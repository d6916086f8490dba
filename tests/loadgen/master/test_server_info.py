"""A server that is not trusted is told with the options for it."""

import pytest

from common.usage import UsageError
from loadgen.master.server_info import Server
from tests.support.fakeserver import FakeServer


def test_a_certificate_that_is_not_trusted_comes_with_the_options_for_it() -> None:
    with FakeServer(tls=True) as fake, pytest.raises(UsageError) as caught:
        Server(fake.url(), {}, True).describe(None)
    assert "does not answer (its certificate is not trusted: " in str(caught.value)
    assert str(caught.value).endswith("; --ca-file FILE, or --insecure)")
