"""What some tests need of the machine. Where it is missing they are skipped with the reason; under
TOKENSWARM_REQUIRE_ALL (set by CI) they run, and fail."""

import os

import pytest

from server.install import python_of


def need(there: bool, reason: str) -> pytest.MarkDecorator:
    """A mark that skips a test unless what it needs is there."""
    return pytest.mark.skipif(not there and not os.environ.get("TOKENSWARM_REQUIRE_ALL"), reason=reason)


VLLM = need(python_of("cpu").exists(), "no .venv-server; make it: tokenswarm server-setup --target cpu-tiny")
