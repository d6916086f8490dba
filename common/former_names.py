"""Keys that files of earlier versions have, and their names of today: read anywhere, written nowhere."""

import json
from collections.abc import Mapping
from typing import Any

import orjson

FORMER = {
    "send_lag_p50": "dispatch_delay_p50",
    "send_lag_p90": "dispatch_delay_p90",
    "send_lag_p95": "dispatch_delay_p95",
    "send_lag_p99": "dispatch_delay_p99",
    "send_lag_mean": "dispatch_delay_mean",
    "goodput_share": "slo_attainment",
}
FORMER_RULES = FORMER | {"offered_rate": "unsent_share"}  # a figure still has that name

_MARKS = (b"send_lag", b"goodput_share", b'"rule": "offered_rate"')  # one of them is in each


def renamed(found: Any) -> Any:
    """What a JSON file held, with today's keys (and rules' names) throughout."""
    if isinstance(found, Mapping):
        return {
            FORMER.get(key, key): FORMER_RULES.get(value, value)
            if key == "rule" and isinstance(value, str)
            else renamed(value)
            for key, value in found.items()
        }
    return [renamed(each) for each in found] if isinstance(found, list) else found


def loads(text: bytes) -> Any:
    """A JSON text with today's keys. Raises ValueError. Most texts have no former one, and are not walked."""
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:  # NaN, which Python writes; or damaged, of which json says more
        found = json.loads(text)
    return renamed(found) if any(mark in text for mark in _MARKS) else found
