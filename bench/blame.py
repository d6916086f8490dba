"""Planted causes, and whom a run blames for them: `tokenswarm bench blame`.

Each cause of `bench.causes` is planted some times beside a run of the real load path. Each run without one is
compared with each beside which another program ran: the server is the same, so no difference may be claimed.
"""

import json
import sys
import tempfile
import time
from argparse import ArgumentParser, Namespace
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path

from bench import gateways, load
from bench.causes import ANY, CAUSES, RATE, SECONDS, Cause
from bench.stands import Stand
from common.results import SUMMARY
from common.usage import UsageError
from loadgen.host.machine import describe
from reports.commands.assembly import assemble
from reports.commands.compare import MINIMUM_EFFECT
from reports.metrics import request_metrics
from reports.metrics.stalls import stalls
from reports.runs.runs import Run, load_run

LEAST = 0.95  # of the runs that blame the right one
# Rules that blame somebody by themselves; the others are the verdict's, or come with these.
BLAMING = (
    "others_on_machine",
    "server_process_full",
    "engines_alike",
    "stream_lumps",
    "gateway_timeout",
    "outside_server",
    "network_loss",
    "failed_share",
    "empty_answers",
    "warmup_long_enough",
    "server_restarted",
)


@dataclass(frozen=True)
class Outcome:
    """What a run says."""

    run: Run
    verdict: str
    failed: dict[str, str]  # rules, and what they say
    said: str  # by all rules, and as the name of a gateway
    stalled: bool  # whether the report says that no token came for two seconds or more


@dataclass
class Count:
    """Of one cause."""

    runs: list[Outcome] = field(default_factory=list)
    right: int = 0

    @property
    def verdicts(self) -> str:
        found = Counter(each.verdict for each in self.runs)
        return ", ".join(f"{verdict} {count}" for verdict, count in found.most_common())


def wrong(cause: Cause, found: Outcome) -> str:
    """What a run says amiss; empty where it blames the right one."""
    blamed = set(found.failed) & set(BLAMING)
    amiss = [
        found.verdict not in cause.verdicts and f"{found.verdict}",
        bool(lacking := sorted(set(cause.fails) - set(found.failed))) and f"not said: {', '.join(lacking)}",
        cause.may != ANY
        and bool(more := sorted(blamed - {*cause.fails, *cause.may}))
        and f"blamed: {', '.join(more)}",
        cause.says.lower() not in found.said.lower() and f"lacks {cause.says!r}",
        cause.may != ANY and found.stalled and not cause.stalls and "a stall",
        cause.stalls and not found.stalled and "no stall",
        cause.same_pace and not _same_pace(found) and "another pace",
    ]
    return "; ".join(each for each in amiss if each)


def _same_pace(found: Outcome) -> bool:
    value = request_metrics.percentile(found.run, "tpot", 0.5).value
    return value is not None and abs(value / load.TPOT - 1) < 0.02


def measure(cause: Cause, stand: Stand, folder: Path) -> Outcome:
    """Make one run with the cause beside it. Raises UsageError when the run fails."""
    with cause.plant(stand):
        more = {"drain": cause.drain, **stand.options}
        load.drive(stand.url, cause.rate, cause.seconds, folder, prefix=stand.prefix, more=more)
    summary = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
    failed = {rule["rule"]: rule["text"] for rule in summary["rules"] if not rule["passed"]}
    run = load_run(folder)
    said = [str((run.manifest.model_extra or {}).get("between"))]
    said += [f"{rule['text']} {rule.get('advice', '')}" for rule in summary["rules"]]
    return Outcome(run, summary["verdict"], failed, "\n".join(said), bool(stalls(run)))


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
        "--within", type=float, default=7200.0, metavar="S", help="begin no run after so long"
    )


def run(given: Namespace) -> int:
    """Print the table. Exit code 1 where fewer than 95 % are right, or "nothing" is blamed."""
    if given.tries < 1:
        raise UsageError(f"--tries {given.tries}: must be 1 or more")
    chosen = {name: cause for name, cause in CAUSES.items() if not given.only or name in given.only}
    lacking = {name: why for name, cause in chosen.items() if (why := cause.place.lacks())}
    chosen = {name: cause for name, cause in chosen.items() if name not in lacking}
    counts, until = {name: Count() for name in chosen}, time.monotonic() + given.within
    own = [name for name, cause in chosen.items() if not cause.place.shared]
    with tempfile.TemporaryDirectory(prefix="blame-") as home:
        for number in range(given.tries):
            for name in own:
                if time.monotonic() < until and name not in lacking:
                    why = _try_apart(chosen[name], Path(home, f"{name}-{number}"), counts[name])
                    lacking |= {name: why} if why else {}
        shared = [name for name in chosen if name not in own]
        if shared and time.monotonic() < until:
            with chosen[shared[0]].place.stand() as stand:  # it takes a minute to start: one for all of them
                for number in range(given.tries):
                    for name in shared:
                        if time.monotonic() < until:
                            _try(chosen[name], stand, Path(home, f"{name}-{number}"), counts[name])
        return _show(chosen, counts, lacking)


def _try_apart(cause: Cause, folder: Path, count: Count) -> str | None:
    """One run with a stand of its own. Why it could not be made: a gateway that does not start, say, which
    costs no other cause its runs."""
    try:
        with cause.place.stand() as stand:
            _try(cause, stand, folder, count)
    except UsageError as error:
        return str(error)
    return None


def _try(cause: Cause, stand: Stand, folder: Path, count: Count) -> None:
    found = measure(cause, stand, folder)
    amiss = wrong(cause, found)
    count.runs.append(found)
    count.right += not amiss
    why = "; ".join(f"{rule}: {text}" for rule, text in found.failed.items())
    told = f"{folder.name}: {found.verdict}{f' WRONG ({amiss})' if amiss else ''}: {why}"
    print(told, file=sys.stderr, flush=True)


def must(cause: Cause) -> str:
    """What a run must say of a cause, for the table."""
    words = [" or ".join(cause.verdicts), *(f"`{rule}`" for rule in cause.fails)]
    words += ["a stall"] * cause.stalls + ["TPOT 20 ms"] * cause.same_pace
    return " + ".join(words) + (f", “{cause.says}”" if cause.says else "")


def _show(chosen: dict[str, Cause], counts: dict[str, Count], lacking: dict[str, str]) -> int:
    here = describe()
    print(f"{date.today()}, {here['cpu']}, {here['cores']} cores; runs of {SECONDS:g} s, {RATE:g} requests/s")
    print("where nothing stands between\n")
    print("| planted | to blame | must be said | runs | verdicts | right |\n|---|---|---|--:|---|--:|")
    for name, cause in chosen.items():
        count = counts[name]
        print(f"| {cause.told} | {cause.culprit} | {must(cause)} ", end="")
        print(f"| {len(count.runs)} | {count.verdicts} | {count.right} |")
    for name, why in lacking.items():
        print(f"\nnot planted: {name}: {why}")
    between = [name for name in gateways.GATEWAYS if gateways.missing(name) is None]
    print("\ngateways:", ", ".join(f"{name} {gateways.version(name)}" for name in between))
    every = [each for count in counts.values() for each in count.runs]
    right, total = sum(count.right for count in counts.values()), len(every)
    calm = counts["nothing"].runs if "nothing" in counts else []
    mine = [name for name, cause in chosen.items() if cause.burns and not cause.place.shared]
    pairs, claimed = false_claims(calm, [each for name in mine for each in counts[name].runs])
    print(f"\nright: {right} of {total}; one server with itself, others beside one of them: a difference")
    print(f"claimed in {claimed} of {pairs} pairs.")
    print(f"the watching took {100 * watching(every):.2f} % of a core at most")
    sound = all(counts[name].right == len(counts[name].runs) for name in chosen if name.endswith("nothing"))
    return 0 if total and right >= LEAST * total and sound and not claimed else 1
