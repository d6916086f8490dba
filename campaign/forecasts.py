"""What a variant's run is to be expected to show, said and kept before it is made."""

import contextlib
import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from campaign.load import Load
from common.results import FORECAST, MANIFEST, SUMMARY, results_folder
from common.strictyaml import bare
from common.terminal import say
from common.usage import UsageError
from loadgen.workload.schedule import schedule
from server.targets import resolve_name

if TYPE_CHECKING:
    from forecast.calibration import Calibration
    from forecast.forecast import Setting

WAITING = ".waiting"  # in the results' folder, until the run has a folder of its own


def foretell(load: Load, variant: str, folder: Path, basis: str = "baseline") -> None:
    """Print the forecast for `variant` from the newest run of `basis`, and keep it in `folder`.

    Without such a run, or for what it cannot tell, there is none; nothing that goes wrong here stops a run.
    """
    if load.host is not None or bare(variant) == bare(basis):
        return
    from forecast import kept, table  # scipy takes half a second to import
    from forecast.forecast import forecast

    try:
        if (asked := _asked(load, variant, basis)) is not None:
            calibration, made = asked[0], forecast(*asked)
            kept.keep(folder, calibration, made)
            say(table.line(made, calibration.run))
    except UsageError as error:
        say(f"no forecast for {bare(variant)}: {error}")


def begin_at(load: Load, variant: str, basis: str = "baseline") -> Load:
    """The load at the rate at which the variant is forecast to leave the SLO; unchanged where a rate is asked
    for, or nothing can be forecast."""
    if "rps" in load.options:
        return load
    from forecast import slo_rate, table

    try:
        asked = _asked(load, variant, basis)
        limit = slo_rate.slo_rate(*asked) if asked else None
    except UsageError as error:
        say(f"no forecast for {bare(variant)}: {error}")
        return load
    if asked is None or limit is None or limit.rate is None:
        return load
    say(f"begins at the rate where {asked[0].run} lets expect the limit: {table.bounded(limit, ' ')}/s")
    return load.with_options(rps=f"{limit.rate:.3g}")


def _asked(load: Load, variant: str, basis: str) -> "tuple[Calibration, Setting] | None":
    """What a forecast of the variant under this load rests on; None where no run of the basis is VALID, which
    is said where there is one. Raises UsageError."""
    from forecast import alternatives

    name, target = bare(basis), bare(resolve_name(load.target))
    found = newest(name, target)
    if found is None:
        if any(results_folder().glob(f"*-{name}/{SUMMARY}")):
            say(f"no forecast for {bare(variant)}: no run of {name} on {target} is VALID")
        return None
    scenario = load.resolved()
    arrivals = schedule(scenario, int(load.options.get("seed", scenario.seed)))
    calibration = _calibrated(found)
    return calibration, alternatives.with_variant(calibration, variant, arrivals)


@cache
def _calibrated(folder: Path) -> "Calibration":
    """Kept, since the steps of a campaign rest on one run, and it takes most of a second."""
    from forecast.calibration import calibrate
    from reports.runs.runs import load_run

    return calibrate(load_run(folder))


def newest(variant: str, target: str) -> Path | None:
    """The newest run of the variant on the target that was made to its end and is VALID."""
    for folder in sorted(results_folder().glob(f"*-{variant}*"), reverse=True):
        manifest, verdict = _read(folder / MANIFEST), _read(folder / SUMMARY).get("verdict")
        if manifest.get("variant") == variant and manifest.get("target") == target and verdict == "VALID":
            return folder
    return None


def settle(variant: str) -> None:
    """Move the forecast that waits into the newest run folder of the variant, which was made after it."""
    waiting = results_folder() / WAITING / FORECAST
    if not waiting.is_file():
        return
    made = [path for path in results_folder().glob(f"*-{bare(variant)}*") if (path / MANIFEST).is_file()]
    later = [path for path in made if path.stat().st_mtime >= waiting.stat().st_mtime]
    with contextlib.suppress(OSError):
        if later:
            waiting.replace(max(later, key=lambda path: path.name) / FORECAST)
        else:
            waiting.unlink()
        waiting.parent.rmdir()


def waiting_folder() -> Path:
    """Where a forecast waits for the folder of its run."""
    folder = results_folder() / WAITING
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _read(path: Path) -> dict[str, object]:
    with contextlib.suppress(OSError, ValueError):
        found = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(found, dict):
            return found
    return {}
