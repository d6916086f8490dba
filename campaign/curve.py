"""Variants over a range of rates: each server is started once and takes all of them, and one report.

It goes on where it stopped, as `compare` does: campaign.json says which rates of which variant are done.
"""

import sys
from argparse import SUPPRESS, ArgumentParser, Namespace
from pathlib import Path

from campaign import forecasts, grid, identity, state
from campaign import load as loads
from campaign.load import Load, load_of
from campaign.outcome import outcome_of
from campaign.resumption import take_up
from campaign.state import Campaign, Step
from campaign.step import Runner, make_step
from campaign.terms import redraw_of, settled
from common.results import MANIFEST, SERVER, make_new, now, results_folder
from common.strictyaml import bare
from common.terminal import say
from common.usage import UsageError
from reports.curve import report
from reports.statistics.crossing import Redraw
from server.deployment import read_deployment

AROUND = (0.4, 0.6, 0.8, 1.0, 1.25, 1.6)  # of the rate that is asked for or forecast
MOST_RATES = 50


def add_arguments(parser: ArgumentParser) -> None:
    """The arguments of curve."""
    parser.add_argument("variants", nargs="*", metavar="VARIANT", help="the first is what others are held to")
    grid.add_arguments(parser)
    parser.add_argument("--rates", metavar="R,R", help="requests/s (default: around the forecast limit)")
    parser.add_argument("--fresh", action="store_true", help="begin anew, even where one was interrupted")
    loads.add_arguments(parser)
    # What the command tells itself, once it has launched a server.
    parser.add_argument("--within", help=SUPPRESS)
    parser.add_argument("--only", help=SUPPRESS)


def run(given: Namespace, runner: Runner = loads.run_once) -> int:
    """Measure what is still to be measured, then report. Exit code 0; 2: a mistake, or a run could not be
    made; 130: interrupted. After both the same command goes on."""
    load = load_of(given)
    if given.within:
        return _rates_of(state.read(state.folder_of(given.within) / state.FILE), given.only, load, runner)
    variants = grid.variants_of(given)
    if len(variants) > 1:
        identity.check_variants(variants, 1)
    elif not variants:
        raise UsageError("name a variant, or give --grid")
    load.check(variants)
    load, rates = settled(load), _rates(given.rates, load, variants[0])
    wanted = identity.request("curve", load, variants, 1) | {"rates": rates}
    name = identity.name_of(wanted)
    with state.held(name):
        campaign, resumed = state.find(name, lambda numbered: _begin(numbered, wanted), given.fresh)
        if resumed:
            take_up(campaign)
        left = len(campaign.open_steps)
        say(f"{campaign.name}: {len(campaign.steps)} points, {left} of them to be measured")
        for variant in variants:
            code = _measure(campaign.name, variant, load, runner)
            if code:
                return code
        return _conclude(state.read(campaign.folder / state.FILE), redraw_of(load))


def order(rates: list[float]) -> list[float]:
    """The rates so that neither low nor high ones come together: what warms or tires a server with time then
    falls on no end of the curve (van der Corput's order)."""
    places = sorted(range(len(rates)), key=lambda place: int(f"{place:010b}"[::-1], 2))
    return [sorted(rates)[place] for place in places]


def _rates(text: str | None, load: Load, first: str) -> list[float]:
    if text is None:
        begun = forecasts.begin_at(load, first).resolved()
        if begun.mean_rate is None:
            raise UsageError(f"scenario {begun.name} has no rate to vary; give --rates")
        return order([float(f"{share * begun.mean_rate:.3g}") for share in AROUND])
    try:
        rates = [float(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"--rates {text}: write numbers with commas between them, like 5,10,20") from None
    if not all(0 < rate < 1e6 for rate in rates) or len(set(rates)) < len(rates) or len(rates) > MOST_RATES:
        raise UsageError(f"--rates {text}: each once, more than 0, at most {MOST_RATES} of them")
    return order(rates)


def _begin(name: str, wanted: dict[str, object]) -> Campaign:
    variants, rates = wanted["variants"], wanted["rates"]
    assert isinstance(variants, list) and isinstance(rates, list)
    steps = [Step(variant=variant, repeat=1, rate=rate) for variant in variants for rate in rates]
    campaign = Campaign(name=name, request=wanted, started_at=now(), steps=steps)
    campaign.save()
    return campaign


def _measure(name: str, variant: str, load: Load, runner: Runner) -> int:
    """Measure a variant's open rates: against the load's host, or with a server that is launched for it."""
    campaign = state.read(state.folder_of(name) / state.FILE)
    mine = [step for step in campaign.steps if step.variant == variant]
    if all(step.settled for step in mine):
        return 0
    identity.require_unchanged(campaign.request, load)
    if load.host is not None:
        return _rates_of(campaign, variant, load, runner)
    url = read_deployment(variant, load.target, load.port).url
    folder = make_new(campaign.folder.resolve() / f"server-{identity.label(variant)}")
    words = ["curve", "--within", name, "--only", variant, "--host", url, *load.arguments()]
    code = loads.serve(load, variant, [sys.executable, "-m", "tokenswarm", *words], folder)
    refused = outcome_of(folder)
    if refused.not_applied is None:
        return code
    campaign = state.read(campaign.folder / state.FILE)
    for step in campaign.steps:
        if step.variant == variant and not step.settled:
            step.state, step.reason = refused.not_applied, refused.reason
    campaign.save()
    say(f"{bare(variant)}: not served, the others go on: {refused.reason}")
    return 0


def _rates_of(campaign: Campaign, variant: str, load: Load, runner: Runner) -> int:
    """Make the open runs of a variant against the load's host, one rate after the other; an exit code."""
    seed = int(load.options.get("seed", load.resolved().seed))
    rates = campaign.request["rates"]
    for number in campaign.open_steps:
        step = campaign.steps[number]
        if step.variant == variant:
            at = load.with_options(rps=step.rate, seed=seed + rates.index(step.rate))
            code = make_step(campaign, number, at, lambda *words: _described(runner, *words))
            if code is not None:
                return code
    return 0


def _described(runner: Runner, load: Load, variant: str, folder: Path) -> int:
    """Make a run whose folder holds what the launcher says of the server."""
    copied = loads.copy_description(folder)
    code = runner(load, bare(variant), folder)
    if copied and not (folder / MANIFEST).is_file():
        (folder / SERVER).unlink(missing_ok=True)
    return code


def _conclude(campaign: Campaign, redraw: Redraw | None) -> int:
    """Write the report; the exit code."""
    done = [step for step in campaign.steps if step.state == "done" and step.run]
    if not done:
        raise UsageError("no variant was served, so there is nothing to report")
    reasons = {bare(step.variant): step.reason or "" for step in campaign.steps if step.not_applied}
    runs = [(bare(step.variant), step.rate or 0.0, results_folder() / str(step.run)) for step in done]
    folder = results_folder() / "reports" / campaign.name
    for line in report.write(campaign.name, runs, reasons, folder, redraw):
        say(line)
    campaign.report = f"reports/{campaign.name}"
    campaign.save()
    say(f"{folder}/: README.md, curve.json, {report.FIGURE}.svg, {report.PARETO}.svg")
    return 0
