"""forecast.json: a forecast kept in the folder of the run that it is held to; the error over all of them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from common.results import FORECAST, SUMMARY, now, write_json
from common.usage import UsageError
from forecast.calibration import Calibration
from forecast.forecast import NAMES, Forecast, figures_of
from reports.runs.runs import load_run


def keep(folder: Path, calibration: Calibration, found: Forecast) -> None:
    """Write forecast.json. Times in seconds."""
    figures = {name: {"low": f.low, "value": f.value, "high": f.high} for name, f in found.figures.items()}
    content = {
        "made_at": now(),
        "basis": calibration.run,
        "setting": found.setting.name,
        "schedule_digest": found.setting.schedule.digest,
        "saturated": found.saturated,
        "may_turn": found.maybe,
        "figures": figures,
        "step": dict(found.step),
        "log_sd_of_a_step": found.sd,
        "remarks": list(found.setting.remarks),
    }
    try:
        write_json(folder / FORECAST, content)
    except OSError as error:
        raise UsageError(f"{folder}: the forecast cannot be written there: {error.strerror}") from None


@dataclass(frozen=True)
class Score:
    """One forecast figure beside what was measured. `inside`: None where band or figure is missing."""

    run: str
    name: str
    forecast: float | None
    measured: float | None
    inside: bool | None

    @property
    def error(self) -> float | None:
        """forecast / measured − 1."""
        return self.forecast / self.measured - 1 if self.forecast is not None and self.measured else None


def scores(results: Path) -> list[Score]:
    """Of every judged run in the folder that has a forecast; damaged ones are passed over."""
    found: list[Score] = []
    for path in sorted(results.glob(f"*/{FORECAST}")):
        if not (path.parent / SUMMARY).is_file():
            continue
        try:
            said: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))["figures"]
            real = figures_of(load_run(path.parent))
            found += [
                _score(path.parent.name, name, said[name], real.get(name)) for name in NAMES if name in said
            ]
        except (ValueError, KeyError, TypeError, UsageError):
            continue
    return found


def _score(run: str, name: str, said: Mapping[str, float | None], real: float | None) -> Score:
    low, high = said["low"], said["high"]
    inside = None if low is None or high is None or real is None else low <= real <= high
    return Score(run, name, said["value"], real, inside)


def medians(found: list[Score]) -> dict[str, tuple[float, int, float | None]]:
    """name: (median absolute error, how many, share inside its band)."""
    result = {}
    for name in NAMES:
        errors = [abs(each.error) for each in found if each.name == name and each.error is not None]
        held = [each.inside for each in found if each.name == name and each.inside is not None]
        if errors:
            result[name] = (float(np.median(errors)), len(errors), sum(held) / len(held) if held else None)
    return result
