"""Several variants in turn, each run with a fresh server, and one report over all of them.

`compare`, `sweep` and `tune` are this. It goes on where it stopped: campaign.json says which steps are done.
"""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from campaign import child, grid, identity, side_by_side, state
from campaign import load as loads
from campaign.economy import economical
from campaign.load import Load, load_of, run_once
from campaign.looking import Looks
from campaign.resumption import take_up
from campaign.state import Campaign, Step
from campaign.step import Runner, make_step
from common.results import REFUSED, now, results_folder
from common.strictyaml import bare
from common.terminal import say
from common.usage import UsageError, whole
from reports.comparison.claims import START_SECONDS
from reports.gate import options
from reports.gate.gate import EXIT_CODE
from reports.verdict.verdict import Verdict

Make = Callable[[Campaign, int, Load], int | None]  # what a step is of; as step.make_step
Reporter = Callable[[list[str], str, str], int]  # of these runs against a variant, by a name; an exit code


def add_arguments(parser: ArgumentParser, repeats: int) -> None:
    """The arguments of compare and sweep; `repeats` is the default."""
    parser.add_argument("variants", nargs="*", metavar="VARIANT", help="the first is what others are held to")
    add_runs(parser, f"runs of each (default: {repeats})", repeats)
    parser.add_argument("--until-decided", action="store_true")  # in docs/compare.md, as those without words
    parser.add_argument("--every-repeat", action="store_true")
    parser.add_argument("--strict", action="store_true")
    options.add_arguments(parser)
    loads.add_arguments(parser)


def add_runs(parser: ArgumentParser, repeats_help: str, repeats: int) -> None:
    """The options that say which runs are made."""
    grid.add_arguments(parser)
    parser.add_argument("--repeats", type=whole, default=repeats, metavar="N", help=repeats_help)
    parser.add_argument("--starts", type=whole, metavar="N")
    parser.add_argument("--fresh", action="store_true")


def run(
    given: Namespace,
    runner: Runner = run_once,
    reporter: Reporter | None = None,
    pair_runner: side_by_side.Runner = side_by_side.run_pair,
) -> int:
    """Make the runs that are still to be made, then the report. Returns the exit code.

    2: a mistake, or a run could not be made (of the first variant, or of one that has served before);
    7: the gate of --fail-on; 130: interrupted. After 2 and 130 the same command goes on from there.
    """
    options.check(given)
    if given.starts is not None:
        given.repeats, given.duration = given.starts, given.duration or f"{START_SECONDS:g}"
    load, variants = load_of(given), grid.variants_of(given)
    identity.check_variants(variants, given.repeats)
    load.check(variants)
    together = bool(getattr(given, "side_by_side", False))
    if together:
        side_by_side.check(load, variants)
    load, shorter = economical(load, given.repeats)
    wanted = identity.request(given.verb, load, variants, given.repeats)
    wanted |= {name: True for name in ("until_decided", "every_repeat") if getattr(given, name)}
    wanted |= {"side_by_side": True} if together else {}
    wanted |= {"race": {"by": given.by, "budget": given.budget}} if given.verb == "tune" else {}
    name = identity.name_of(wanted)
    with state.held(name):
        campaign, resumed = state.find(name, lambda numbered: _begin(numbered, wanted), given.fresh)
        if resumed:
            take_up(campaign)
        _say_what(campaign, load, resumed)
        if shorter:
            say(shorter)
        watch = Looks(campaign)
        make: Make = partial(make_step, runner=runner)
        if together:
            make = partial(side_by_side.make_pair, runner=pair_runner)
        code = _make_steps(campaign, load, make, watch)
        told = reporter or partial(report, words=[*options.words(given), *_of_looks(campaign, watch)])
        return code or _conclude(campaign, told, given.strict)


def report(runs: list[str], baseline: str, name: str, words: Sequence[str] = ()) -> int:
    """Write the report into results/reports/NAME, by `tokenswarm report`; `words`: more of that command."""
    command = [
        sys.executable,
        "-m",
        "tokenswarm",
        "report",
        *runs,
        "--baseline",
        baseline,
        "--name",
        name,
        *words,
    ]
    return child.run(command, {"TOKENSWARM_RESULTS": str(results_folder().resolve())})


def _make_steps(campaign: Campaign, load: Load, make: Make, watch: Looks) -> int:
    """Make the runs that are still to be made; 0, or the exit code of the step that ended it."""
    for number in campaign.open_steps:
        _require_first(campaign)
        if watch.end_before(number):
            break
        if campaign.steps[number].settled:  # dropped meanwhile
            continue
        identity.require_unchanged(campaign.request, load)
        code = make(campaign, number, load)
        if code is not None:
            return code
    _require_first(campaign)
    watch.conclude()
    return 0


def _of_looks(campaign: Campaign, watch: Looks) -> list[str]:
    """What the report is told of them."""
    note = ["--note", campaign.stopped] if campaign.stopped else []
    return [*(["--looks", f"{watch.count:.6g}"] if watch.count > 1 else []), *note]


def _conclude(campaign: Campaign, reporter: Reporter, strict: bool) -> int:
    """Write the report; the exit code."""
    code = _report(campaign, reporter)
    verdicts = [step.verdict for step in campaign.steps if step.verdict]
    worst = max((Verdict[label.replace("-", "_")] for label in verdicts), default=Verdict.VALID)
    return code or (worst.exit_code if strict else 0)


def _begin(name: str, wanted: dict[str, Any]) -> Campaign:
    steps = [Step(variant=v, repeat=r) for v, r in identity.interleave(wanted["variants"], wanted["repeats"])]
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


def _require_first(campaign: Campaign) -> None:
    """Raise UsageError when the variant that the others are compared with could not be served."""
    first = campaign.steps[0]
    if first.not_applied and first.variant == campaign.held_to:
        how = "was refused" if first.state == REFUSED else "did not start"
        raise UsageError(
            f"{bare(first.variant)}, which the others are compared with, {how}: {first.reason}; "
            "the same command tries it again, or put another variant first"
        )


def _report(campaign: Campaign, reporter: Reporter) -> int:
    runs = [step.run for step in campaign.steps if step.run is not None]
    folders = [str((results_folder() / run).resolve()) for run in runs]
    code = reporter(folders, campaign.best or bare(campaign.steps[0].variant), campaign.name)
    if code in (0, EXIT_CODE):
        campaign.report = f"reports/{campaign.name}"
        campaign.save()
    return code
