"""What a search for the highest rate is asked for: checked before any server starts."""

import math
import shlex
from argparse import SUPPRESS, ArgumentParser, Namespace
from collections.abc import Iterator
from dataclasses import dataclass, replace

from campaign import load as loads
from campaign.load import Load
from campaign.search import LEAST_ARRIVALS, Search
from common.usage import UsageError, number, whole
from loadgen.workload.scenario import Scenario, Slo
from loadgen.workload.schedule import Schedule, schedule
from reports.statistics.crossing import DRAWN, MOST_DRAWN, Redraw
from reports.statistics.waits import Offered
from reports.verdict.slo import work_of

STEP_SECONDS, MAX_STEPS, TOLERANCE = 20.0, 10, 4.0  # s, runs, per cent

REDRAWN, LEAST_DRAWN = 1_000_000, 10  # the first seed of arrivals that are never sent; runs of them
MOST_STEPS, MOST_TOLERANCE = 1000, 50.0  # runs; per cent: a wider bracket is no answer


@dataclass(frozen=True)
class Terms:
    """One search."""

    variant: str  # as it was named
    load: Load  # with the steps' duration and warm-up
    slo: Slo
    search: Search
    seed: int  # of the first step; each has the next, so that prompts never repeat
    max_steps: int
    command: str  # that makes this search again

    @property
    def scenario(self) -> Scenario:
        """The first step's."""
        return self.load.resolved()

    def beginning_at(self, rate: float) -> "Terms":
        """The same search from another rate on."""
        search, load = replace(self.search, start=rate), self.load.with_options(rps=rate)
        return replace(self, search=search, load=load)

    def arguments(self) -> list[str]:
        """The words of `add_arguments` that give these terms again, without variant and host."""
        words = ["--step-seconds", f"{self.search.step_seconds:g}", "--max-steps", str(self.max_steps)]
        words += ["--tolerance", f"{100 * self.search.tolerance:g}", "--again", self.command]
        return words + self.load.arguments()


def add_arguments(parser: ArgumentParser) -> None:
    """The arguments of capacity."""
    parser.add_argument("variant", metavar="VARIANT", help="what is served")
    parser.add_argument(
        "--step-seconds",
        type=number,
        metavar="S",
        help=f"of a step (default: --duration, or {STEP_SECONDS:g})",
    )
    parser.add_argument(
        "--max-steps", type=whole, default=MAX_STEPS, metavar="N", help=f"runs at most (default: {MAX_STEPS})"
    )
    parser.add_argument(
        "--tolerance",
        type=number,
        default=TOLERANCE,
        metavar="PCT",
        help=f"from the rate to the ends of its interval (default: {TOLERANCE:g} %%)",
    )
    parser.add_argument("--fresh", action="store_true")
    loads.add_arguments(parser)
    # What the command tells itself, once it has launched the server.
    parser.add_argument("--within", help=SUPPRESS)
    parser.add_argument("--again", help=SUPPRESS)


def terms_of(given: Namespace) -> Terms:
    """The search that is asked for. Raises UsageError for what cannot be searched."""
    load = loads.load_of(given)
    load.check([loads.absolute(given.variant)])
    _check_numbers(given)
    asked = load.resolved()
    slo, start = asked.slo, asked.mean_rate
    if slo is None or not (slo.ttft or slo.tpot or slo.latency):
        raise UsageError(f"scenario {asked.name} has no slo, so no rate can miss it; give it one")
    if start is None:
        how = "a closed loop sets its own pace" if asked.arrivals.process == "closed-loop" else "give --rps"
        raise UsageError(f"scenario {asked.name} has no rate to vary: {how}")
    seconds = given.step_seconds or (asked.duration if given.duration else STEP_SECONDS)
    steps = settled(load).with_options(duration=f"{seconds:g}")
    return Terms(
        variant=given.variant,
        load=steps,
        slo=slo,
        search=Search(start, given.tolerance / 100, seconds, slo.share, slo.ttft, redraw_of(steps)),
        seed=int(given.seed) if given.seed else asked.seed,
        max_steps=given.max_steps,
        command=given.again or _command(given, load, seconds),
    )


def settled(load: Load) -> Load:
    """The load of short steps, each of which warms up and drains as its SLO needs, unless told otherwise."""
    scenario = load.resolved()
    if scenario.slo is None:
        return load
    arrivals = schedule(scenario, int(load.options.get("seed", scenario.seed)))
    warmup = max(scenario.warmup, settling(arrivals, scenario.slo))
    usual = {"warmup": f"{warmup:g}", "drain": f"{arrivals.drain:g}"}
    return load.with_options(**{name: value for name, value in usual.items() if name not in load.options})


def settling(load: Schedule, slo: Slo) -> float:
    """Seconds that a mean request may take under the SLO: so long the number in flight rises in any case.

    A window that began earlier would hold requests that the full server has yet to slow down.
    """
    return slo.decided_after(float(load.arrivals.numbers("output_tokens").mean()) if load.arrivals else 0.0)


def redraw_of(load: Load) -> Redraw | None:
    """The arrivals of many more runs of the load at a rate, as other seeds make them.

    None where a turn waits for an answer, or rows of a file are sent.
    """
    scenario = load.resolved()
    if scenario.conversation or scenario.dataset or scenario.mean_rate is None:
        return None
    length = scenario.warmup + scenario.duration
    fewest, most = LEAST_ARRIVALS / length, MOST_DRAWN / length

    def redraw(rate: float) -> Iterator[Offered]:
        near = min(max(rate, fewest), most)  # beyond them in another time
        asked = scenario.with_overrides(rate=near)
        count = max(int(min(DRAWN, MOST_DRAWN / (near * length))), LEAST_DRAWN)
        drawn = (_offered(schedule(asked, REDRAWN + number), near / rate) for number in range(count))
        return (each for each in drawn if each.judged.any())

    return redraw


def _offered(drawn: Schedule, slower: float) -> Offered:
    due, output, prompt, prefix = (
        drawn.arrivals.numbers(name) for name in ("due", "output_tokens", "prompt_tokens", "prefix_tokens")
    )
    return Offered(due * slower, work_of(prompt + prefix, output), due >= drawn.window_start)


def _check_numbers(given: Namespace) -> None:
    for name, value in (("step-seconds", given.step_seconds), ("tolerance", given.tolerance)):
        if value is not None and not (math.isfinite(value) and value > 0):
            raise UsageError(f"--{name} {value:g}: must be more than 0")
    if not 1 <= given.max_steps <= MOST_STEPS:
        raise UsageError(f"--max-steps {given.max_steps}: must be 1 to {MOST_STEPS}")
    if given.tolerance > MOST_TOLERANCE:
        raise UsageError(f"--tolerance {given.tolerance:g}: is per cent, must be {MOST_TOLERANCE:g} or less")
    if given.seed and not given.seed.isdigit():
        raise UsageError(f"--seed: must be a whole number of 0 or more, is {given.seed!r}")


def _command(given: Namespace, load: Load, seconds: float) -> str:
    words = ["--step-seconds", f"{seconds:g}", "--max-steps", str(given.max_steps)]
    words += ["--tolerance", f"{given.tolerance:g}"] + (["--host", load.host] if load.host else [])
    words += ["--pin"] if load.pin else []
    return shlex.join(["tokenswarm", "capacity", given.variant, *words, *load.arguments()])
