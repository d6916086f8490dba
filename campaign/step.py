"""One step of a campaign: a variant's run is made, and what came of it is noted."""

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

from campaign import forecasts
from campaign.load import INTERRUPTED, Load
from campaign.outcome import Outcome, outcome_of
from campaign.state import Campaign, Step
from common.results import FORECAST, REFUSED, START_FAILED
from common.strictyaml import bare
from common.terminal import say
from reports.document.run import UNUSABLE
from server import runfolder

Runner = Callable[[Load, str, Path], int]  # makes a variant's run in a folder; as load.run_once


def make_step(campaign: Campaign, number: int, load: Load, runner: Runner) -> int | None:
    """Make the run of a step, numbered from 0; None when the campaign goes on, else the exit code."""
    step = campaign.steps[number]
    told = f"step {number + 1} of {len(campaign.steps)}: {bare(step.variant)}, "
    told += f"repeat {step.repeat}" if step.rate is None else f"{step.rate:g} requests/s"
    if earlier := _not_applied_before(campaign, step.variant):
        step.state, step.reason = earlier.state, earlier.reason
        campaign.save()
        say(f"{told}: not run, {step.reason}")
        return None
    say(told)
    code, found = _attempt(campaign, step, told, load, runner)
    unsteady = found.not_applied and _has_served(campaign, step.variant)
    if unsteady or not _settle(step, found):
        step.wait()
        campaign.save()
        return _stop(code, number, told, found.reason)
    campaign.save()
    _say_outcome(campaign, step, told)
    return _stop(code, number + 1, told) if code in INTERRUPTED else None


def _attempt(campaign: Campaign, step: Step, told: str, load: Load, runner: Runner) -> tuple[int, Outcome]:
    """Make the run; once more where the server did not start, since another process may have been why."""
    code, found = _run(campaign, step, load, runner)
    if found.not_applied == START_FAILED and code not in INTERRUPTED:
        say(f"{told}: did not start; once more")
        code, found = _run(campaign, step, load, runner)
    if code in INTERRUPTED and found.not_applied:
        return code, Outcome()  # a start that was cut short says nothing
    return code, found


def _run(campaign: Campaign, step: Step, load: Load, runner: Runner) -> tuple[int, Outcome]:
    """Make a run in a folder of its own; the exit code, and what the folder says."""
    folder = begin_run(campaign, step, load)
    began = time.monotonic()
    code = runner(load, step.variant, folder)
    return code, end_run(step, folder, time.monotonic() - began)


def begin_run(campaign: Campaign, step: Step, load: Load) -> Path:
    """Note that the step runs, and say what is to be expected of it; the folder of its run."""
    folder = runfolder.make(bare(step.variant))
    step.state, step.run = "running", folder.name
    campaign.save()
    forecasts.foretell(load, step.variant, folder, campaign.steps[0].variant)
    return folder


def end_run(step: Step, folder: Path, seconds: float) -> Outcome:
    """What the folder says of a run that took so long; a folder that nothing came into goes."""
    step.seconds += seconds
    found = outcome_of(folder)
    with contextlib.suppress(OSError):
        if [path.name for path in folder.iterdir()] == [FORECAST]:
            (folder / FORECAST).unlink()
        folder.rmdir()  # goes only when nothing came into it
    return found


def _settle(step: Step, found: Outcome) -> bool:
    """Note what came of a step; whether it is settled now."""
    if found.not_applied:
        step.state, step.reason = found.not_applied, found.reason
    elif found.verdict:
        step.state, step.verdict = "done", found.verdict
    return step.settled


def _not_applied_before(campaign: Campaign, variant: str) -> Step | None:
    """An earlier step in which this variant could not be served; it could not again."""
    return next((step for step in campaign.steps if step.variant == variant and step.not_applied), None)


def _has_served(campaign: Campaign, variant: str) -> bool:
    """Whether a run of it is done: then what keeps it from starting is not the variant."""
    return any(step.state == "done" for step in campaign.steps if step.variant == variant)


def _say_outcome(campaign: Campaign, step: Step, told: str) -> None:
    if step.not_applied and step.variant == campaign.held_to:
        return  # nothing goes on without the first, which is said next
    if step.not_applied:
        how = "refused by the server" if step.state == REFUSED else "did not start"
        say(f"{told}: {how}, the others go on: {step.reason}")
    elif step.verdict in UNUSABLE:
        say(f"{told}: {step.verdict}; the run is kept, and the report says what cannot be concluded from it")
    else:
        say(f"{told}: {step.verdict}")


def _stop(code: int, number: int, told: str, reason: str | None = None) -> int:
    """The exit code of a campaign that stops before the step of this number (from 0)."""
    if code in INTERRUPTED:
        say(f"interrupted; the same command goes on with step {number + 1}")
        return code
    why = f"has served before, but now: {reason}" if reason else f"made no run (exit code {code})"
    say(f"{told}: {why}; once that is mended, the same command goes on here")
    return code or 1
