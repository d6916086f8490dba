"""`tokenswarm forecast RUN [VARIANT …]`: what variants, rates and hardware would do, from one run."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from common.results import MANIFEST, results_folder
from common.terminal import say, shown
from common.usage import UsageError, number
from forecast import alternatives, kept, slo_rate, table
from forecast.calibration import Calibration, calibrate
from forecast.forecast import Forecast, Setting, forecast
from loadgen.workload.scenario import Scenario
from loadgen.workload.schedule import Schedule, schedule
from reports.runs.runs import Run, load_run
from reports.text.console import console_of
from server import variants

WIDTH = 150  # where no terminal says how wide it is
MOST_LIMITS = 12  # settings whose SLO rate is looked for: about a second each


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("run", nargs="?", metavar="RUN", help="a run folder (default: the newest baseline)")
    parser.add_argument(
        "variants", nargs="*", metavar="VARIANT", help="names or files (default: all that it can tell)"
    )
    parser.add_argument("--set", action="append", default=[], metavar="FLAGS", help='as "--max-num-seqs 16"')
    parser.add_argument("--rates", metavar="5,10,...", help="requests/s (default: the run's)")
    parser.add_argument("--scenario", help="another load than the run's")
    parser.add_argument("--duration", type=number, help="seconds")
    parser.add_argument("--gpu", "--hardware", metavar="NAME", help="another GPU of server/hardware.yaml")
    parser.add_argument("--score", action="store_true", help="how true all kept forecasts were")
    parser.add_argument("--write", action="store_true", help="write each forecast as a run folder")
    parser.add_argument(
        "--keep", metavar="FOLDER", help="keep the forecast of the one VARIANT for a run there"
    )


def run(given: argparse.Namespace) -> int:
    """Do what the arguments say; the exit code."""
    if given.score:
        return _score()
    measured = load_run(_folder(given.run))
    loads = _loads(given, measured)  # a mistake in them is told at once
    found = calibrate(measured)
    settings = _settings(given, loads, found)
    made = [forecast(found, setting, given.write) for setting in settings]
    if given.keep:
        kept.keep(Path(given.keep), found, made[0])
        say(table.line(made[0], found.run))
        return 0
    _print(found, made)
    if given.write:
        for each in made:
            say(f"written: {each.simulated.write(results_folder())}")
    return 0


def _score() -> int:
    found = kept.scores(results_folder())
    if not found:
        raise UsageError(
            f"{results_folder()}: no judged run with a forecast; `make baseline optimized` makes one"
        )
    for line in table.score_lines(found):
        print(shown(line))
    return 0


def _folder(name: str | None) -> Path:
    """The run's folder: a path, or a name in results/; without one the newest baseline's."""
    if name is None:
        found = sorted(results_folder().glob(f"*-baseline*/{MANIFEST}"))
        if not found:
            raise UsageError(f"{results_folder()}: no run of baseline yet; `make baseline` makes one")
        return found[-1].parent
    return Path(name) if Path(name).is_dir() else results_folder() / name


def _loads(given: argparse.Namespace, run: Run) -> list[Schedule]:
    rates, scenario = _rates(given.rates), _scenario(given, run)
    asked = [scenario.with_overrides(rate=rate) for rate in rates] if rates else [scenario]
    return [schedule(each, run.manifest.seed or scenario.seed) for each in asked]


def _settings(given: argparse.Namespace, loads: Sequence[Schedule], found: Calibration) -> list[Setting]:
    made: list[Setting] = []
    for load in loads:
        if given.variants or given.set:
            made += [alternatives.with_variant(found, name, load) for name in given.variants]
            made += [alternatives.with_flags(found, flags, load) for flags in given.set]
        elif given.rates or given.gpu or given.scenario:
            made.append(alternatives.unchanged(found, load))
        else:
            made += _all_variants(found, load)
    if given.gpu:
        made = [alternatives.on_hardware(found, setting, given.gpu) for setting in made]
    return made


def _all_variants(found: Calibration, load: Schedule) -> list[Setting]:
    made = [alternatives.unchanged(found, load)]
    for name in variants.names():
        if name == found.variant:
            continue
        try:
            made.append(alternatives.with_variant(found, name, load))
        except UsageError as error:
            say(f"{name}: {error}")
    return made


def _scenario(given: argparse.Namespace, run: Run) -> Scenario:
    if given.scenario:
        scenario = Scenario.load(given.scenario)
    elif run.manifest.scenario:
        scenario = Scenario.from_dict(run.manifest.scenario)
    else:
        raise UsageError(f"{run.name} does not say its scenario: give --scenario")
    return scenario.with_overrides(duration=given.duration) if given.duration else scenario


def _rates(text: str | None) -> list[float]:
    try:
        found = [float(part) for part in text.split(",")] if text else []
    except ValueError:
        found = [-1.0]
    if any(not 0 < rate < slo_rate.HIGHEST for rate in found):
        raise UsageError(f"--rates {text!r}: must be numbers above 0 with commas between, as in 5,10,20")
    return found


def _print(found: Calibration, made: Sequence[Forecast]) -> None:
    limits = _limits(found, made)
    console = console_of(WIDTH)
    console.print(table.basis(found))
    console.print(table.table(made, limits))
    if best := table.worth(limits, found.variant):
        console.print(f"\nMost worth measuring: {', '.join(best)} (they may raise the SLO's rate most).")
    if named := [name for name, limit in limits.items() if limit.front_end]:
        console.print(
            f"\nThe SLO's rate of {', '.join(named)} is where the server's front end would fill its core, in "
            f"proportion to what it took here ({found.front_end_full:,.0f} tok/s). The other figures leave it"
            " out."
        )
    for remark in dict.fromkeys(
        f"{each.setting.name}: {text}" for each in made for text in each.setting.remarks
    ):
        console.print(remark)


def _limits(found: Calibration, made: Sequence[Forecast]) -> dict[str, slo_rate.Limit]:
    """The SLO's rate of each setting, where they are few and the load has a rate and an SLO."""
    named = {each.setting.name: each.setting for each in made}
    scenario = made[0].setting.schedule.scenario
    if len(named) > MOST_LIMITS or scenario.slo is None or scenario.rate is None:
        return {}
    return {name: slo_rate.slo_rate(found, setting) for name, setting in named.items()}
