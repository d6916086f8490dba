"""The steps of a search for the highest rate: run one after the other against one server, and read."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from campaign import load as loads
from campaign.load import Load
from campaign.search import Tried
from campaign.state import Campaign, Step
from campaign.terms import Terms
from common.results import MANIFEST, make_new, results_folder, stamped
from common.strictyaml import bare
from common.terminal import say
from common.usage import USAGE, UsageError
from reports.capacity import report
from reports.capacity.report import COLUMNS
from reports.runs.runs import Run, load_run
from reports.statistics.crossing import Crossing
from reports.verdict.judge import judge
from reports.verdict.slo import standing, state_of, step_of

Runner = Callable[[Load, str, Path], int]  # makes a run in a folder; as load.run_once


@dataclass
class Climb:
    """What has been run so far."""

    steps: list[report.Step] = field(default_factory=list)
    tried: list[Tried] = field(default_factory=list)
    found: Crossing | None = None  # the rate, as far as the steps tell
    first: Run | None = None  # the first step's
    code: int = 0  # the exit code of the step that ended it early


def climb(campaign: Campaign, terms: Terms, runner: Runner) -> Climb:
    """Run step after step until the search is over, or a step makes no run; those that are done stay."""
    made = Climb()
    results = results_folder().absolute()
    campaign.steps = [step for step in campaign.steps if (results / str(step.run) / MANIFEST).is_file()]
    for step in campaign.steps:
        _read(load_run(results / str(step.run)), step.rate or 0.0, terms.slo.share, made)
    made.found = terms.search.found(made.tried)
    while len(made.steps) < terms.max_steps:
        rate = terms.search.next_rate(made.tried, made.found)
        if rate is None:
            break
        number, seed = len(made.steps) + 1, max([terms.seed, *(each.seed + 1 for each in made.steps)])
        say(f"step {number} of at most {terms.max_steps}: {rate:g} requests/s, seed {seed}")
        try:
            where = _step_folder(campaign, number)
        except UsageError as error:  # a full disk, say; what was measured before is still told
            say(f"step {number}: {error}")
            made.code = USAGE
            break
        at = terms.load.stopping().with_options(rps=rate, seed=seed)
        made.code = runner(at, bare(terms.variant), where)
        if made.code not in loads.VERDICTS:
            break
        made.code = 0
        run = load_run(where)
        _read(run, rate, terms.slo.share, made)
        made.found = terms.search.found(made.tried)
        _say_step(made)
        done = Step(variant=terms.variant, repeat=number, rate=rate, state="done")
        done.run = str(where.relative_to(results))
        campaign.steps.append(done)
        campaign.save()
    return made


def _step_folder(campaign: Campaign, number: int) -> Path:
    """The step's own; its name, which salts the prompts, is like no other's on this server."""
    where = make_new(campaign.folder.absolute() / stamped(f"step-{number:02d}"))
    loads.copy_description(where)
    return where


def _read(run: Run, rate: float, share: float, made: Climb) -> None:
    """Note what a run says."""
    made.first = made.first or run
    found = judge(run)
    now = standing(run, found.rules)
    state, why = state_of(now, share)
    figures = found.metrics
    made.tried.append(Tried(rate, state, None if state == "unclear" else step_of(run, rate, now)))
    made.steps.append(
        report.Step(
            number=len(made.steps) + 1,
            rate=rate,
            seed=run.manifest.seed or 0,
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
