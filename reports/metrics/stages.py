"""The stages of a load whose rate changes by plan: steps of a constant rate, and ramps."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reports.runs.runs import Run


@dataclass(frozen=True)
class Stage:
    """One step or ramp; seconds from the run's start, arrivals per second."""

    start: float
    end: float
    first: float  # rate at its start
    last: float  # and at its end

    @property
    def steady(self) -> bool:
        return self.first == self.last

    @property
    def label(self) -> str:
        """'20/s', '5 to 40/s'"""
        return f"{self.first:g}/s" if self.steady else f"{self.first:g} to {self.last:g}/s"


def stages(run: Run) -> list[Stage]:
    """The stages that lie in the window, as the scenario has them; none for a load of one mean rate."""
    scenario = run.manifest.scenario
    arrivals = scenario.get("arrivals")
    listed = arrivals.get("stages") if isinstance(arrivals, Mapping) else None
    if not listed:
        return []
    longer = float(scenario["duration"]) / sum(float(each["duration"]) for each in listed)
    higher = _stretch(scenario.get("rate"), listed)
    found, (start, until) = [], run.window
    for each in listed:
        end, first = start + longer * float(each["duration"]), higher * float(each["rate"])
        last = first if each.get("to") is None else higher * float(each["to"])
        found.append(Stage(start, min(end, until), first, last))
        start = end
    return [stage for stage in found if stage.start < stage.end]


def _stretch(rate: Any, listed: list[Mapping[str, Any]]) -> float:
    """By how much the rates are raised, so that `rate` is their mean; without it they are as written."""
    if rate is None:
        return 1.0
    amounts = [
        (float(each["rate"]) + float(each["rate"] if each.get("to") is None else each["to"])) / 2
        * float(each["duration"])
        for each in listed
    ]  # fmt: skip
    return float(rate) * sum(float(each["duration"]) for each in listed) / sum(amounts)
