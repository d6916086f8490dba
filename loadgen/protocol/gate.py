"""The one gate that every message of ours passes before anything looks at it: names, types and ranges.

The sender holds the run's token (loadgen.protocol.access); a fault of its own must cost no other's records.
"""

from typing import Annotated, Any

from pydantic import ConfigDict, Field, FiniteFloat, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict

from loadgen.protocol import messages

MOST = 2**62
_COLUMNS = Field(strict=False)  # msgpack makes a list of a tuple
_STRICT = ConfigDict(strict=True, extra="forbid")

Count = Annotated[int, Field(ge=0, le=MOST)]
Name = Annotated[str, Field(max_length=300)]
Text = Annotated[str, Field(max_length=10_000)]
Workload = Annotated[str, Field(max_length=1000)]
Bucket = Annotated[int, Field(ge=0, lt=10_000)]  # of those that there are: loadgen.live knows
Digests = dict[Workload, dict[Name, Annotated[tuple[list[Bucket], list[Count]], _COLUMNS]]]
Histograms = dict[
    Workload, dict[Name, Annotated[tuple[list[Bucket], list[Count], list[FiniteFloat]], _COLUMNS]]
]


class MessageError(ValueError):
    """A message that is none of ours, or a wrong one: its text says what is wrong."""


@with_config(_STRICT)
class Process(TypedDict):
    pid: Count
    space: Name
    began: Name


@with_config(_STRICT)
class Here(TypedDict):
    process: Process


@with_config(_STRICT)
class Ready(TypedDict):
    run: Name
    lane: Count
    worker: Name
    process: Process
    boot: Name
    error: Text | None


@with_config(_STRICT)
class Pong(TypedDict):
    run: Name
    lane: Count
    number: Count
    sent: FiniteFloat
    theirs: FiniteFloat


@with_config(_STRICT)
class Batch(TypedDict):
    run: Name
    lane: Count
    number: Annotated[int, Field(ge=0, lt=10**6)]
    content: bytes


@with_config(_STRICT)
class Pulse(TypedDict):
    run: Name
    lane: Count
    t: FiniteFloat
    due: Count
    in_flight: Count
    events: Count
    chunks: Count
    idle: bool
    undecided: Count
    counts: dict[Workload, dict[Name, Count]]
    digests: Digests
    warmup: Digests
    histograms: Histograms


@with_config(_STRICT)
class Cost(TypedDict):
    cpu_s: FiniteFloat
    wall_s: FiniteFloat
    stall_p99_ms: FiniteFloat | None
    stall_max_ms: FiniteFloat | None


@with_config(_STRICT)
class Network(TypedDict):
    round_trip_s: FiniteFloat | None
    segments: Count
    segments_lost: Count


@with_config(_STRICT)
class Closed(TypedDict):
    run: Name
    lane: Count
    batches: Count
    records: Count
    due: Count
    left: bool
    cost: Cost | None
    connections: Count
    peak_in_flight: Count
    open_files_limit: Count
    beside_server: bool
    cores: Count | None
    stamps: Name | None
    network: Network
    scheduling: Name
    watched: Annotated[bytes, Field(max_length=messages.WATCHED_LARGEST)] | None


@with_config(_STRICT)
class PlanOfLane(TypedDict):
    plan: dict[str, Any]
    lane: Count
    folder: Text
    users: list[Name]


@with_config(_STRICT)
class Ping(TypedDict):
    run: Name
    lane: Count
    number: Count
    sent: FiniteFloat


@with_config(_STRICT)
class Start(TypedDict):
    zero: FiniteFloat
    beside: list[Count] | None


@with_config(_STRICT)
class Drain(TypedDict):
    end: FiniteFloat


@with_config(_STRICT)
class Empty(TypedDict):
    pass


@with_config(_STRICT)
class Got(TypedDict):
    number: Count


@with_config(_STRICT)
class End(TypedDict):
    written: bool


_SHAPES: dict[str, TypeAdapter[Any]] = {
    name: TypeAdapter(shape)
    for name, shape in {
        messages.PLAN: PlanOfLane,
        messages.PING: Ping,
        messages.START: Start,
        messages.DRAIN: Drain,
        messages.CLOSE: Empty,
        messages.ASK: Empty,
        messages.GOT: Got,
        messages.END: End,
        messages.HERE: Here,
        messages.READY: Ready,
        messages.PONG: Pong,
        messages.BATCH: Batch,
        messages.PULSE: Pulse,
        messages.CLOSED: Closed,
    }.items()
}


def check(name: str, data: Any) -> dict[str, Any]:
    """The message's data, when it is what a `name` holds. Raises MessageError."""
    try:
        found: dict[str, Any] = _SHAPES[name].validate_python(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))[:100]
        raise MessageError(f"{name}: {where or 'the whole'}: {first['msg']}") from None
    except RecursionError:
        raise MessageError(f"{name}: nested too deep") from None
    if name == messages.PULSE:
        for part in ("digests", "warmup", "histograms"):
            for metrics in found[part].values():
                if any(len({len(column) for column in columns}) > 1 for columns in metrics.values()):
                    raise MessageError(f"{name}: {part}: not one count for each bucket")
    return found
