"""The fast reading of server-sent events agrees with sseclient-py, wherever the body is cut."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sseclient import SSEClient

from loadgen.client.sse import EventReader
from tests.support.fakestreams import BODIES

# The megabyte is cut in one test of its own; here it would only make the search slow.
_BODIES = {name: b"".join(pieces) for name, pieces in BODIES.items() if name != "megabyte-event"}
_FIELDS = [
    "data: ",
    "data:",
    "data",
    ":",
    ": ",
    "event: ",
    "id:",
    "retry: ",
    "foo: ",
    "",
    " ",
    "\ufeffdata: ",
]
_VALUES = ["", "x", "[DONE]", '{"a": 1}', "wörld 🌍", "a: b", " ", "\x0b", "\u2028", "\x1c"]
_ENDS = (b"\n\n", b"\r\n\r\n", b"\r\r")
_lines = st.builds("{}{}".format, st.sampled_from(_FIELDS), st.sampled_from(_VALUES))
_ends = st.sampled_from(["\n", "\r\n", "\r", "\n\n", "\r\n\r\n", "\r\r", "\n\r\n", "\r\n\n", ""])


def reference(body: bytes) -> list[bytes]:
    return [event.data.encode() for event in SSEClient(iter([body])).events()]


def fast(pieces: list[bytes]) -> list[bytes]:
    reader = EventReader()
    events = [event for piece in pieces for event in reader.feed(piece)]
    return events + list(reader.finish())


def cut(body: bytes, places: list[int]) -> list[bytes]:
    bounds = [0, *sorted(place % (len(body) + 1) for place in places), len(body)]
    return [body[start:end] for start, end in zip(bounds, bounds[1:], strict=False)]


@pytest.mark.parametrize("name", sorted(_BODIES))
@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 10_000])
def test_pieces_of_one_size(name: str, size: int) -> None:
    body = _BODIES[name]
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    assert fast(pieces) == reference(body)


@pytest.mark.parametrize("name", sorted(BODIES))
def test_pieces_as_the_server_writes_them(name: str) -> None:
    assert fast(BODIES[name]) == reference(b"".join(BODIES[name]))


def test_a_megabyte_in_pieces_of_a_read() -> None:
    body = b"".join(BODIES["megabyte-event"])
    assert fast([body[start : start + 65536] for start in range(0, len(body), 65536)]) == reference(body)


@pytest.mark.parametrize("name", sorted(_BODIES))
@settings(max_examples=40)
@given(places=st.lists(st.integers(0, 4000), max_size=12))
def test_any_cut_of_the_faulty_streams(name: str, places: list[int]) -> None:
    assert fast(cut(_BODIES[name], places)) == reference(_BODIES[name])


@example(parts=[("data: a", "\r\r"), ("data: b", "\n\n")], places=[])
@example(parts=[("data: a", "\r"), ("data: b", "\n\n")], places=[])
@settings(max_examples=300)
@given(parts=st.lists(st.tuples(_lines, _ends), max_size=8), places=st.lists(st.integers(0, 400), max_size=6))
def test_any_cut_of_any_stream(parts: list[tuple[str, str]], places: list[int]) -> None:
    body = "".join(line + end for line, end in parts).encode()
    assert fast(cut(body, places)) == reference(body)


@pytest.mark.parametrize("name", sorted(_BODIES))
@settings(max_examples=40)
@given(places=st.lists(st.integers(0, 4000), max_size=4))
def test_an_event_is_out_as_soon_as_its_blank_line_is_in(name: str, places: list[int]) -> None:
    reader, given_out, taken_in = EventReader(), 0, b""
    for piece in cut(_BODIES[name], places):
        taken_in += piece
        given_out += len(list(reader.feed(piece)))
        ended = max((taken_in.rfind(end) + len(end) for end in _ENDS if end in taken_in), default=0)
        assert given_out >= len(reference(taken_in[:ended]))
