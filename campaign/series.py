"""Several variants in turn, each run with a fresh server, and one report over all of them.

`compare` and `sweep` are both this. It goes on where it stopped: campaign.json says which steps are done.
"""

import contextlib
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

from campaign import child, plan, state
from campaign.load import INTERRUPTED, Load, absolute, add_arguments, load_of, run_once
from campaign.outcome import outcome_of
from campaign.state import Campaign, Step
from common.results import now, results_folder
from common.terminal import say
from common.usage import UsageError, whole
from server import runfolder

Runner = Callable[[Load, str, Path], int]  # makes a variant's run in a folder; as load.run_once
Reporter = Callable[[list[str], str, str], int]  # of these runs against a variant, by a name; an exit code
CODES = {"VALID": 0, "SATURATED": 3, "CLIENT-LIMITED": 4, "INVALID": 5}


def add_series_arguments(parser: ArgumentParser, repeats: int) -> None:
    """The arguments of compare and sweep; `repeats` is the default."""
    parser.add_argument("variants", nargs="+", metavar="VARIANT", help="the first is what others are held to")
    parser.add_argument("--repeats", type=whole, default=repeats, help=f"runs of each (default: {repeats})")
    parser.add_argument("--fresh", action="store_true", help="begin anew, even where one was interrupted")
    parser.add_argument("--strict", action="store_true", help="exit 3, 4, 5 for the runs' worst verdict")
    add_arguments(parser)


def run_series(given: Namespace, runner: Runner = run_once, reporter: Reporter | None = None) -> int:
    """Make the runs that are still to be made, then the report. Returns the exit code.

    2: a mistake, the first variant was refused, or a run could not be made; 130: interrupted. After both,
    the same command goes on from there.
    """
    load, variants = load_of(given), [absolute(variant) for variant in given.variants]
    plan.check_variants(variants, given.repeats)
    load.check(variants)
    wanted = plan.request(given.command, load, variants, given.repeats)
    campaign, resumed = state.find(plan.name_of(wanted), lambda name: _begin(name, wanted), given.fresh)
    _say_what(campaign, load, resumed)
    for number in campaign.open_steps:
        _require_first(campaign)
        code = _make(campaign, number, load, runner)
        if code is not None:
            return code
    _require_first(campaign)
    code = _report(campaign, reporter or report)
    worst = max((CODES[step.verdict] for step in campaign.steps if step.verdict), default=0)
    return code or (worst if given.strict else 0)


def report(runs: list[str], baseline: str, name: str) -> int:
    """Write the report into results/reports/NAME, by `python -m reports compare`."""
    command = [sys.executable, "-m", "reports", "compare", *runs, "--baseline", baseline, "--name", name]
    return child.run(command, {"TOKENSWARM_RESULTS": str(results_folder().resolve())})


def _begin(name: str, wanted: dict[str, Any]) -> Campaign:
    steps = [Step(variant=v, repeat=r) for v, r in plan.interleave(wanted["variants"], wanted["repeats"])]
    campaign = Campaign(name=name, request=wanted, started_at=now(), steps=steps)
    campaign.save()
    return campaign


def _say_what(campaign: Campaign, load: Load, resumed: bool) -> None:
    count, left = len(campaign.steps), len(campaign.open_steps)
    if resumed:
        say(f"going on with {campaign.name}: {count - left} of {count} steps are done (--fresh begins anew)")
    else:
        say(f"{campaign.name}: {count} steps")
    if load.host is not None:
        say(f"one server, {load.host}, answers for every variant: this compares it with itself")


def _make(campaign: Campaign, number: int, load: Load, runner: Runner) -> int | None:
    """Make one step's run; None when the campaign goes on, else the exit code."""
    step = campaign.steps[number]
    told = f"step {number + 1} of {len(campaign.steps)}: {plan.bare(step.variant)}, repeat {step.repeat}"
    if step.state == "running" and step.run and _settle(step, results_folder() / step.run):
        campaign.save()  # it had ended well when we were killed
    if not step.settled and (reason := _refused_before(campaign, step.variant)):
        step.state, step.reason = "refused", reason
        campaign.save()
    if step.settled:
        say(f"{told}: {step.verdict or f'not run, {step.reason}'}")
        return None
    say(told)
    folder = runfolder.make(plan.bare(step.variant))
    step.state, step.run = "running", folder.name
    campaign.save()
    code = runner(load, step.variant, folder)
    if not _settle(step, folder):
        step.state = "waiting"
        campaign.save()
        with contextlib.suppress(OSError):
            folder.rmdir()  # goes only when nothing came into it
        return _stop(code, number, told)
    campaign.save()
    _say_outcome(step, told)
    return _stop(code, number + 1, told) if code in INTERRUPTED else None


def _settle(step: Step, folder: Path) -> bool:
    """Take over what the run's folder says; whether the step is settled now."""
    found = outcome_of(folder)
    if found.refused:
        step.state, step.reason = "refused", found.refused
    elif found.verdict:
        step.state, step.verdict = "done", found.verdict
    return step.settled


def _refused_before(campaign: Campaign, variant: str) -> str | None:
    """Why the server refused this variant in an earlier step; it would again."""
    return next((step.reason for step in campaign.steps if step.variant == variant and step.reason), None)


def _require_first(campaign: Campaign) -> None:
    """Raise UsageError when the server refused the variant that the others are compared with."""
    first = campaign.steps[0]
    if first.state == "refused":
        raise UsageError(
            f"{plan.bare(first.variant)}, which the others are compared with, was refused: {first.reason}; "
            "put another variant first, or --fresh to try again"
        )


def _say_outcome(step: Step, told: str) -> None:
    if step.state == "refused":
        say(f"{told}: refused by the server, the others go on: {step.reason}")
    elif step.verdict in ("INVALID", "CLIENT-LIMITED"):
        say(f"{told}: {step.verdict}; the run is kept, and the report says what cannot be concluded from it")
    else:
        say(f"{told}: {step.verdict}")


def _stop(code: int, number: int, told: str) -> int:
    """The exit code of a campaign that stops before the step of this number (from 0)."""
    if code in INTERRUPTED:
        say(f"interrupted; the same command goes on with step {number + 1}")
        return code
    say(f"{told}: made no run (exit code {code}); once that is mended, the same command goes on here")
    return code or 1


def _report(campaign: Campaign, reporter: Reporter) -> int:
    runs = [step.run for step in campaign.steps if step.run is not None]
    folders = [str((results_folder() / run).resolve()) for run in runs]
    code = reporter(folders, plan.bare(campaign.steps[0].variant), campaign.name)
    if code == 0:
        campaign.report = f"reports/{campaign.name}"
        campaign.save()
    return code
