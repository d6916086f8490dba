"""Random answers and messages against the stream reader and the handlers, for as long as asked.

    python -m bench.fuzz --minutes 10

Hypothesis makes the input; the same properties, in short, are part of `make test`. It prints the situations
tried, how many were right, and the process's memory at a tenth of the time and at the end. Exit code 1 for a
wrong one.
"""

import argparse
import json
import sys
import time
from array import array
from collections import Counter
from collections.abc import Callable
from typing import Any

import hypothesis
import psutil
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from common.usage import Parser, UsageError, exit_code
from loadgen.client.chat_chunks import Reading
from loadgen.client.errors import Ending, How
from loadgen.client.http1 import Answer
from loadgen.client.outcome import Moments, make_reply
from loadgen.protocol import gate, messages
from loadgen.records.record import COMPLETED, FAILED, UNFINISHED

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
KEYS = (
    "choices usage error object delta index finish_reason content tool_calls completion_tokens text run lane"
)
ROUND = 500  # situations between two looks at the clock

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12) | st.binary(max_size=12),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(KEYS.split()) | st.text(max_size=6), inner, max_size=4)
    ),
    max_leaves=20,
)
pieces = st.lists(
    st.binary(max_size=80)
    | st.sampled_from([b"data: ", b"\n\n", b"\r\n", b"data: [DONE]\n\n", b": on\n\n", b"5\r\n", b"0\r\n\r\n"])
    | values.map(lambda value: b"data: " + json.dumps(value, default=repr).encode() + b"\n\n"),
    max_size=12,
)
names = [value for name, value in vars(messages).items() if name.isupper() and isinstance(value, str)]


def read(parts: list[bytes], framed: bool, raw: bool) -> None:
    """A whole answer ends in one reply, whatever came."""
    http, reading, how = Answer(), Reading(keep_text=True), How.ANSWERED
    for place, part in enumerate([] if raw else [HEAD]):
        assert http.feed(part), place
    for place, part in enumerate(parts):
        data = b"%x\r\n%b\r\n" % (len(part), part) if framed and part else part
        if not http.feed(data):
            how = How.NOT_HTTP
            break
        if http.is_stream:
            for piece in http.pieces:
                reading.feed(piece, float(place))
            http.pieces.clear()
    reading.finish(9.0)
    reply = make_reply(http, reading, Ending(how), Moments(0.0, 0.5, 9.0, 9.0, True), "id")
    reply.disbelieve(10, 1000)
    assert reply.status in (COMPLETED, FAILED, UNFINISHED)
    assert "\n" not in (reply.error or "") and isinstance(reply.chunk_times, array)


def take(name: str, data: Any) -> None:
    """A message passes or is refused, and nothing else leaves the gate."""
    try:
        gate.check(name, data)
    except gate.MessageError as error:
        assert len(str(error)) < 1000


def fuzz(seconds: float) -> tuple[Counter[str], list[str], list[float]]:
    """Tried by kind, what was wrong, and memory (MiB) at a tenth of the time and at the end."""
    tried: Counter[str] = Counter()
    wrong: list[str] = []
    process, began, sizes = psutil.Process(), time.monotonic(), list[float]()
    kinds: dict[str, tuple[Callable[..., None], dict[str, Any]]] = {
        "an answer's body": (read, {"parts": pieces, "framed": st.just(True), "raw": st.just(False)}),
        "an answer's bytes": (read, {"parts": pieces, "framed": st.booleans(), "raw": st.just(True)}),
        "a message": (take, {"name": st.sampled_from(names), "data": values}),
    }
    seed = 0
    while time.monotonic() - began < seconds:
        for kind, (check, inputs) in kinds.items():
            seed += 1
            _round(kind, check, inputs, seed, tried, wrong)
        if not sizes and time.monotonic() - began >= seconds / 10:
            sizes.append(process.memory_info().rss / 2**20)
    return tried, wrong, [*sizes, process.memory_info().rss / 2**20]


def _round(
    kind: str,
    check: Callable[..., None],
    inputs: dict[str, Any],
    number: int,
    tried: Counter[str],
    wrong: list[str],
) -> None:
    @hypothesis.seed(number)
    @settings(
        max_examples=ROUND,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(**inputs)
    def attempt(**given_inputs: Any) -> None:
        tried[kind] += 1
        try:
            check(**given_inputs)
        except Exception as error:
            wrong.append(f"{kind}: {type(error).__name__}: {error}: {given_inputs!r}"[:500])

    attempt()


def main() -> int:
    parser = Parser(prog="python -m bench.fuzz", description=__doc__.split("\n\n")[0])
    parser.add_argument("--minutes", type=float, default=10.0, metavar="N")
    asked: argparse.Namespace = parser.parse_args()
    if not 0 < asked.minutes <= 600:
        raise UsageError(f"--minutes {asked.minutes:g}: must be more than 0 and at most 600")
    tried, wrong, sizes = fuzz(asked.minutes * 60)
    print("| kind | tried | right |\n|---|---|---|")
    for kind, count in tried.items():
        bad = sum(each.startswith(kind) for each in wrong)
        print(f"| {kind} | {count:,} | {count - bad:,} |")
    print(f"\nmemory: {' → '.join(f'{size:.0f} MiB' for size in sizes)} (a tenth of the time, the end)")
    for each in wrong[:20]:
        print(each, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(exit_code(main))
