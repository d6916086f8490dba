"""The gate lets through what a message holds, and nothing else ever leaves it but its own error."""

import contextlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadgen.host import machine
from loadgen.live.live import Live
from loadgen.protocol import gate, messages

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=12,
)
HEAD = {"run": "r", "lane": 0}
PULSE = HEAD | {
    "t": 1.0, "due": 2, "in_flight": 1, "events": 9, "chunks": 4, "idle": False, "undecided": 0,
    "counts": {"chat": {"sent": 2}}, "digests": {"chat": {"ttft": [[3], [1]]}}, "warmup": {},
    "histograms": {"chat": {"ttft": [[1], [1], [0.1]]}},
}  # fmt: skip
SOUND: dict[str, dict[str, Any]] = {
    messages.HERE: {"process": machine.this_process()},
    messages.ASK: {},
    messages.PONG: HEAD | {"number": 0, "sent": 1.0, "theirs": 2},
    messages.BATCH: HEAD | {"number": 0, "content": b""},
    messages.PULSE: PULSE,
    messages.START: {"zero": 1.5, "beside": None},
    messages.DRAIN: {"end": 0.0},
    messages.GOT: {"number": 3},
    messages.END: {"written": True},
    messages.CLOSE: {},
}


@pytest.mark.parametrize("name", SOUND)
def test_what_a_message_holds_passes(name: str) -> None:
    assert gate.check(name, SOUND[name]).keys() == SOUND[name].keys()


@given(name=st.sampled_from(list(SOUND)), data=anything)
def test_what_is_none_is_refused_and_nothing_else_escapes(name: str, data: Any) -> None:
    with contextlib.suppress(gate.MessageError):
        gate.check(name, data)


@settings(max_examples=300)
@given(data=st.data())
def test_one_wrong_part_is_refused_or_harmless(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from([each for each in SOUND if SOUND[each]]))
    part = data.draw(st.sampled_from(list(SOUND[name])))
    spoilt = SOUND[name] | {part: data.draw(anything)}
    with contextlib.suppress(gate.MessageError):
        found = gate.check(name, spoilt)
        if name == messages.PULSE:
            live = Live(10.0, (0.0, 10.0), 1)
            with contextlib.suppress(LookupError):  # which the inbox takes: a figure of no known name
                live.pulse(found)
            live.tick(1.0, {})
            live.verdict()
