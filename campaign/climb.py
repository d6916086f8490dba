"""The steps of a search for the highest rate: run one after the other against one server, and read."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from campaign import load as loads
from campaign.load import Load
from campaign.search import Tried
from campaign.terms import Terms
from common.strictyaml import bare
from common.terminal import say
from common.usage import USAGE
from reports.capacity.report import COLUMNS, Step
from reports.runs.runs import Run, load_run
from reports.statistics.leaky_bucket import Crossing
from reports.verdict.judge import judge
from reports.verdict.slo import bucket_step, standing, state_of

Runner = Callable[[Load, str, Path], int]  # makes a run in a folder; as load.run_once


@dataclass
class Climb:
    """What has been run so far."""

    steps: list[Step] = field(default_factory=list)
    tried: list[Tried] = field(default_factory=list)
    found: Crossing | None = None  # the rate, as far as the steps tell
    first: Run | None = None  # the first step's
    code: int = 0  # the exit code of the step that ended it early


def climb(terms: Terms, folder: Path, runner: Runner) -> Climb:
    """Run step after step in `folder` until the search is over, or a step makes no run."""
    made = Climb()
    while len(made.steps) < terms.max_steps:
        rate = terms.search.next_rate(made.tried, made.found)
        if rate is None:
            break
        number, seed = len(made.steps) + 1, terms.seed + len(made.steps)
        say(f"step {number} of at most {terms.max_steps}: {rate:g} requests/s, seed {seed}")
        try:
            where = _step_folder(folder, number)
        except OSError as error:  # a full disk, say; what was measured before is still told
            say(f"{folder}: the folder of step {number} cannot be made: {error.strerror}")
            made.code = USAGE
            break
        at = terms.load.with_options(rps=rate, seed=seed)
        made.code = runner(at, bare(terms.variant), where)
        if made.code not in loads.VERDICTS:
            break
        made.code = 0
        run = load_run(where)
        made.first = made.first or run
        _read(run, number, rate, seed, terms.slo.share, made)
        made.found = terms.search.found(made.tried)
        _say_step(made)
    return made


def _step_folder(folder: Path, number: int) -> Path:
    """The step's own; its name, which salts the prompts, is like no other's on this server."""
    where = folder / f"{folder.name}-step-{number:02d}"
    where.mkdir()
    loads.copy_description(where)
    return where


def _read(run: Run, number: int, rate: float, seed: int, share: float, made: Climb) -> None:
    """Note what a run says."""
    found = judge(run)
    now = standing(run, found.rules)
    state, why = state_of(now, share)
    figures = found.metrics
    made.tried.append(Tried(rate, state, None if state == "unclear" else bucket_step(run, rate, now)))
    made.steps.append(
        Step(
            number=number,
            rate=rate,
            seed=seed,
            run=run.name,
            verdict=found.verdict.label,
            failed_rules=[rule.rule for rule in found.rules if not rule.passed and rule.verdict],
            state=state,
            why=why,
            judged=now.judged,
            met=now.met,
            offered_rate=figures["offered_rate"].value or 0.0,
            completed_rate=figures["completed_rate"].value or 0.0,
            output_token_throughput=figures["output_token_throughput"].value or 0.0,
            times={name: figures[source] for name, source in COLUMNS.items()},
        )
    )


def _say_step(made: Climb) -> None:
    step = made.steps[-1]
    told = f"step {step.number}: {step.state}" + (f", {step.why}" if step.why else "")
    told += f"; {step.met:,} of {step.judged:,} met the SLO"
    if made.found is not None:
        low, high = made.found.interval
        told += f"; the limit: {made.found.rate:.4g}, 90 % interval {low:.4g} to {high:.4g} requests/s"
    say(told)
