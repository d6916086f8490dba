"""What is refused, or said, before a run begins."""

import pytest

from common.usage import UsageError
from loadgen.master.beginning import _require_share, _unlisted_adapters
from loadgen.master.server_info import Served
from loadgen.workload.scenario import Scenario

LOAD = {"rate": 1, "duration": 1, "prompt_tokens": 9, "output_tokens": 3}


def test_a_cap_below_the_workers_is_refused() -> None:
    capped = Scenario.from_dict(LOAD | {"max_concurrency": 2})
    _require_share(capped, 2)
    with pytest.raises(UsageError, match="max_concurrency 2 leaves some of 3 workers nothing"):
        _require_share(capped, 3)


def test_adapters_that_the_server_does_not_list_are_said() -> None:
    load = Scenario.from_dict(LOAD | {"adapters": {"names": ["a", "b"]}})
    assert _unlisted_adapters(load, Served("m", None, None, listed=("m", "a", "b"))) == []
    assert _unlisted_adapters(load, Served("m", None, None)) == [], "it lists none at all"
    said = _unlisted_adapters(load, Served("m", None, None, listed=("m", "a")))
    assert said == ["the server lists no model 'b', one of 1 adapters that it lacks"]
