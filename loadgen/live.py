"""A run while it goes: what the workers' pulses add up to. For eyes; the report is made from the records."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from loadgen.digest import METRICS, Digest
from loadgen.histogram import Histogram
from loadgen.instruments import histograms
from loadgen.record import COMPLETED, FAILED

ALL = "all"
SHARES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}
RECENT = 10  # s over which rates and the charts' percentiles are taken
LAG_BOUND = 0.005  # s; as the verdict's rule
BEHIND = 0.9  # of the offered rate: a server that completes less while more is in flight falls behind
GROWN = 1.25  # times as much in flight as RECENT seconds before

Percentiles = dict[str, dict[str, float | int | None]]  # metric: p50, p90, p95, p99 (s), count


@dataclass(frozen=True)
class Point:
    """One second of the run; rates are per second over the last RECENT seconds, times are seconds."""

    t: float
    offered_rate: float
    completed_rate: float
    token_rate: float
    in_flight: int
    running: float | None
    waiting: float | None
    ttft_p50: float | None
    ttft_p90: float | None
    ttft_p99: float | None
    tpot_p50: float | None
    tpot_p90: float | None
    tpot_p99: float | None


@dataclass
class Lane:
    """The last pulse of one lane; `t`: when it was sent, seconds from the start."""

    t: float = 0.0
    due: int = 0
    in_flight: int = 0
    events: int = 0
    chunks: int = 0  # of answers under way
    idle: bool = False
    counts: dict[str, Counter[str]] = field(default_factory=dict)


class Live:
    """`end`: the schedule's, seconds from the start. `window`: (start, end) of what is judged."""

    def __init__(self, end: float, window: tuple[float, float], lanes: int) -> None:
        self.end, self.window = end, window
        self.lanes = {number: Lane() for number in range(lanes)}
        self.lost: set[int] = set()
        self.points: list[Point] = []
        self.histograms: dict[str, dict[str, Histogram]] = {}  # by workload; keys of instruments.COUNTED
        self._digests: dict[str, dict[str, Digest]] = {}
        self._second: dict[str, Digest] = {name: Digest() for name in METRICS}
        self._seconds: list[dict[str, Digest]] = []
        self._totals: list[tuple[float, int, int, int]] = []  # t, due, completed, tokens

    def pulse(self, data: dict[str, Any]) -> None:
        """Take one worker's pulse (loadgen.messages.PULSE)."""
        lane = self.lanes[data["lane"]]
        lane.t, lane.due, lane.in_flight = max(data["t"], 0.0), data["due"], data["in_flight"]
        lane.events, lane.chunks, lane.idle = data["events"], data["chunks"], data["idle"]
        lane.counts = {workload: Counter(counts) for workload, counts in data["counts"].items()}
        for workload, found in data["digests"].items():
            known = self._digests.setdefault(workload, {name: Digest() for name in METRICS})
            for name, sparse in found.items():
                known[name].merge(sparse)
                self._second[name].merge(sparse)
        for workload, counted in data.get("histograms", {}).items():
            mine = self.histograms.setdefault(workload, histograms())
            for name, buckets in counted.items():
                mine[name].merge(buckets)

    def tick(self, now: float, gauges: dict[str, float]) -> None:
        """Close one second at `now`; `gauges`: the server's running and waiting, where it says them."""
        self._seconds = [*self._seconds[1 - RECENT :], self._second]
        self._second = {name: Digest() for name in METRICS}
        total = self.counts()
        came = total["tokens"] + sum(lane.chunks for lane in self.lanes.values())
        self._totals = [*self._totals[-RECENT:], (self._told, self.due, total[COMPLETED], came)]
        offered, completed, tokens = self._rates()
        ttft, tpot = self._recent("ttft"), self._recent("tpot")
        point = Point(
            t=now,
            offered_rate=offered,
            completed_rate=completed,
            token_rate=tokens,
            in_flight=self.in_flight,
            running=gauges.get("running"),
            waiting=gauges.get("waiting"),
            ttft_p50=ttft.percentile(0.5),
            ttft_p90=ttft.percentile(0.9),
            ttft_p99=ttft.percentile(0.99),
            tpot_p50=tpot.percentile(0.5),
            tpot_p90=tpot.percentile(0.9),
            tpot_p99=tpot.percentile(0.99),
        )
        self.points.append(point)

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

    def workloads(self) -> list[str]:
        """The parts of a mix that have been seen, in the order of their names."""
        return sorted({name for lane in self.lanes.values() for name in lane.counts})

    def counts(self, workload: str = ALL) -> Counter[str]:
        """sent, completed, failed, unfinished, tokens so far."""
        total: Counter[str] = Counter()
        for lane in self.lanes.values():
            for name, counts in lane.counts.items():
                if workload in (ALL, name):
                    total.update(counts)
        return total

    def percentiles(self, workload: str = ALL) -> Percentiles:
        """Of the whole run so far, to 1 %."""
        parts = [found for name, found in self._digests.items() if workload in (ALL, name)]
        result: Percentiles = {}
        for metric in METRICS:
            whole = Digest()
            for part in parts:
                whole.add_all(part[metric])
            row: dict[str, float | int | None] = {
                name: whole.percentile(share) for name, share in SHARES.items()
            }
            result[metric] = row | {"count": whole.count}
        return result

    def verdict(self) -> tuple[str, str]:
        """The verdict so far and why, of what can be seen while the run goes."""
        if self.lost:
            return "INVALID", f"lane {', '.join(map(str, sorted(self.lost)))} was lost"
        lag = self.percentiles()["send_lag"]["p99"]
        if lag is not None and lag > LAG_BOUND:
            return "CLIENT-LIMITED", f"send lag p99 {lag * 1e3:.1f} ms"
        if len(self.points) > RECENT and self.points[-1].t <= self.end:
            now, before = self.points[-1], self.points[-1 - RECENT]
            if now.completed_rate < BEHIND * now.offered_rate and now.in_flight > GROWN * before.in_flight:
                return "SATURATED", f"{now.completed_rate:.1f} of {now.offered_rate:.1f}/s complete"
        failed = self.counts()[FAILED]
        return "VALID", f"{failed} failed" if failed else "nothing against it so far"

    @property
    def _told(self) -> float:
        """The moment that the lanes' last pulses tell of, seconds from the start."""
        times = [lane.t for number, lane in self.lanes.items() if number not in self.lost]
        return sum(times) / len(times) if times else 0.0

    def _rates(self) -> tuple[float, float, float]:
        """Arrivals, completions and tokens per second, lately. A chunk counts as one token until its answer
        has ended and the tokens are known."""
        (t0, *first), (t1, *last) = self._totals[0], self._totals[-1]
        span = t1 - t0
        if span <= 0:
            return 0.0, 0.0, 0.0
        offered, completed, tokens = (
            max(late - early, 0) / span for early, late in zip(first, last, strict=True)
        )
        return offered, completed, tokens

    def _recent(self, metric: str) -> Digest:
        whole = Digest()
        for second in self._seconds:
            whole.add_all(second[metric])
        return whole
