"""What master and workers say to one another."""

import pytest

from common.usage import UsageError
from loadgen.protocol.messages import Plan


def test_a_plan_of_another_version_is_named() -> None:
    with pytest.raises(UsageError, match="give both the same version of this project"):
        Plan.from_dict({"run": "r", "colour": "red"})
