"""A run while it goes: what the workers' pulses add up to. For eyes; the report is made from the records."""

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from loadgen.live.histogram import Digest, Histogram, empty_digests
from loadgen.live.instruments import histograms
from loadgen.records.metrics import live
from loadgen.records.rates import RECENT, Rate
from loadgen.records.rates import live as live_rates
from loadgen.records.record import COMPLETED, EMPTY, FAILED, UNFINISHED

ALL = "all"
SHARES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}
CHARTED, CHARTED_SHARES = ("ttft", "tpot"), ("p50", "p90", "p99")
LAG_BOUND = 0.005  # s; as the verdict's rule
BEHIND = 0.9  # of the offered rate: a server that completes less while more is in flight falls behind
GROWN = 1.25  # times as much in flight as once the run had settled
SETTLED = 0.9  # share of the answers that are shorter than the run was old then
SMOOTH = 5  # points that in flight is averaged over
BEYOND_CHANCE = 3.0  # standard deviations of the difference of two counts of independent requests
LEAST_SPAN = 0.5  # s; over less, a rate is chance
FAILED_SHARE = 0.01  # of the arrivals; as the verdict's rules

Percentiles = dict[str, dict[str, float | int | None]]  # metric: p50, p90, p95, p99 (s), count


@dataclass(frozen=True)
class Point:
    """One second of the run; rates and times are of the last RECENT seconds."""

    t: float
    rates: dict[str, float]  # per second, by name
    in_flight: int
    running: float | None
    waiting: float | None
    times: dict[str, float | None]  # s, by name: "ttft_p50"

    def row(self) -> dict[str, float | None]:
        """Its figures by name; every point has the same."""
        server = {"in_flight": self.in_flight, "running": self.running, "waiting": self.waiting}
        return {"t": self.t, **self.rates, **server, **self.times}


COLUMNS = (  # of Point.row
    *("t", *(each.name for each in live_rates()), "in_flight", "running", "waiting"),
    *(f"{metric}_{name}" for metric in CHARTED for name in CHARTED_SHARES),
)


class Came(NamedTuple):
    """What the lanes have told of so far, at `t` (seconds from the start): what live rates are made of."""

    t: float
    due: int
    completed: int
    tokens: int  # a chunk counts as one until its answer has ended and the tokens are known


@dataclass(frozen=True)
class Flow:
    """Rates per second over the last RECENT seconds, and counts since the start.

    `token_rate`: of requests that have ended.
    """

    sent_rate: float
    completed_rate: float
    token_rate: float
    in_flight: int
    sent: int
    completed: int
    failed: int
    tokens: int


@dataclass
class LanePulse:
    """The last pulse of one lane; `t`: when it was sent, seconds from the start."""

    t: float = 0.0
    due: int = 0
    in_flight: int = 0
    events: int = 0
    chunks: int = 0  # of answers under way
    idle: bool = False
    undecided: int = 0  # of the requests under way, those that may still meet the SLO
    counts: dict[str, Counter[str]] = field(default_factory=dict)


class Live:
    """`end`: the schedule's, seconds from the start. `window`: (start, end) of what is judged."""

    def __init__(self, end: float, window: tuple[float, float], lanes: int) -> None:
        self.end, self.window = end, window
        self.lanes = {number: LanePulse() for number in range(lanes)}
        self.lost: set[int] = set()
        self.points: list[Point] = []
        self.gauges: dict[str, float] = {}  # the server's, and its GPUs', as last told
        self.histograms: dict[str, dict[str, Histogram]] = {}  # by workload; keys of instruments.COUNTED
        self._digests: dict[str, dict[str, Digest]] = {}  # of the window's requests, by workload
        self._latency = Digest()  # of all requests, the warm-up's too
        self._second = empty_digests()
        self._seconds: list[dict[str, Digest]] = []
        self._came: list[Came] = []
        self._flows: list[dict[str, Counter[str]]] = []  # counts of each workload, beside _came
        self._behind: str | None = None  # what was seen when the server last fell behind; kept in the drain

    def pulse(self, data: dict[str, Any]) -> None:
        """Take one worker's pulse (loadgen.protocol.messages.PULSE)."""
        lane = self.lanes[data["lane"]]
        lane.t, lane.due, lane.in_flight = max(data["t"], 0.0), data["due"], data["in_flight"]
        lane.events, lane.chunks = data["events"], data["chunks"]
        lane.idle, lane.undecided = data["idle"], data["undecided"]
        lane.counts = {workload: Counter(counts) for workload, counts in data["counts"].items()}
        for workload, found in data["digests"].items():
            known = self._digests.setdefault(workload, empty_digests())
            for name, sparse in found.items():
                known[name].merge(sparse)
        for found in (*data["digests"].values(), *data.get("warmup", {}).values()):
            for name, sparse in found.items():
                self._second[name].merge(sparse)
            if "latency" in found:
                self._latency.merge(found["latency"])
        for workload, counted in data.get("histograms", {}).items():
            mine = self.histograms.setdefault(workload, histograms())
            for name, buckets in counted.items():
                mine[name].merge(buckets)

    def tick(self, now: float, gauges: dict[str, float]) -> None:
        """Close one second at `now`; `gauges`: the server's running and waiting, and the joules and watts of
        its GPUs, where they are told.

        There is nothing to close before the start (`now` below 0).
        """
        if now < 0:
            return
        self.gauges = gauges
        self._seconds = [*self._seconds[1 - RECENT :], self._second]
        self._second = empty_digests()
        self._came = [*self._came[-RECENT:], self.came()]
        self._flows = [*self._flows[-RECENT:], {name: self.counts(name) for name in (ALL, *self.workloads())}]
        rates = {each.name: self._rate(each) for each in live_rates()}
        server = gauges.get("running"), gauges.get("waiting")
        self.points.append(Point(now, rates, self.in_flight, *server, self._times()))
        if now <= self.end:  # afterwards nothing is offered, so nobody can fall behind
            said = f"{rates['completed_rate']:.1f} of {rates['offered_rate']:.1f}/s complete"
            self._behind = said if self._falls_behind() else None

    @property
    def due(self) -> int:
        return sum(lane.due for lane in self.lanes.values())

    @property
    def in_flight(self) -> int:
        return sum(lane.in_flight for lane in self.lanes.values())

    @property
    def idle(self) -> bool:
        """Every lane that lives has launched all and waits for nothing."""
        return all(lane.idle or number in self.lost for number, lane in self.lanes.items())

    @property
    def decided(self) -> bool:
        """Every lane that lives has said since the end that no request under way can still meet the SLO."""
        told = {number: lane.t >= self.end and not lane.undecided for number, lane in self.lanes.items()}
        return all(known or number in self.lost for number, known in told.items())

    def workloads(self) -> list[str]:
        """The parts of a mix that have been seen, in the order of their names."""
        return sorted({name for lane in self.lanes.values() for name in lane.counts})

    def counts(self, workload: str = ALL) -> Counter[str]:
        """sent, completed, failed, refused (some of the failed), unfinished, tokens so far."""
        total: Counter[str] = Counter()
        for lane in self.lanes.values():
            for name, counts in lane.counts.items():
                if workload in (ALL, name):
                    total.update(counts)
        return total

    def came(self) -> Came:
        """Since the start."""
        total, chunks = self.counts(), sum(lane.chunks for lane in self.lanes.values())
        return Came(self._told, self.due, total[COMPLETED], total["tokens"] + chunks)

    def flow(self, workload: str = ALL) -> Flow:
        """What comes and goes of one workload, or of all."""
        now = self.counts(workload)
        first, last = (
            self._flows[place].get(workload, Counter()) if self._flows else now for place in (0, -1)
        )
        span = self._span

        def rate(name: str) -> float:
            return (last[name] - first[name]) / span if span else 0.0

        ended = now[COMPLETED] + now[EMPTY] + now[FAILED] + now[UNFINISHED]
        return Flow(
            sent_rate=rate("sent"),
            completed_rate=rate(COMPLETED),
            token_rate=rate("tokens"),
            in_flight=max(now["sent"] - ended, 0),  # what never left has ended without being sent
            sent=now["sent"],
            completed=now[COMPLETED],
            failed=now[FAILED],
            tokens=now["tokens"],
        )

    def percentiles(self, workload: str = ALL) -> Percentiles:
        """Of the window's requests so far (the warm-up's are left out), to 1 %."""
        parts = [found for name, found in self._digests.items() if workload in (ALL, name)]
        result: Percentiles = {}
        for metric in live():
            whole = Digest()
            for part in parts:
                whole.add_all(part[metric])
            row: dict[str, float | int | None] = {
                name: whole.percentile(share) for name, share in SHARES.items()
            }
            result[metric] = row | {"count": whole.count}
        return result

    def verdict(self) -> tuple[str, str]:
        """The verdict so far and why, of what can be seen while the run goes; "" while there is none."""
        if self.lost:
            return "INVALID", f"lane {', '.join(map(str, sorted(self.lost)))} was lost"
        lag = self.percentiles()["dispatch_delay"]["p99"]
        if lag is not None and lag > LAG_BOUND:
            return "CLIENT-LIMITED", f"dispatch delay p99 {lag * 1e3:.1f} ms"
        counts = self.counts()
        failed, refused, most = counts[FAILED], counts["refused"], FAILED_SHARE * self.due
        if failed - refused > most:
            return "INVALID", f"{failed} of {self.due} failed"
        if self._behind:
            return "SATURATED", self._behind
        if refused > most:
            return "SATURATED", f"{refused} of {self.due} refused or timed out"
        if failed:
            return "VALID", f"{failed} failed"
        return (
            ("VALID", "nothing against it so far") if counts[COMPLETED] else ("", "nothing has completed yet")
        )

    def _falls_behind(self) -> bool:
        """Whether the server completes less than it is offered while more and more is in flight.

        Counted from when most answers had had time to come: before, in flight grows with any server. A
        server that says itself how many wait in it needs no such time.
        """
        if len(self.points) <= RECENT or not self.counts()[COMPLETED]:
            return False
        settled = self._latency.percentile(SETTLED) or 0.0
        early = [point.in_flight for point in self.points[:-RECENT] if point.t >= settled][:SMOOTH]
        late = [point.in_flight for point in self.points[-SMOOTH:]]
        now = self.points[-1]
        if now.rates["completed_rate"] >= BEHIND * now.rates["offered_rate"]:
            return False
        if self._queue_grows():
            return True
        if not early:
            return False
        before, after = sum(early) / len(early), sum(late) / len(late)
        chance = BEYOND_CHANCE * math.sqrt(before + after)
        return after - before > max((GROWN - 1) * before, chance)

    def _queue_grows(self) -> bool:
        """Whether more have come to wait in the server than chance alone would bring in that time: more
        than a share of what was offered, and more than Poisson arrivals and as many ends part by."""
        waiting = [point.waiting for point in self.points[-RECENT - SMOOTH :]]
        known = [each for each in waiting if each is not None]
        if len(known) < RECENT + SMOOTH:
            return False
        came = self.points[-1].rates["offered_rate"] * RECENT
        grown = (sum(known[-SMOOTH:]) - sum(known[:SMOOTH])) / SMOOTH
        return grown > max((1 - BEHIND) * came, BEYOND_CHANCE * math.sqrt(2 * came))

    @property
    def _told(self) -> float:
        """The moment that the lanes' last pulses tell of, seconds from the start."""
        times = [lane.t for number, lane in self.lanes.items() if number not in self.lost]
        return sum(times) / len(times) if times else 0.0

    @property
    def _span(self) -> float:
        """Seconds that the rates are taken over; 0 while they would be chance."""
        span = self._came[-1].t - self._came[0].t if self._came else 0.0
        return span if span >= LEAST_SPAN else 0.0

    def _rate(self, each: Rate) -> float:
        """Per second, lately."""
        grown = max(each.of(self._came[-1]) - each.of(self._came[0]), 0)
        return grown / self._span if self._span else 0.0

    def _times(self) -> dict[str, float | None]:
        """The percentiles that are charted, lately."""
        found: dict[str, float | None] = {}
        for metric in CHARTED:
            whole = Digest()
            for second in self._seconds:
                whole.add_all(second[metric])
            found |= {f"{metric}_{name}": whole.percentile(SHARES[name]) for name in CHARTED_SHARES}
        return found
