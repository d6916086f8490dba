"""Locust's own tables, kept honest: a chat counts once, when it has ended; TTFT and TPOT are rows beside it.
The size in bytes stays 0: what is counted of an answer is tokens, and those are in the LLM tab.

The rows TTFT and TPOT do not enter the Aggregated row, so they inflate no requests/s. Locust would round
response times above 100 ms to two digits; here it keeps four.
"""

import math
from typing import Any

import locust.stats
from locust.env import Environment

from loadgen.protocol import events
from loadgen.records.metrics import METRICS, moments, value
from loadgen.records.record import COMPLETED, Record

ROW_TYPE = "LLM"
DIGITS = 4


class LocustStats:
    """Feeds them from the hooks until `close`."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        locust.stats.bucket_response_time = _bucket
        events.chat_finished.add_listener(self._on_chat_finished)

    def close(self) -> None:
        events.chat_finished.remove_listener(self._on_chat_finished)

    def _on_chat_finished(self, record: Record, **_: Any) -> None:
        started = record.due if record.sent is None else record.sent
        self._environment.events.request.fire(
            request_type="CHAT",
            name=record.workload,
            response_time=((record.end or started) - started) * 1e3,
            response_length=0,  # Locust calls it bytes, and nobody has counted those
            exception=None if record.status == COMPLETED else _Ended(record.error or record.status),
            context={},
        )
        if record.first_token is not None:
            self._log("TTFT", record.first_token - started)
            if (pace := value(moments(record), METRICS["tpot"])) is not None:
                self._log("TPOT", pace)

    def _log(self, name: str, seconds: float) -> None:
        self._environment.stats.get(name, ROW_TYPE).log(seconds * 1e3, 0)


class _Ended(Exception):  # noqa: N818 - an outcome that Locust counts as a failure, never raised
    """Why a chat did not complete."""


def _bucket(milliseconds: float) -> float:
    """Rounded to four digits: fewer keys in Locust's tables, percentiles right to 0.05 %."""
    if milliseconds <= 0:
        return 0.0
    return round(milliseconds, DIGITS - 1 - math.floor(math.log10(milliseconds)))
