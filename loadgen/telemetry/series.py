"""What there is to export of a run at this moment: one observation for each series."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from loadgen.live import instruments
from loadgen.live.histogram import Histogram
from loadgen.live.instruments import COUNTED, Instrument
from loadgen.live.live import Live
from loadgen.master.run import Run
from loadgen.protocol.settings import Subject
from loadgen.records.record import COMPLETED, EMPTY, FAILED, UNFINISHED

STATES = ("preparing", "running", "draining", "closing", "finished")
VERDICTS = ("VALID", "TOO-SHORT", "SATURATED", "CLIENT-LIMITED", "DISTURBED", "INVALID")
ENDINGS = (COMPLETED, EMPTY, FAILED, UNFINISHED)

Attributes = dict[str, str | int]


@dataclass(frozen=True)
class Observation:
    """`value`: a number, or for a histogram instrument a Histogram of the whole run so far."""

    instrument: Instrument
    attributes: Attributes
    value: float | Histogram


class Observed:
    """One run and what it is called. `paths`: the URL paths of the user classes that make its requests.

    Every series of every workload is there from the run's beginning, at 0, and no counter ever goes back.
    """

    def __init__(self, run: Run, subject: Subject, paths: Iterable[str]) -> None:
        plan, scenario = run.plan, run.schedule.scenario
        self.run = run
        self.verdict: str | None = None  # once the run has been judged
        self._common: Attributes = {"run": plan.run, "variant": subject.variant, "model": plan.model}
        self._conventional: Attributes = {
            "gen_ai.operation.name": operation(paths),
            "gen_ai.provider.name": "vllm" if plan.vllm else "openai",
            "gen_ai.request.model": plan.model,
            **_server(plan.host),
        }
        self._information: Attributes = {
            "scenario": scenario.name,
            "scenario_hash": scenario.hash(),
            "seed": plan.seed,
            "target": subject.target or "",
        }
        self._workloads = run.schedule.arrivals.values("workload")

    def observations(self) -> Iterator[Observation]:
        """Of this moment."""
        live = self.run.live
        yield from self._totals(live)
        for workload in sorted(self._workloads | set(live.workloads())):
            yield from self._of_workload(live, workload)
        yield from self._states(live)

    def _totals(self, live: Live) -> Iterator[Observation]:
        point = live.points[-1] if live.points else None
        going = point if not self.run.over.is_set() else None  # a run that is over has no rates
        values: dict[Instrument, float | None] = {
            instruments.ARRIVALS_DUE: live.due,
            instruments.IN_FLIGHT: live.in_flight,
            **{each: going.rates[name] if going else 0.0 for name, each in instruments.OF_RATES.items()},
            instruments.RUNNING: point.running if point else None,
            instruments.WAITING: point.waiting if point else None,
            instruments.GPU_POWER: live.gauges.get("watts"),
            instruments.GPU_ENERGY: live.gauges.get("joules"),
            instruments.LANES: len(live.lanes),
            instruments.LANES_LOST: len(live.lost),
            instruments.ELAPSED: point.t if point else self.run.now,
            instruments.SCHEDULE: live.end,
        }
        for instrument, value in values.items():
            if value is not None:
                yield Observation(instrument, self._common, value)
        yield Observation(instruments.INFO, self._common | self._information, 1)

    def _of_workload(self, live: Live, workload: str) -> Iterator[Observation]:
        own: Attributes = self._common | {"workload": workload}
        counts = live.counts(workload)
        yield Observation(instruments.SENT, own, counts["sent"])
        yield Observation(instruments.OUTPUT_TOKENS, own, counts["tokens"])
        for status in ENDINGS:
            yield Observation(instruments.REQUESTS, own | {"status": status}, counts[status])
        found = live.histograms.get(workload) or instruments.histograms()
        for name, (instrument, extra) in COUNTED.items():
            named = own | self._conventional if instrument.name.startswith("gen_ai.") else own
            yield Observation(instrument, {**named, **extra}, found[name])

    def _states(self, live: Live) -> Iterator[Observation]:
        state = "finished" if self.run.over.is_set() else self.run.phase
        yield from _one_of(instruments.STATE, self._common, "state", STATES, state)
        if self.verdict or not self.run.over.is_set():  # a run that failed before it was judged has none
            verdict = self.verdict or live.verdict()[0]
            yield from _one_of(instruments.VERDICT, self._common, "verdict", VERDICTS, verdict)


def operation(paths: Iterable[str]) -> str:
    """gen_ai.operation.name of what is asked of these URL paths."""
    names = {
        "chat/completions": "chat",
        "responses": "chat",
        "messages": "chat",
        "completions": "text_completion",
    }
    asked = {path.strip("/").removeprefix("v1/") for path in paths}
    return "+".join(sorted({names.get(path, path) for path in asked}))


def _server(url: str) -> Attributes:
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return {"server.address": parts.hostname or "", "server.port": port}


def _one_of(
    instrument: Instrument, common: Mapping[str, str | int], label: str, known: Iterable[str], now: str
) -> Iterator[Observation]:
    for each in known:
        yield Observation(instrument, {**common, label: each}, float(each == now))
