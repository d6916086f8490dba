"""What a variant's run is to be expected to show, said and kept before it is made."""

import contextlib
import json
from pathlib import Path

from campaign.load import Load
from common.results import FORECAST, MANIFEST, SUMMARY, results_folder
from common.strictyaml import bare
from common.terminal import say
from common.usage import UsageError
from loadgen.workload.schedule import schedule
from server.targets import resolve_name

WAITING = ".waiting"  # in the results' folder, until the run has a folder of its own


def foretell(load: Load, variant: str, folder: Path, basis: str = "baseline") -> None:
    """Print the forecast for `variant` from the newest run of `basis`, and keep it in `folder`.

    Without such a run, or for what it cannot tell, there is none; nothing that goes wrong here stops a run.
    """
    if load.host is not None or bare(variant) == bare(basis):
        return
    from forecast import alternatives, kept, table  # scipy takes half a second to import
    from forecast.calibration import calibrate
    from forecast.forecast import forecast
    from reports.runs.runs import load_run

    try:
        found = newest(bare(basis), bare(resolve_name(load.target)))
        if found is None:
            return
        scenario = load.resolved()
        arrivals = schedule(scenario, int(load.options.get("seed", scenario.seed)))
        calibration = calibrate(load_run(found))
        made = forecast(calibration, alternatives.with_variant(calibration, variant, arrivals))
        kept.keep(folder, calibration, made)
        say(table.line(made, calibration.run))
    except UsageError as error:
        say(f"no forecast for {bare(variant)}: {error}")


def begin_at(load: Load, variant: str, basis: str = "baseline") -> Load:
    """The load at the rate at which the variant is forecast to leave the SLO; unchanged where a rate is asked
    for, or nothing can be forecast."""
    if "rps" in load.options:
        return load
    from forecast import alternatives, slo_rate, table
    from forecast.calibration import calibrate
    from reports.runs.runs import load_run

    try:
        found = newest(bare(basis), bare(resolve_name(load.target)))
        if found is None:
            return load
        scenario = load.resolved()
        calibration = calibrate(load_run(found))
        arrivals = schedule(scenario, scenario.seed)
        limit = slo_rate.slo_rate(calibration, alternatives.with_variant(calibration, variant, arrivals))
    except UsageError as error:
        say(f"no forecast for {bare(variant)}: {error}")
        return load
    if limit.rate is None:
        return load
    say(f"begins at the rate where {calibration.run} lets expect the limit: {table.bounded(limit, ' ')}/s")
    return load.with_options(rps=f"{limit.rate:.3g}")


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
