"""The highest rate at which a variant meets the scenario's SLO: short runs against one running server.

It goes on where it stopped: campaign.json says which steps are done, and the rest is searched for anew.
"""

import shutil
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

from campaign import forecasts, identity, state
from campaign import load as loads
from campaign.climb import Climb, Runner, climb
from campaign.identity import label
from campaign.load import INTERRUPTED
from campaign.state import Campaign
from campaign.terms import Terms, terms_of
from campaign.terms import add_arguments as add_arguments
from common.results import SERVER, make_new, now, write_json
from common.strictyaml import bare
from common.terminal import say
from common.usage import UsageError
from reports.capacity import report as report
from reports.capacity.chart import chart
from reports.runs.runs import Run
from server.deployment import read_deployment

NOT_FOUND = 1


def run(given: Namespace, runner: Runner = loads.run_step) -> int:
    """Search, with a server that is launched once, and write what came of it.

    Exit code 0: found, as narrow as asked; 1: not; 2: a mistake, or a step made no run; 130: interrupted.
    After 2 and 130 the same command goes on from there.
    """
    terms = terms_of(given)
    if given.within:  # told by the command itself, which has launched the server
        return _search(state.read(state.folder_of(given.within) / state.FILE), terms, runner)
    wanted = _request(terms)
    name = identity.name_of(wanted)
    with state.held(name):
        campaign, resumed = state.find(name, lambda numbered: _begin(numbered, wanted, terms), given.fresh)
        if resumed:
            say(f"going on with {name}: {len(campaign.steps)} steps are done (--fresh begins anew)")
        terms = terms.beginning_at(campaign.request["start"])
        code = _search(campaign, terms, runner) if terms.load.host else _launch(campaign, terms)
        if code not in (0, NOT_FOUND):
            say("the same command goes on from there")
        _discard_empty(campaign.folder)
        return code


def _request(terms: Terms) -> dict[str, Any]:
    """What the search is told by: two equal ones are the same."""
    asked = {"step_seconds": terms.search.step_seconds, "tolerance": terms.search.tolerance}
    wanted = identity.request("capacity", terms.load, [loads.absolute(terms.variant)], 1)
    return wanted | asked | {"max_steps": terms.max_steps}


def _begin(name: str, wanted: dict[str, Any], terms: Terms) -> Campaign:
    """A new one, which begins where the variant is forecast to leave the SLO, if anything can be forecast."""
    load = terms.load if terms.load.host else forecasts.begin_at(terms.load, terms.variant)
    whole = wanted | {"start": load.resolved().mean_rate}
    campaign = Campaign(name=name, request=whole, started_at=now(), steps=[])
    campaign.save()
    return campaign


def _search(campaign: Campaign, terms: Terms, runner: Runner) -> int:
    """Search against the load's host, and write what came of it; an exit code."""
    scenario, folder = terms.scenario, campaign.folder
    length = f"{scenario.warmup:g} + {scenario.duration:g} s and drain"
    say(f"capacity of {bare(terms.variant)}: at most {terms.max_steps} steps of {length}; into {folder}")
    made = climb(campaign, terms, runner)
    if made.first is None:
        return made.code
    found = conclude(terms, campaign.name, made, _conditions(terms, made.first))
    _write(found, folder)
    if made.code == 0:
        campaign.report = f"campaigns/{campaign.name}"
        campaign.save()
    say(report.headline(found))
    say(f"{folder}/: README.md, capacity.json, {report.FIGURE}.svg")
    return made.code or (0 if found.found else NOT_FOUND)


def _discard_empty(folder: Path) -> None:
    """Remove the folder of a search that measured nothing, unless the server's log is in it."""
    for step in folder.glob("*-step-*"):
        if {path.name for path in step.iterdir()} <= {SERVER}:
            shutil.rmtree(step)
    if {path.name for path in folder.iterdir()} <= {state.FILE, state.LOCK}:
        shutil.rmtree(folder)


def conclude(terms: Terms, name: str, made: Climb, conditions: dict[str, str]) -> report.Capacity:
    """What the steps add up to."""
    states = {each.state for each in made.tried}
    known = made.found is not None and {"met", "missed"} <= states
    return report.Capacity(
        name=name,
        variant=bare(terms.variant),
        slo=terms.slo.model_dump(exclude_none=True),
        tolerance=terms.search.tolerance,
        steps=made.steps,
        rate=made.found.rate if made.found and known else None,
        interval=made.found.interval if made.found and known else None,
        found=terms.search.narrow(made.tried, made.found),
        ended=_ended(terms, made),
        conditions=conditions,
        command=terms.command,
    )


def _launch(campaign: Campaign, terms: Terms) -> int:
    """Serve the variant once, and search against it by this same command with --host."""
    variant = loads.absolute(terms.variant)
    url = read_deployment(variant, terms.load.target, terms.load.port).url
    server = make_new(campaign.folder.resolve() / "server")
    words = ["capacity", label(terms.variant), "--host", url, "--within", campaign.name, *terms.arguments()]
    return loads.serve(terms.load, variant, [sys.executable, "-m", "tokenswarm", *words], server)


def _ended(terms: Terms, made: Climb) -> str:
    """Why the search ended, in a few words."""
    if made.code in INTERRUPTED:
        return "interrupted"
    if made.code:
        return f"step {len(made.steps) + 1} made no run (exit code {made.code})"
    if terms.search.narrow(made.tried, made.found):
        return f"the interval is within {100 * terms.search.tolerance:g} % of the rate"
    if len(made.steps) == terms.max_steps:
        return f"after {terms.max_steps} steps, the most allowed (--max-steps)"
    if made.tried[-1].state == "unclear":
        return f"{made.tried[-1].rate:g} requests/s could not be measured: {made.steps[-1].why}"
    return "at a lower rate a step would have too few arrivals; --step-seconds makes it longer"


def _conditions(terms: Terms, run: Run) -> dict[str, str]:
    """What was run on what."""
    manifest, scenario = run.manifest, terms.scenario
    server = manifest.server or {}
    hardware = (server.get("hardware") or {}).get("name")
    cpu, cores = manifest.machine.get("cpu"), manifest.machine.get("cores")
    versions = [f"{name} {version}" for name, version in manifest.versions.items() if version]
    bounds = {"ttft": "TTFT", "tpot": "TPOT", "latency": "latency"}
    slo = [
        f"{bounds[name]} <= {1000 * value:g} ms"
        for name, value in terms.slo.model_dump(exclude_none=True).items()
        if name in bounds
    ]
    told = {
        "date": manifest.started_at or "unknown",
        "SLO": f"{100 * terms.slo.share:g} % of arrivals with {' and '.join(slo)}",
        "scenario": f"{scenario.name}, {scenario.arrivals.process} arrivals, rates varied",
        "steps": f"{scenario.duration:g} s judged after {scenario.warmup:g} s of warm-up, "
        f"{len(manifest.lanes)} worker{'s' if len(manifest.lanes) != 1 else ''}",
        "model": manifest.model or "unknown",
        "target": manifest.target,
        "server": server.get("command_line") or manifest.host,
        "hardware": hardware,
        "load from": f"{cpu}, {cores} cores" if cpu else None,
        "versions": ", ".join(versions),
    }
    return {name: str(text) for name, text in told.items() if text}


def _write(found: report.Capacity, folder: Path) -> None:
    from reports.charts.svg import draw

    try:
        write_json(folder / "capacity.json", report.to_json(found))
        (folder / f"{report.FIGURE}.svg").write_bytes(draw(chart(found)))
        (folder / "README.md").write_text(report.readme(found), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{folder}: the report cannot be written: {error.strerror}") from None
