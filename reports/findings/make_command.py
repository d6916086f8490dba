"""Commands of make, and what it has to be told so that one meets the conditions of a run.

The manifest holds the load as it was; here it is held against the scenario's own file, so that a command
names only what was set otherwise. What a run does not record (LOCUSTFILE=) cannot be named.
"""

import json
import math
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from common.places import ROOT
from common.results import VARIANTS, results_folder
from reports.document.decision import Recommendation
from reports.metrics import request_metrics
from reports.metrics.survival import needed
from reports.runs.runs import Run

PAIR = ("baseline", "optimized")  # what make loads without being told
LOADS_ONE = ("make baseline ", "make optimized ", "make capacity ")  # commands of one variant
STEP_LENGTH = ("DURATION=", "WARMUP=")  # a search for the capacity has steps of its own length
SIDE_BY_SIDE = "SIDE_BY_SIDE=1"  # of make compare alone
VARIANT = re.compile(r"""VARIANT(?P<many>S)?=(?P<names>"[^"]*"|'[^']*'|\S+)""")
FOR_P99 = needed(0.99, 0.99, 0)  # requests, as the rule enough_requests has it
MARGIN = 1.2  # times as many, since fewer may come by chance
BETWEEN = " Restart the server as optimized between the two commands."
TENS = 10.0  # s; a duration that can be said aloud

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


@dataclass(frozen=True)
class Conditions:
    """Of the runs, for a command that meets them again.

    `settings`: as make takes them. `hosts`: the servers that were not launched by us. `rate`: arrivals per
    second and `window`: seconds, None where another duration gives no other number of requests. `names`: how
    make is told a variant, by its name in the report.
    """

    settings: Sequence[str] = ()
    hosts: Sequence[str] = ()
    rate: float | None = None
    window: float | None = None
    names: Mapping[str, str] = field(default_factory=dict)


def conditions(run: Run, hosts: Sequence[str] = (), variants: Sequence[str] = ()) -> Conditions:
    """Those of a run. A trace gives no other number of requests in another duration."""
    rate = None if run.process == "trace" else request_metrics.rate(run, "offered_rate").value
    names = {name: variant(name, not hosts) for name in variants}
    together = [SIDE_BY_SIDE] if run.manifest.beside else []
    return Conditions([*settings(run), *together], hosts, rate, run.window_length, names)


def run_all(variants: Sequence[str], *settings: str) -> str:
    """The command that makes one run of each and compares them."""
    names = " ".join(variants)
    if set(variants) <= set(PAIR):
        return " ".join(["make", names, *settings])
    return " ".join([f'make compare REPEATS=1 VARIANTS="{names}"', *settings])


def repeat(variants: Sequence[str], count: int) -> str:
    """The command that makes several runs of each."""
    named = "" if tuple(variants) == PAIR else f' VARIANTS="{" ".join(variants)}"'
    return f"make compare REPEATS={count}{named}"


def under_same_conditions(found: Sequence[Recommendation], runs: Conditions) -> list[Recommendation]:
    """With the runs' settings in each command, and long enough for a p99. A command can load a server that
    is named to it, but make no other variant of it, so commands that would are left out."""
    return [_adapted(each, runs) for each in found]


def _adapted(each: Recommendation, runs: Conditions) -> Recommendation:
    asked = _told(each.command, runs.names)
    if asked is None:
        return each.model_copy(update={"command": None})
    words, longer = _with(asked, runs), ""
    if (seconds := _seconds(asked, runs)) is not None:
        words = [word for word in words if not word.startswith("DURATION=")]
        words.insert(1, f"DURATION={seconds:g}")
        longer = f" In {seconds:g} s come the {FOR_P99} requests that a p99 needs."
    command = _on(runs.hosts, " ".join(words))
    if command is None:
        return each.model_copy(update={"command": None})
    between = BETWEEN if "\n" in command else ""
    return each.model_copy(
        update={"text": each.text + between, "reason": each.reason + longer, "command": command}
    )


def _told(command: str | None, names: Mapping[str, str]) -> str | None:
    """With the variants as make is told them; None where it would have to compare one with itself."""
    found = VARIANT.search(command or "")
    if command is None or found is None:
        return command
    many, given = found["many"], found["names"].strip("\"'")
    for name in sorted(names, key=len, reverse=True):  # one with a space in it is no single word
        given = given.replace(name, names[name]) if " " in name else given
    words = list(dict.fromkeys(names.get(word, word) for word in given.split()))
    if many and len(words) < 2:
        return f"make run VARIANT={words[0]}" if command.startswith("make sweep") else None
    setting = f'VARIANTS="{" ".join(words)}"' if many else f"VARIANT={words[0]}"
    return command[: found.start()] + setting + command[found.end() :]


def _with(command: str, runs: Conditions) -> list[str]:
    """The command, and those settings that it does not name itself."""
    names = list(runs.settings)
    if command.startswith("make capacity"):
        names = [each for each in names if not each.startswith(STEP_LENGTH)]
    if not command.startswith("make compare"):
        names = [each for each in names if each != SIDE_BY_SIDE]
    if " SCENARIO=" in command:  # another load, to which what this one was given need not fit
        names = [each for each in names if each.startswith(("TARGET=", "WORKERS="))]
    return [command, *(each for each in names if f" {each.partition('=')[0]}=" not in command)]


def _seconds(command: str, runs: Conditions) -> float | None:
    """How long it has to run for a p99; None where it does as it is, or that cannot be said."""
    if command.startswith("make capacity") or " SCENARIO=" in command or " DURATION=" in command:
        return None
    asked = [word.partition("=")[2] for word in command.split() if word.startswith("RPS=")]
    rate = float(asked[0]) if asked else runs.rate
    if not rate or not runs.window or rate * runs.window >= FOR_P99 * (MARGIN if asked else 1.0):
        return None
    return TENS * math.ceil(MARGIN * FOR_P99 / rate / TENS)


def _on(hosts: Sequence[str], command: str) -> str | None:
    if not hosts:
        return command
    host, pair = f"HOST={shlex.quote(hosts[0])}", f"make {' '.join(PAIR)}"
    if len(hosts) > 1:
        return None
    if command.startswith(pair):  # one address: its server has to be another one in between
        rest = f"{command.removeprefix(pair)} {host}"
        return f"make baseline{rest}\nmake optimized{rest}"
    if not f"{command} ".startswith(LOADS_ONE):
        return None
    return command if " HOST=" in command else f"{command} {host}"


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
