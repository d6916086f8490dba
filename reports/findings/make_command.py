"""What make has to be told so that a command meets the conditions of a run.

The manifest holds the load as it was; here it is held against the scenario's own file, so that a command
names only what was set otherwise. What a run does not record (LOCUSTFILE=) cannot be named.
"""

import json
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from common.places import ROOT
from common.results import VARIANTS, results_folder
from reports.runs.runs import Run

TARGETS, SCENARIOS = ROOT / "server" / "targets", ROOT / "scenarios"
KNOWN = ROOT / "server" / "variants"
USUAL_TARGET, USUAL_SCENARIO = "cpu-tiny", "chat-medium"  # what make takes by itself, without a GPU
OWN = "path/to"  # stands for where a target or a scenario of the user's own lies

NUMBERS = {
    "rate": "RPS",
    "duration": "DURATION",
    "warmup": "WARMUP",
    "drain": "DRAIN",
    "timeout": "TIMEOUT",
    "max_concurrency": "MAX_CONCURRENCY",
}
LENGTHS = {"prompt_tokens": "INPUT_TOKENS", "output_tokens": "OUTPUT_TOKENS"}
REQUEST = {
    "api": "API",
    "endpoint": "ENDPOINT",
    "extra_body": "EXTRA_BODY",
    "temperature": "TEMPERATURE",
    "top_p": "TOP_P",
    "max_tokens_field": "MAX_TOKENS_FIELD",
}
BOUNDS = {"ttft": ("SLO_TTFT", 1000), "tpot": ("SLO_TPOT", 1000), "share": ("SLO_SHARE", 1)}


def settings(run: Run) -> list[str]:
    """'TARGET=…', 'SCENARIO=…', 'RPS=4.6', each where it is not what make or the scenario takes by itself."""
    manifest = run.manifest
    found = []
    if manifest.target not in (None, USUAL_TARGET):
        found.append(f"TARGET={_named(manifest.target, TARGETS)}")
    if manifest.scenario_hash is None or manifest.scenario_name is None:  # another tool's load
        return found
    if manifest.scenario_name != USUAL_SCENARIO:
        found.append(f"SCENARIO={_named(manifest.scenario_name, SCENARIOS)}")
    own = _own(manifest.scenario_name)
    if own is not None:
        given = manifest.scenario | {"seed": manifest.seed}
        usual = manifest.scenario_defaults | own
        found += [*_numbers(given, usual), *_arrivals(given, usual), *_lengths(given, own)]
        found += _request(given.get("request") or {}, own.get("request") or {})
        found += _bounds(given, (manifest.scenario_defaults.get("slo") or {}) | (own.get("slo") or {}))
    return found + ([f"WORKERS={len(manifest.lanes)}"] if len(manifest.lanes) > 1 else [])


def variant(name: str, launched: bool) -> str:
    """How make is told a report's variant: its name, or the path of its file; of a server that was not
    launched by us it is a label. A run that stands for itself ("batch-8 (20261129T…)") is of the variant
    before the bracket."""
    bare = re.sub(r" \(.*\)$", "", name)
    if not launched or (KNOWN / f"{bare}.yaml").is_file():
        return bare
    written = results_folder() / VARIANTS / f"{bare}.yaml"
    return shlex.quote(str(written) if written.is_file() else f"{OWN}/{bare}.yaml")


def _named(name: str | None, folder: Path) -> str:
    known = (folder / f"{name}.yaml").is_file()
    return shlex.quote(f"{name}" if known else f"{OWN}/{name}.yaml")


def _own(name: str) -> dict[str, Any] | None:
    """The scenario's file as it is written; None where there is none to be read."""
    try:
        found = yaml.safe_load((SCENARIOS / f"{name}.yaml").read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return None
    return found if isinstance(found, dict) else None


def _numbers(given: Mapping[str, Any], usual: Mapping[str, Any]) -> list[str]:
    names = NUMBERS | {"seed": "SEED"}
    return [
        f"{setting}={_number(given[key])}"
        for key, setting in names.items()
        if isinstance(given.get(key), int | float) and given[key] != usual.get(key)
    ]


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.9g}"


def _arrivals(given: Mapping[str, Any], usual: Mapping[str, Any]) -> list[str]:
    here, own = given.get("arrivals"), usual.get("arrivals")
    if not isinstance(here, Mapping) or not isinstance(own, Mapping):
        return []
    process = here.get("process")
    found = [] if process == own.get("process") else [f"ARRIVALS={shlex.quote(str(process))}"]
    clients = here.get("concurrency")
    if process == "closed-loop" and clients not in (None, own.get("concurrency", usual.get("concurrency"))):
        found.append(f"CONCURRENCY={clients}")
    return found


def _lengths(given: Mapping[str, Any], own: Mapping[str, Any]) -> list[str]:
    pairs = {setting: (_short(given.get(key)), _short(own.get(key))) for key, setting in LENGTHS.items()}
    return [f"{setting}={here}" for setting, (here, usual) in pairs.items() if here and here != usual]


def _short(lengths: Any) -> str | None:
    """Lengths as make takes them: '550', '550,200', '550,200,100-16000'; None for what it cannot say."""
    if isinstance(lengths, int | float):
        return f"{lengths:.9g}"
    if not isinstance(lengths, Mapping):
        return None
    known = {key: f"{value:.9g}" for key, value in lengths.items() if isinstance(value, int | float)}
    if lengths.get("distribution") == "constant":
        return known.get("mean")
    if lengths.get("distribution") != "lognormal" or not known.keys() >= {"mean", "sd"}:
        return None
    bounds = f",{known['min']}-{known['max']}" if known.keys() >= {"min", "max"} else ""
    return f"{known['mean']},{known['sd']}{bounds}"


def _request(here: Mapping[str, Any], usual: Mapping[str, Any]) -> list[str]:
    """What the requests were told otherwise than the scenario's file says; names of headers are no values."""
    found = []
    for key, setting in REQUEST.items():
        value = here.get(key)
        if value in (None, {}) or value == usual.get(key):
            continue
        text = (
            json.dumps(value)
            if isinstance(value, dict)
            else f"{value:.9g}"
            if isinstance(value, float)
            else value
        )
        found.append(f"{setting}={shlex.quote(str(text))}")
    if here.get("ignore_eos") is False and usual.get("ignore_eos", True):
        found.append("NO_IGNORE_EOS=1")
    return found


def _bounds(given: Mapping[str, Any], usual: Mapping[str, Any]) -> list[str]:
    here = given.get("slo")
    if not isinstance(here, Mapping):
        return []
    return [
        f"{setting}={factor * here[key]:.9g}"
        for key, (setting, factor) in BOUNDS.items()
        if isinstance(here.get(key), int | float) and here[key] != usual.get(key)
    ]
