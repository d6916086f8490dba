"""What a request asks beside its prompt and length."""

import json
from typing import Any

import pytest

from common.usage import UsageError
from loadgen.workload.request import OURS
from loadgen.workload.scenario import Scenario

OWN = {"model": "m", "messages": [], "max_tokens": 9, "temperature": 0, "ignore_eos": True}


def asked(**request: Any) -> Scenario:
    return Scenario.load("chat-medium").with_overrides(request=request)


def test_what_is_left_out_stays_as_the_user_class_has_it() -> None:
    request = asked(top_p=0.9).request
    assert request is not None and request.applied(OWN) == OWN | {"top_p": 0.9}


def test_each_part_changes_the_body() -> None:
    request = asked(
        temperature=0.5, ignore_eos=False, max_tokens_field="max_completion_tokens", extra_body={"min_p": 0.1}
    ).request
    assert request is not None
    assert request.applied(OWN) == {
        "model": "m", "messages": [], "temperature": 0.5, "max_completion_tokens": 9, "min_p": 0.1,
    }  # fmt: skip


def test_a_null_in_the_extra_body_is_sent_and_kept() -> None:
    scenario = asked(extra_body={"stop": None, "deep": {"a": None}})
    again = Scenario.from_dict(json.loads(json.dumps(scenario.to_dict())))
    assert again.request is not None and again.request.extra_body == {"stop": None, "deep": {"a": None}}
    assert again.hash() == scenario.hash() != Scenario.load("chat-medium").hash()


@pytest.mark.parametrize(
    ("part", "said"),
    [
        *(({"extra_body": {name: 1}}, f"{name} is set by the load itself") for name in OURS),
        ({"extra_body": {"a": "x" * 70_000}}, "must be 64 KiB or less"),
        ({"endpoint": "v1/chat"}, "must be a path such as"),
        ({"endpoint": "/v1/chat completions"}, "stands in no URL"),
        ({"max_tokens_field": "a b"}, "max_tokens_field"),
        ({"temperature": -1}, "temperature"),
        ({"temperature": 1, "extra_body": {"temperature": 2}}, "temperature is given twice"),
        ({"top_p": 0.5, "extra_body": {"top_p": 1}}, "top_p is given twice"),
        ({"max_tokens_field": "n", "extra_body": {"n": 1}}, "n is max_tokens_field"),
        ({"top_p": 1.5}, "top_p"),
    ],
)
def test_what_cannot_be_is_named(part: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        asked(**part)
