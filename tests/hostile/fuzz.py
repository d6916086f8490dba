"""Random answers, messages and batches against what reads them, for as long as asked.

    python -m tests.hostile.fuzz --minutes 10

Hypothesis makes the input; the same properties, in short, are tests in this folder. It prints the situations
tried, how many were right, and the process's memory at a tenth of the time and at the end. Exit code 1 for a
wrong one.
"""

import argparse
import json
import logging
import shutil
import sys
import tempfile
import time
from array import array
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import hypothesis
import psutil
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from common.usage import Parser, UsageError, exit_code
from loadgen.client.chat_chunks import Reading
from loadgen.client.errors import Ending, How
from loadgen.client.http1 import Answer
from loadgen.client.outcome import Stamps, make_reply
from loadgen.live.live import Live
from loadgen.master.inbox import Inbox
from loadgen.protocol import gate, messages
from loadgen.records.collect import Collector
from loadgen.records.record import COMPLETED, FAILED, UNFINISHED
from tests.hostile.test_batches import SOUND as SOUND_BATCH
from tests.hostile.test_messages import SOUND, anything
from tests.hostile.test_streams import HEAD, chunk_like

ROUND = 500  # situations between two looks at the clock
RUN = "r"  # the run of SOUND

pieces = st.lists(
    st.binary(max_size=80)
    | st.sampled_from([b"data: ", b"\n\n", b"\r\n", b"data: [DONE]\n\n", b": on\n\n", b"5\r\n", b"0\r\n\r\n"])
    | chunk_like.map(lambda value: b"data: " + json.dumps(value).encode() + b"\n\n"),
    max_size=12,
)
names = st.sampled_from([each for each in SOUND if SOUND[each]])


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
        if http.is_wanted:
            for piece in http.pieces:
                reading.feed(piece, float(place))
            http.pieces.clear()
    reading.finish(9.0)
    reply = make_reply(http, reading, Ending(how), Stamps(0.0, 0.5, 9.0, 9.0, True), "id")
    reply.disbelieve(10, 1000)
    assert reply.status in (COMPLETED, FAILED, UNFINISHED)
    assert "\n" not in (reply.error or "") and isinstance(reply.chunk_times, array)


class Listening:
    """The master's inbox with a run that counts what reaches it; `take` hands it a message as Locust does."""

    def __init__(self) -> None:
        self._heard: dict[str, Callable[..., None]] = {}
        self._live = Live(10.0, (0.0, 10.0), 1)
        lanes = [SimpleNamespace(worker="w")]
        self._run: Any = SimpleNamespace(plan=SimpleNamespace(run=RUN), lanes=lanes)
        runner = SimpleNamespace(register_message=self._heard.__setitem__)
        handlers = {name: self._handle for name in SOUND if name != messages.HERE}
        Inbox(runner, handlers, lambda: self._run, lambda worker, data: None)

    def _handle(self, run: Any, data: dict[str, Any]) -> None:
        if "digests" in data:
            self._live.pulse(data)
            self._live.tick(1.0, {})

    def take(self, name: str, data: Any) -> None:
        """Nothing may leave: what is wrong is passed over."""
        self._heard[name](SimpleNamespace(node_id="w", data=data))


listening = Listening()


def take_any(name: str, data: Any) -> None:
    listening.take(name, data)


def take_spoilt(name: str, part: str, odd: Any) -> None:
    """One part of a right message is another thing."""
    listening.take(name, SOUND[name] | {part: odd})
    try:
        gate.check(name, SOUND[name] | {part: odd})
    except gate.MessageError as error:
        assert len(str(error)) < 1000


def keep(place: int, value: int, length: int) -> None:
    """A batch of which a byte is another one, or the end is missing, is kept or set aside."""
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    try:
        spoilt = bytearray(SOUND_BATCH)
        spoilt[place] = value
        collector = Collector(folder)
        collector.receive(0, 0, bytes(spoilt[:length]))
        collector.settle()
        collector.write([])
    finally:
        shutil.rmtree(folder)


KINDS: dict[str, tuple[Callable[..., None], dict[str, Any]]] = {
    "an answer's body": (read, {"parts": pieces, "framed": st.just(True), "raw": st.just(False)}),
    "an answer's bytes": (read, {"parts": pieces, "framed": st.booleans(), "raw": st.just(True)}),
    "a message": (take_any, {"name": names, "data": anything}),
    "a message with one odd part": (
        take_spoilt,
        {"name": names, "part": st.sampled_from(list(SOUND[messages.PULSE])), "odd": anything},
    ),
    "a batch's bytes": (
        keep,
        {
            "place": st.integers(0, len(SOUND_BATCH) - 1),
            "value": st.integers(0, 255),
            "length": st.integers(0, len(SOUND_BATCH)),
        },
    ),
}


def fuzz(seconds: float) -> tuple[Counter[str], Counter[str], list[float]]:
    """Tried by kind, what was wrong, and memory (MiB) at a tenth of the time and at the end."""
    tried: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    process, began, sizes = psutil.Process(), time.monotonic(), list[float]()
    seed = 0
    while time.monotonic() - began < seconds:
        for kind in KINDS:
            seed += 1
            _round(kind, seed, tried, wrong)
        if not sizes and time.monotonic() - began >= seconds / 10:
            sizes.append(process.memory_info().rss / 2**20)
    return tried, wrong, [*sizes, process.memory_info().rss / 2**20]


def _round(kind: str, number: int, tried: Counter[str], wrong: Counter[str]) -> None:
    check, inputs = KINDS[kind]

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
            wrong[kind] += 1
            if wrong[kind] <= 5:
                print(f"{kind}: {type(error).__name__}: {error}: {given_inputs!r}"[:500], file=sys.stderr)

    attempt()


def main() -> int:
    parser = Parser(prog="python -m tests.hostile.fuzz", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--minutes", type=float, default=10.0, metavar="N")
    asked: argparse.Namespace = parser.parse_args()
    if not 0 < asked.minutes <= 600:
        raise UsageError(f"--minutes {asked.minutes:g}: must be more than 0 and at most 600")
    logging.disable()  # each message that is passed over is said once, which is right, and of no use here
    tried, wrong, sizes = fuzz(asked.minutes * 60)
    print("| kind | tried | right |\n|---|---|---|")
    for kind, count in tried.items():
        print(f"| {kind} | {count:,} | {count - wrong[kind]:,} |")
    print(f"\nmemory: {' → '.join(f'{size:.0f} MiB' for size in sizes)} (a tenth of the time, the end)")
    return 1 if wrong.total() else 0


if __name__ == "__main__":
    sys.exit(exit_code(main))
