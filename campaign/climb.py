"""The steps of a search for the highest rate: run one after the other against one server, and read."""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from campaign import load as loads
from campaign import search
from campaign.load import Load
from campaign.search import Rung
from campaign.terms import Terms
from common.results import SERVER
from common.strictyaml import bare
from common.terminal import say
from common.usage import USAGE
from reports.capacity.report import COLUMNS, Step
from reports.runs.runs import Run, load_run
from reports.verdict.judge import judge
from reports.verdict.slo import standing, state_of

Runner = Callable[[Load, str, Path], int]  # makes a run in a folder; as load.run_once


@dataclass
class Climb:
    """What has been run so far."""

    steps: list[Step] = field(default_factory=list)
    rungs: list[Rung] = field(default_factory=list)
    first: Run | None = None  # the first step's
    code: int = 0  # the exit code of the step that ended it early

    def rung(self, rate: float, share: float) -> Rung:
        """That of `rate`, a new one where there is none."""
        for rung in self.rungs:
            if rung.rate == rate:
                return rung
        self.rungs.append(Rung(rate, share))
        return self.rungs[-1]


def climb(terms: Terms, folder: Path, runner: Runner) -> Climb:
    """Run step after step in `folder` until the search is over, or a step makes no run."""
    made = Climb()
    while len(made.steps) < terms.max_steps:
        rate = terms.search.next_rate(made.rungs)
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
        made.code = runner(terms.load.with_options(rps=rate, seed=seed), bare(terms.variant), where)
        if made.code not in loads.VERDICTS:
            break
        made.code = 0
        run = load_run(where)
        made.first = made.first or run
        rung = made.rung(rate, terms.slo.share)
        made.steps.append(_read(run, number, rate, seed, rung))
        _say_step(made, rung)
    return made


def _step_folder(folder: Path, number: int) -> Path:
    """The step's own; its name, which salts the prompts, is like no other's on this server."""
    where = folder / f"{folder.name}-step-{number:02d}"
    where.mkdir()
    launched = os.environ.get("TOKENSWARM_RUN_DIR")
    if launched and (Path(launched) / SERVER).is_file():  # the launcher's word on the server
        shutil.copy(Path(launched) / SERVER, where)
    return where


def _read(run: Run, number: int, rate: float, seed: int, rung: Rung) -> Step:
    """The step that a run is; its standing goes to the rung."""
    found = judge(run)
    now = standing(run, found.rules)
    rung.runs.append(now)
    state, why = state_of(now, rung.share)
    figures = found.metrics
    return Step(
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


def _say_step(made: Climb, rung: Rung) -> None:
    step = made.steps[-1]
    low, high = search.bracket(made.rungs)
    ends = f"{f'{low.rate:g}' if low else '0'} and {f'{high.rate:g}' if high else 'more'}"
    told = f"step {step.number}: {step.state}" + (f", {step.why}" if step.why else "")
    met, judged = step.met, step.judged
    if len(rung.runs) > 1:
        told += f"; both runs at {rung.rate:g} together: {rung.state}"
        met, judged = rung.met, rung.judged
    say(f"{told}; {met:,} of {judged:,} met the SLO; the limit lies between {ends} requests/s")
