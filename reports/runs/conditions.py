"""The conditions that a run was made under, and in which of them runs differ. `load`: what came of them."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from reports.document.part import Json
from reports.document.schema import Difference
from reports.runs import machines
from reports.runs.runs import Run
from reports.text.formatting import lengths, slo

# Where these differ, figures are of different things; the others are named as a caution.
DECISIVE = (
    "target",
    "model",
    "model layers",
    "scenario",
    "scenario hash",
    "rate",
    "arrivals",
    "requests",
    "input tokens",
    "output tokens",
    "SLO",
    "duration (s)",
    "hardware",
    "CPU",
    "cores",
)
SCHEDULE = ("scenario hash", "seed", "rate", "duration (s)")  # the same: the same arrivals, number by number
SAME_MOMENT = 0.001  # seconds


def conditions(run: Run) -> dict[str, Json]:
    """What must be the same in two runs for a difference to come from the variant."""
    manifest = run.manifest
    scenario, server = manifest.scenario, manifest.server or {}
    hardware = server.get("hardware") or {}
    far = machines.elsewhere(run)  # then the load's machine is not what serves
    return {
        "target": manifest.target,
        "model": manifest.model,
        "model layers": _plain((server.get("model_config") or {}).get("num_hidden_layers")),
        "scenario": manifest.scenario_name,
        "scenario hash": manifest.scenario_hash,
        "rate": _plain(scenario.get("rate")),
        "arrivals": _process(scenario.get("arrivals")),
        "requests": _plain(scenario.get("requests")),
        "input tokens": lengths(scenario.get("prompt_tokens")),
        "output tokens": lengths(scenario.get("output_tokens")),
        "SLO": slo(scenario["slo"]) if scenario.get("slo") else None,
        "duration (s)": None if by_number(run) else round(_asked(run), 3),
        "drain (s)": manifest.drain_limit,
        "seed": manifest.seed,
        "warm-up (s)": round(manifest.window.start, 3),
        "prompts": manifest.prompts.how,
        "hardware": hardware.get("name"),
        "CPU": None if far else _plain(manifest.machine.get("cpu")),
        "cores": None if far else _plain(manifest.machine.get("cores")),
        "pinned cores": _pinned(server.get("pinned")),
        "load from": machines.processor(run) if far else None,
        "kernel": _plain(manifest.machine.get("kernel")),
        "host": _plain(manifest.machine.get("hostname_hash")),
        "lanes": len(manifest.lanes),
        "vLLM": _plain(manifest.versions.get("vllm") or server.get("vllm_version")),
        "tokenswarm": _plain(manifest.versions.get("tokenswarm")),
        "python": _plain(manifest.versions.get("python")),
        "locust": _plain(manifest.versions.get("locust")),
    }


def _asked(run: Run) -> float:
    """Seconds of the window; of a run that was stopped early those that were asked for."""
    window = run.manifest.window
    return window.end - window.start if run.manifest.stopped_early else run.window_length


def by_number(run: Run) -> bool:
    """Whether the load ended with its last request and not with its time, which then is a result.

    So it is in another tool's file where requests came at no rate.
    """
    return "offered_rate" in run.limits.figures


def same_requests(one: Run, other: Run) -> bool:
    """Whether request k of one run is request k of the other: the same digest of the schedule, or the same
    scenario, seed, rate and duration. A drain or an SLO of its own makes no other requests."""
    digests = [(run.manifest.model_extra or {}).get("schedule_digest") for run in (one, other)]
    if digests[0] and digests[0] == digests[1]:
        return True
    mine, theirs = conditions(one), conditions(other)
    told = mine["scenario hash"] is not None and mine["seed"] is not None
    return told and all(mine[key] == theirs[key] for key in SCHEDULE)


def same_schedule(one: Run, other: Run) -> bool:
    """Whether arrival k of one run is arrival k of the other, due at the same moment."""
    if not same_requests(one, other):
        return False
    end = min(one.window[1], other.window[1])  # of one that was stopped early the later ones never came
    due = [np.sort(due[due < end]) for due in (run.records.numbers("due") for run in (one, other))]
    return len(due[0]) == len(due[1]) and bool(np.allclose(due[0], due[1], rtol=0, atol=SAME_MOMENT))


def differences(found: Mapping[str, Mapping[str, Json]]) -> list[Difference]:
    """The conditions that are not the same in all of `found` (label of a run: its conditions)."""
    listed = []
    for key in dict.fromkeys(key for each in found.values() for key in each):
        values = {label: each.get(key) for label, each in found.items()}
        if len(set(values.values())) > 1:
            decisive = key in DECISIVE
            consequence = "so figures are not comparable" if decisive else "the change may come from that"
            if key == "seed":
                consequence = "so the arrivals are other ones and cannot be compared in pairs"
            shown = ", ".join(f"{value} ({label})" for label, value in values.items())
            listed.append(
                Difference(
                    condition=key,
                    values=values,
                    comparable=not decisive,
                    text=f"{key}: {shown}; {consequence}",
                )
            )
    return listed


def named(now: Mapping[str, Json], then: Mapping[str, Json]) -> list[str]:
    """Each difference of an earlier run in words: 'seed 1 instead of 2'."""
    return [f"{key} {then.get(key)} instead of {now[key]}" for key in now if now[key] != then.get(key)]


def incomparable(baseline: Sequence[Run], other: Sequence[Run]) -> str | None:
    """Why two variants' runs cannot be compared, or None."""
    base = conditions(baseline[0])
    for run in (*baseline[1:], *other):
        theirs = conditions(run)
        wrong = [
            f"{key} {theirs[key]} instead of {base[key]}" for key in DECISIVE if theirs[key] != base[key]
        ]
        if wrong:
            return f"{run.name} has {', '.join(wrong)}"
    return None


def _pinned(cores: Any) -> str | None:
    """'client 1, server 0': numbers of the cores that each has for itself."""
    if not isinstance(cores, Mapping):
        return None
    told = {who: cores.get(who) for who in ("client", "server")}
    named = {who: ", ".join(map(str, each)) for who, each in told.items() if isinstance(each, list)}
    return "; ".join(f"{who} {each}" for who, each in named.items()) or None


def _process(arrivals: Any) -> Json:
    """'poisson', or 'gamma (burstiness 0.5)' where the process has parameters."""
    if not isinstance(arrivals, Mapping):
        return _plain(arrivals)
    rest = ", ".join(f"{key} {value}" for key, value in arrivals.items() if key != "process")
    return f"{arrivals.get('process')} ({rest})" if rest else str(arrivals.get("process"))


def _plain(value: Any) -> Json:
    if isinstance(value, float) and not math.isfinite(value):  # of another tool's file; JSON has none
        return str(value)
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)
