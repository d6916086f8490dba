"""The messages between master and workers, over Locust's own connection. All fields travel as msgpack;
`loadgen.protocol.gate` checks each."""

from dataclasses import asdict, dataclass
from typing import Any

from common.usage import UsageError
from loadgen.workload.scenario import Scenario
from loadgen.workload.vocabulary import Vocabulary

# master to worker
# plan (a Plan as a dict), lane (number), folder (the run's, on the master), users (classes)
PLAN = "tokenswarm-plan"
ASK = "tokenswarm-ask"  # nothing: is this a worker of ours? Only one that says HERE gets a lane
PING = "tokenswarm-ping"  # lane, number, sent
# zero: the run's start on the worker's own monotonic clock; beside: null, or this worker watches its machine,
# on which these processes are workers, too
START = "tokenswarm-start"
DRAIN = "tokenswarm-drain"  # end: launch nothing that is due at it or later, s from the start
CLOSE = "tokenswarm-close"  # end what is in flight, send the rest, say CLOSED
GOT = "tokenswarm-got"  # number: that batch is safe
END = "tokenswarm-end"  # the run is over; written: nothing that is left can be added to it

# worker to master
HERE = "tokenswarm-here"  # process: the answer to ASK, of no run yet
# Each from here on has `run`, the plan's: what comes late is of no other run
# lane, worker (what it is), process, boot (whose monotonic clock), error (text or null)
READY = "tokenswarm-ready"
PONG = "tokenswarm-pong"  # number, sent, theirs
BATCH = "tokenswarm-batch"  # lane, number, content (an Arrow file)
# lane, due, in_flight, events, idle, undecided: who may still meet the SLO, and loadgen.live.pulse.Pulse's
PULSE = "tokenswarm-pulse"
# lane, batches, records, due, left: whether before its time, cost: loadgen.host.overhead.Cost, connections,
# …, watched: what it saw of its machine (loadgen.records.watched), or null
CLOSED = "tokenswarm-closed"


WATCHED_LARGEST = 16 * 2**20  # bytes; an hour's samples take 1 MB


@dataclass(frozen=True)
class Plan:
    """One run, as PLAN tells it: enough, with the lane's number, to make a lane's load to the byte."""

    run: str
    scenario: dict[str, Any]
    seed: int
    checksum: str  # of the schedule: a worker that comes to another one must not start
    lanes: int
    host: str
    model: str
    vllm: bool
    extensions: list[str]  # of loadgen.api.kind.EXTENSIONS, those that the server takes
    vocabulary: dict[str, Any]
    verify: bool | str
    keep_text: bool
    with_key: bool  # whether requests carry the key, and the headers, of the worker's own environment
    headers: list[str]  # names of those; a worker that lacks one would send other requests
    direct: str | None = None  # the server itself, where the host is a gateway: some requests go there

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "Plan":
        """Raises UsageError for a plan of another version."""
        try:
            return cls(**data)
        except TypeError:
            raise UsageError(
                "this worker does not know the master's plan: give both the same version of this project"
            ) from None

    def read_scenario(self) -> Scenario:
        return Scenario.from_dict(self.scenario)

    def read_vocabulary(self) -> Vocabulary:
        return Vocabulary.from_dict(self.vocabulary)
