"""The verbs of the command: a new one is an entry here and a module with `add_arguments` and `run`.

Only the module of the verb given is imported, so that help is quick and judging a small run stays quick.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Verb:
    """`module` has `add_arguments(parser)` and `run(given) -> exit code`."""

    module: str
    line: str  # what it does
    example: str
    after: str = ""  # what may stand after "--", which is then in given.words


@dataclass(frozen=True)
class Group:
    """Verbs of a verb; without a name it is the usual one, where there is one."""

    line: str
    verbs: Mapping[str, "Verb | Group"]
    usual: str = ""


BENCHES: Final[Mapping[str, Verb | Group]] = {
    "accuracy": Verb(
        "bench.accuracy", "measure how exact and how cheap the load generator is here", "--rates 20 200"
    ),
    "calibrate": Verb(
        "bench.calibrate", "the same, kept: reports then state the client's error", "--seconds 25"
    ),
    "verdict": Verb(
        "bench.verdict", "count how often a comparison claims what, in simulation", "--campaigns 200"
    ),
    "race": Verb("bench.race", "count how often a race of variants ends right, in simulation", "--races 50"),
    "capacity": Verb("bench.capacity", "see how true simulated capacity searches are", "--searches 50"),
    "campaigns": Verb("bench.campaigns", "time campaigns against another build", "--base ../before"),
    "stopping": Verb("bench.stopping", "see whether runs that are stopped early turn claims", "--pairs 100"),
    "blame": Verb("bench.blame", "plant causes, and see whom runs blame for them", "--tries 3"),
    "forecast": Verb("bench.forecast", "hold forecasts against runs made after them", "--table"),
    "report": Verb("bench.report", "measure time and memory of reports", "1200 1000000"),
    "start": Verb("bench.start", "measure how long a run takes to start", "--arrivals 1000000"),
    "streams": Verb("bench.streams", "measure 10,000 open streams, and 100,000 short requests", "--case 1"),
    "endurance": Verb(
        "bench.endurance", "see whether memory stays flat over a soak", "--faster 12 --seconds 180"
    ),
    "metronome": Verb(
        "bench.metronome", "serve on a known timetable, to be measured against", "--ttft 0.02 --tpot 0.005"
    ),
    "rosetta": Verb("bench.rosetta", "see what other tools report of a known stream", "--peers peers"),
    "floor": Verb(
        "bench.floor",
        "send, receive and stamp, nothing else: the kernel's share",
        "--port 8000 --rate 20 --seconds 25",
    ),
    "cores": Verb("bench.cores", "measure rates that take many cores", "--rates 2000 4000 --workers 8"),
    "synthetic": Verb("bench.synthetic", "write a run folder that was never run", "runs/one --records 1200"),
}

VERBS: Final[Mapping[str, Verb | Group]] = {
    "run": Verb("tokenswarm.commands.run", "serve a variant, load it, judge the run", "baseline --rps 10"),
    "compare": Verb(
        "tokenswarm.commands.compare",
        "run variants in turn, several times each, and report",
        "baseline optimized --repeats 3",
    ),
    "sweep": Verb(
        "tokenswarm.commands.sweep", "run many variants once each, and report", "baseline batch-8 compiled"
    ),
    "tune": Verb(
        "tokenswarm.commands.tune",
        "race variants, drop who is beaten, name the best",
        "baseline batch-8 batch-16 --budget 30m",
    ),
    "capacity": Verb(
        "campaign.capacity",
        "find the highest rate at which a variant meets the SLO",
        "baseline --slo-ttft 500",
    ),
    "curve": Verb(
        "campaign.curve",
        "run variants over several rates, and report where they part",
        "baseline --rates 5,10",
    ),
    "ui": Verb("campaign.ui", "open Locust's web UI with a variant behind it", "baseline --web-port 8089"),
    "report": Verb(
        "reports.commands.compare", "write the report of runs that were made", "--baseline baseline"
    ),
    "forecast": Verb(
        "forecast.command", "say from one run what others would show", "RUN batch-8 --rates 5,10,20"
    ),
    "check": Verb(
        "reports.commands.check",
        "hold a run against the last ones of its kind",
        "results/RUN --against history",
    ),
    "judge": Verb("reports.verdict.judge", "write a run's summary.json and say its verdict", "results/RUN"),
    "audit": Verb("reports.commands.audit", "report on another tool's result files", "a.json b.json"),
    "export": Verb(
        "reports.commands.export", "write a run as another tool's result file", "results/RUN --to vllm"
    ),
    "history": Verb(
        "tokenswarm.commands.history", "list all runs, and what waits to be recovered", "--limit 20"
    ),
    "recover": Verb(
        "tokenswarm.commands.recover", "make a run of what was left when the master died", "results/RUN"
    ),
    "serve": Verb(
        "server.launch", "serve a variant, or run a command against it", "optimized --dry-run", "COMMAND …"
    ),
    "variants": Verb("tokenswarm.commands.variants", "list the variants and what each changes", ""),
    "server-setup": Verb("server.install", "make the server's environment", "--target cpu-tiny"),
    "wheelhouse": Verb(
        "server.wheelhouse", "download all wheels for a machine without network", "--target h100-qwen2.5-7b"
    ),
    "master": Verb(
        "tokenswarm.commands.master",
        "wait for workers of other hosts, then load a server",
        "--host http://192.0.2.10:8000 --workers 3",
        "LOCUST OPTIONS",
    ),
    "worker": Verb(
        "tokenswarm.commands.worker",
        "make load for the master of another host",
        "--master 192.0.2.20",
        "LOCUST OPTIONS",
    ),
    "bench": Group("measure the load generator and the reports themselves", BENCHES, "accuracy"),
    "completion": Verb("tokenswarm.commands.completion", "print a shell's completion script", "bash"),
}

TOKENSWARM: Final = Group("Load tests of vLLM servers whose numbers survive an audit", VERBS)
