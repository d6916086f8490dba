"""Planted causes, and whom a run blames for them: `tokenswarm bench blame`.

Each cause is planted some times beside a run of the real load path against the metronome. A run blames the
right one where its verdict, or a stall that the report names, says so. Each run without a cause is compared
with each one beside which another program ran: the server is the same, so no difference may be claimed.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.request import urlopen

import psutil

from bench import load
from bench.process import Child, metronome
from common.results import SUMMARY
from common.usage import UsageError
from loadgen.host.machine import describe
from reports.commands.assembly import assemble
from reports.commands.compare import MINIMUM_EFFECT
from reports.metrics import request_metrics
from reports.metrics.stalls import stalls
from reports.runs.runs import Run, load_run

RATE, SECONDS = 70.0, 10.0  # 700 requests in the window: enough for a p99
CALM = ("VALID", "TOO-SHORT")
LEAST = 0.95  # of the runs that blame the right one
BEGUN = 5  # requests in flight: more than the one that is tried before a run
Plant = contextlib.AbstractContextManager[None]
_BURN = """
import sys, time
share = float(sys.argv[1])
while True:
    end = time.monotonic() + 0.1 * share
    while time.monotonic() < end:
        pass
    time.sleep(0.1 * (1 - share))
"""


@dataclass(frozen=True)
class Outcome:
    """What a run says."""

    run: Run
    verdict: str
    failed: dict[str, str]  # rules, and what they say

    @property
    def stalled(self) -> bool:
        """Whether the report says that no token came for two seconds or more."""
        return bool(stalls(self.run))


@dataclass(frozen=True)
class Cause:
    """`plant`: what goes on while a run does. `right`: whether the run blames the right one. `server`: the
    metronome's options."""

    told: str
    culprit: str
    right: Callable[[Outcome], bool]
    plant: Callable[[Child], Plant] = lambda server: contextlib.nullcontext()
    server: tuple[str, ...] = ()
    burns: bool = False


def _calm(found: Outcome) -> bool:
    return found.verdict in CALM and not found.stalled and "server_process_full" not in found.failed


def _disturbed(found: Outcome) -> bool:
    return found.verdict == "DISTURBED"


def _stopped_server(found: Outcome) -> bool:
    return found.stalled and found.verdict not in ("CLIENT-LIMITED", "DISTURBED")


@contextlib.contextmanager
def burning(share: float) -> Iterator[None]:
    """Other programs, one for each core, that take this share of all of them."""
    programs = [
        subprocess.Popen([sys.executable, "-c", _BURN, str(share)]) for _ in range(os.cpu_count() or 1)
    ]
    try:
        yield
    finally:
        for each in programs:
            each.kill()
            each.wait()


@contextlib.contextmanager
def halted(pid: int) -> Iterator[None]:
    """A process that stands still."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@contextlib.contextmanager
def for_a_while(server: Child, seconds: float, cause: Callable[[], Plant]) -> Iterator[None]:
    """The cause for so long, from three seconds after the load has begun on."""
    over = threading.Event()

    def wait() -> None:
        while not over.wait(0.2):
            if _in_flight(server.url) >= BEGUN and not over.wait(3.0):
                with cause():
                    over.wait(seconds)
                return

    thread = threading.Thread(target=wait)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _in_flight(url: str) -> float:
    with contextlib.suppress(OSError, ValueError), urlopen(f"{url}/metrics", timeout=2) as answer:
        lines = answer.read().decode().splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith("vllm:num_requests_running"))
    return 0.0


def _worker() -> int:
    """The process of the one worker, which the load generator that this process started has started."""
    drives = [each for each in psutil.Process().children() if "locust" in each.cmdline()]
    return drives[0].children()[0].pid


def _pace(found: Outcome) -> bool:
    value = request_metrics.percentile(found.run, "tpot", 0.5).value
    return _calm(found) and value is not None and abs(value / load.TPOT - 1) < 0.02


CAUSES: dict[str, Cause] = {
    "nothing": Cause("nothing", "nobody", _calm),
    "burn-60": Cause(
        "another program takes 60 % of the cores all through",
        "machine",
        _disturbed,
        lambda server: burning(0.6),
        burns=True,
    ),
    "burn-30": Cause(
        "another program takes 30 % of the cores all through",
        "machine",
        _disturbed,
        lambda server: burning(0.3),
        burns=True,
    ),
    "burn-4s": Cause(
        "another program takes 60 % of the cores for 4 s",
        "machine",
        _disturbed,
        lambda server: for_a_while(server, 4.0, lambda: burning(0.6)),
        burns=True,
    ),
    "server-stops": Cause(
        "the server stands still for 3 s",
        "server",
        _stopped_server,
        lambda server: for_a_while(server, 3.0, lambda: halted(server.process.pid)),
    ),
    "client-stops": Cause(
        "the worker stands still for 3 s",
        "client",
        lambda found: found.verdict == "CLIENT-LIMITED",
        lambda server: for_a_while(server, 3.0, lambda: halted(_worker())),
    ),
    "service-limit": Cause(
        "the server begins 50 requests/s at most",
        "server",
        lambda found: found.verdict == "SATURATED",
        server=("--capacity", "50"),
    ),
    "speculation": Cause(
        "chunks of 5 tokens (TPOT is as it was)",
        "nobody",
        _pace,
        server=("--chunk", "5"),
    ),
    "refusals": Cause(
        "the server fails one request in twenty",
        "server",
        lambda found: "failed_share" in found.failed and found.verdict == "INVALID",
        server=("--fail", "0.05"),
    ),
}


@dataclass
class Count:
    """Of one cause."""

    runs: list[Outcome] = field(default_factory=list)
    right: int = 0

    @property
    def verdicts(self) -> str:
        found = Counter(each.verdict for each in self.runs)
        return ", ".join(f"{verdict} {count}" for verdict, count in found.most_common())


def measure(cause: Cause, folder: Path) -> Outcome:
    """Make one run with the cause beside it. Raises UsageError when the run fails."""
    with metronome("--ttft", "0.08", "--tpot", "0.02", "--as-vllm", *cause.server) as server:
        with cause.plant(server):
            load.drive(server.url, RATE, SECONDS, folder)
        server.stop()
    summary = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
    failed = {rule["rule"]: rule["text"] for rule in summary["rules"] if not rule["passed"]}
    return Outcome(load_run(folder), summary["verdict"], failed)


def false_claims(calm: list[Outcome], burnt: list[Outcome]) -> tuple[int, int]:
    """Pairs of one server with itself, others beside one of them: in how many a difference is claimed."""
    pairs = claimed = 0
    for one in calm:
        for other in burnt:
            runs = [_called(one.run, "A"), _called(other.run, "B")]
            found = assemble(runs, baseline="A", minimum_effect=MINIMUM_EFFECT / 100, name="", command="")
            pairs += 1
            marks = {change.mark for metric in found.metrics for change in metric.changes}
            claimed += bool(marks & {"better", "worse"})
    return pairs, claimed


def _called(run: Run, variant: str) -> Run:
    return replace(run, manifest=run.manifest.model_copy(update={"variant": variant}), memo={})


def watching(found: list[Outcome]) -> float:
    """The largest share of a core that the watching of the machine took in a run."""
    shares = [0.0]
    for each in found:
        series = each.run.machine.gauge("host:watch_cpu_seconds_total")
        if series is not None and len(series[0]) > 1:
            shares.append(float((series[1][-1] - series[1][0]) / (series[0][-1] - series[0][0])))
    return max(shares)


def add_arguments(parser: ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("--tries", type=int, default=3, help="how often each cause is planted (default: 3)")
    parser.add_argument("--only", nargs="+", choices=CAUSES, metavar="CAUSE", help=", ".join(CAUSES))
    parser.add_argument(
        "--within", type=float, default=3600.0, metavar="S", help="begin no run after so long"
    )


def run(given: Namespace) -> int:
    """Print the table. Exit code 1 where fewer than 95 % are right, or "nothing" is blamed."""
    if given.tries < 1:
        raise UsageError(f"--tries {given.tries}: must be 1 or more")
    chosen = {name: cause for name, cause in CAUSES.items() if not given.only or name in given.only}
    counts, began = {name: Count() for name in chosen}, time.monotonic()
    with tempfile.TemporaryDirectory(prefix="blame-") as home:
        for number in range(given.tries):
            for name, cause in chosen.items():
                if time.monotonic() - began > given.within:
                    break
                variant = f"{name}-{number}"
                found = measure(cause, Path(home, variant))
                counts[name].runs.append(found)
                right = cause.right(found)
                counts[name].right += right
                told = f"{variant}: {found.verdict}{'' if right else ' (wrong)'}"
                why = "; ".join(f"{rule}: {text}" for rule, text in found.failed.items())
                print(f"{told}: {why}", file=sys.stderr, flush=True)
        return _show(chosen, counts)


def _show(chosen: dict[str, Cause], counts: dict[str, Count]) -> int:
    here = describe()
    print(f"{here['cpu']}, {here['cores']} cores; {RATE:g} requests/s for {SECONDS:g} s, metronome\n")
    print("| planted | to blame | runs | verdicts | right |\n|---|---|--:|---|--:|")
    for name, cause in chosen.items():
        count = counts[name]
        print(f"| {cause.told} | {cause.culprit} | {len(count.runs)} | {count.verdicts} | {count.right} |")
    every = [each for count in counts.values() for each in count.runs]
    right, total = sum(count.right for count in counts.values()), len(every)
    calm = counts["nothing"].runs if "nothing" in counts else []
    burnt = [each for name, count in counts.items() if chosen[name].burns for each in count.runs]
    pairs, claimed = false_claims(calm, burnt)
    print(f"\nright: {right} of {total}; one server with itself, others beside one of them: a difference")
    print(f"claimed in {claimed} of {pairs} pairs.")
    print(f"the watching took {100 * watching(every):.2f} % of a core at most")
    sound = "nothing" not in counts or counts["nothing"].right == len(counts["nothing"].runs)
    return 0 if total and right >= LEAST * total and sound and not claimed else 1
