"""How true forecasts are, on the CPU target: `tokenswarm bench forecast` (make bench-forecast).

For each setting, as `make baseline optimized` does it: a baseline run, the forecast from it alone, written
down, and only then the setting's own run (about 3 minutes, the machine alone). A forecast cannot be truer
than the machine is steady, so the table says how far the baselines lie apart. What is there already is kept,
so it can be stopped and taken up: `--only NAME` measures one, `--table` none.
"""

import json
import math
import os
import subprocess
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.load import drive
from bench.process import metronome
from common.places import ROOT
from common.ports import free_port
from common.results import SUMMARY, now, results_folder, write_json
from common.terminal import say
from common.usage import UsageError, number
from forecast.alternatives import unchanged, with_flags
from forecast.calibration import Calibration, calibrate
from forecast.forecast import COVERED, Forecast, figures_of, forecast
from loadgen.workload.scenario import Scenario
from loadgen.workload.schedule import schedule
from reports.metrics.machine import taken_by_others
from reports.runs.runs import Run, load_run
from reports.verdict.rule import RULES, Verdict

BASELINE = "baseline"
DISTURBED = 0.05  # share of the machine that others took: such a run is made again, whatever it showed
TRIES = 3
RATE = 20.0
SEED = 1
# figure: (name, unit, factor, median absolute error that must hold)
MUST = {
    "output_token_throughput": ("tok/s", 1, 0.05),
    "completed_rate": ("req/s", 1, 0.05),
    "tpot_p50": ("TPOT p50, ms", 1000, 0.08),
    "ttft_p50": ("TTFT p50, ms", 1000, 0.15),
    "latency_mean": ("latency mean, ms", 1000, 0.15),
}
COVERAGE = (0.70, 0.95)
METRONOME = "metronome"
SLOTS = 8  # answers at a time, of some 60 that the load would keep
TTFT, TPOT = 0.04, 0.02  # s, of the metronome
TRUE_TO = 0.02  # share: against the metronome, whose times are known


@dataclass(frozen=True)
class Case:
    """A setting that is forecast and measured: flags of the server, and the load."""

    name: str
    flags: str = ""
    scenario: str = "chat-medium"
    rate: float = RATE


CASES = (
    *(Case(f"batch-{size}", f"--max-num-seqs {size}") for size in (4, 8, 16, 32)),
    Case("chunk-512", "--max-num-batched-tokens 512"),
    *(Case(f"rate-{rate}", rate=rate) for rate in (5, 10, 15, 25)),
    Case("rag-small", scenario="rag-small", rate=10),
)


def add_arguments(parser: ArgumentParser) -> None:
    """The command's arguments."""
    names = [METRONOME, *(case.name for case in CASES)]
    parser.add_argument("--only", metavar="NAME", choices=names, help="measure this one alone")
    parser.add_argument("--table", action="store_true", help="measure nothing; print what is there")
    parser.add_argument("--duration", type=number, default=60, help="seconds of each load (default: 60)")


def run(given: Namespace) -> int:
    """0 where every figure holds, else 1."""
    place = results_folder() / "bench-forecast"
    if given.only == METRONOME:
        return _metronome(place / METRONOME, given.duration)
    if not given.table:
        for case in CASES:
            if given.only in (None, case.name):
                _measure(place, case, given.duration)
    if given.only:
        return 0
    done = [case.name for case in CASES if _folder(place, case.name)]
    if not done:
        raise UsageError(f"{place}: no run there yet: make bench-forecast")
    code = _print({name: _read(place / f"{name}.json") for name in done}, place)
    return code if given.table else max(code, _metronome(place / METRONOME, given.duration))


def _measure(place: Path, case: Case, duration: float) -> None:
    """The baseline, the forecast, the setting."""
    said, before = place / f"{case.name}.json", f"{case.name}-{BASELINE}"
    if not said.is_file():
        _run(place, Case(before), duration)
        baseline = _folder(place, before)
        assert baseline is not None
        made = forecast_of(calibrate(load_run(baseline)), case, duration)
        write_json(said, {"made_at": now(), "from": baseline.name, **_plain(made)})
    _run(place, case, duration)


def forecast_of(calibration: Calibration, case: Case, duration: float) -> Forecast:
    """The forecast of one case."""
    scenario = Scenario.load(case.scenario).with_overrides(rate=case.rate, duration=duration)
    load = schedule(scenario, SEED)
    setting = with_flags(calibration, case.flags, load) if case.flags else unchanged(calibration, load)
    return forecast(calibration, setting)


def _plain(found: Forecast) -> dict[str, Any]:
    return {
        "saturated": found.saturated,
        "maybe": found.maybe,
        "step": dict(found.step),
        "sd": found.sd,
        "figures": {name: [each.low, each.value, each.high] for name, each in found.figures.items()},
    }


def _run(place: Path, case: Case, duration: float) -> None:
    """One run that others left alone, unless there is one. Raises UsageError where they never do."""
    for _ in range(TRIES):
        if not _disturbed(_folder(place, case.name)):
            return
        _run_once(place, case, duration)
    if _disturbed(_folder(place, case.name)):
        raise UsageError(
            f"{case.name}: in {TRIES} runs others took over {100 * DISTURBED:.0f} % of the machine, or it "
            "ended early: have the machine to yourself; the same command goes on"
        )


def _run_once(place: Path, case: Case, duration: float) -> None:
    """By the command that a user has."""
    folder = place / case.name
    folder.mkdir(parents=True, exist_ok=True)
    variant = folder / f"{case.name}.yaml"
    add = f"add:\n  - {case.flags}\n" if case.flags else ""
    variant.write_text(f"changes: {case.flags or 'nothing'}\nexpected: its forecast\n{add}")
    words = [sys.executable, "-m", "tokenswarm", "run", str(variant.resolve()), "--target", "cpu-tiny"]
    words += ["--scenario", case.scenario, "--rps", f"{case.rate:g}", "--duration", f"{duration:g}"]
    words += ["--seed", str(SEED), "--port", str(free_port())]
    say(f"measuring {case.name}")
    environment = os.environ | {"TOKENSWARM_RESULTS": str(folder.resolve())}
    code = subprocess.run(words, env=environment, cwd=ROOT).returncode
    if code or _folder(place, case.name) is None:
        raise UsageError(f"{case.name} made no run (exit code {code}); the same command tries it again")


def _disturbed(folder: Path | None) -> bool:
    """Whether there is no whole run, or nobody can say that others left it alone."""
    if folder is None:
        return True
    run = load_run(folder)
    taken = taken_by_others(run)
    return taken is None or taken > DISTURBED or run.manifest.ended != "complete" or _lost_a_worker(run)


def _lost_a_worker(run: Run) -> bool:
    return any(lane.lost for lane in run.manifest.lanes)


def _metronome(place: Path, seconds: float) -> int:
    """A server whose times are known, with a limit that the run never saw; 0 if all is within TRUE_TO."""
    timetable = ("--ttft", str(TTFT), "--tpot", str(TPOT))
    for name, limit in (("free", ()), ("limited", ("--slots", str(SLOTS)))):
        if not (place / name / SUMMARY).is_file():
            with metronome(*timetable, *limit) as server:
                drive(server.url, RATE, seconds, place / name)
    free, limited = load_run(place / "free"), load_run(place / "limited")
    found = calibrate(free)
    load = schedule(Scenario.from_dict(limited.manifest.scenario), limited.manifest.seed or SEED)
    said = forecast(found, with_flags(found, f"--max-num-seqs {SLOTS}", load)).figures
    real = figures_of(limited)
    print(f"\nMetronome, {TTFT:g} s + {TPOT:g} s a token, forecast for {SLOTS} at a time from a free run:")
    good = True
    for name in ("output_token_throughput", "completed_rate", "latency_mean"):
        value, truth = said[name].value, real.get(name)
        error = value / truth - 1 if value is not None and truth else float("nan")
        good &= abs(error) <= TRUE_TO
        print(
            f"{_mark(abs(error) <= TRUE_TO)} {name}: {value:.4g}, measured {truth:.4g}, {100 * error:+.2f} %"
        )
    return 0 if good else 1


def _folder(place: Path, name: str) -> Path | None:
    """The newest run of a case that was made to the end."""
    done = sorted((place / name).glob(f"*/{SUMMARY}"))
    return done[-1].parent if done else None


def _measured(place: Path, name: str) -> dict[str, Any] | None:
    folder = _folder(place, name)
    if folder is None:
        return None
    run = load_run(folder)
    found = [rule(run) for rule in RULES.values()]  # not as judged, where a disturbance outranks them
    saturated = any(rule.verdict == Verdict.SATURATED and not rule.passed for rule in found)
    verdict = json.loads((folder / SUMMARY).read_text())["verdict"]
    others = taken_by_others(run)
    told = "" if others is None else f", others took {100 * others:.0f} % of the machine"
    return {"figures": figures_of(run), "saturated": saturated, "verdict": verdict + told}


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise UsageError(f"{path}: the forecast of a setting that was measured is gone: begin anew")
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def _print(forecasts: Mapping[str, Mapping[str, Any]], place: Path) -> int:
    errors: dict[str, list[float]] = {name: [] for name in MUST}
    inside: list[bool] = []
    right = 0
    measured = {name: found for name in forecasts if (found := _measured(place, name))}
    print("| setting | figure | forecast | 80 % band | measured | error | inside |")
    print("|---|---|--:|--:|--:|--:|---|")
    for case, real in measured.items():
        said = forecasts[case]
        for name, (unit, factor, _) in MUST.items():
            low, middle, high = said["figures"][name]
            value = real["figures"].get(name)
            queued = said["saturated"] or real["saturated"]
            if name == "ttft_p50" and queued or middle is None or value is None:
                value_error = None
            else:
                value_error = middle / value - 1
                errors[name].append(abs(value_error))
            held = None if None in (low, high, value) else low <= value <= high
            if held is not None:
                inside.append(held)
            print(
                f"| {case} | {unit} | {_number(middle, factor)} "
                f"| {_number(low, factor)} to {_number(high, factor)} "
                f"| {_number(value, factor)} "
                f"| {'n/a' if value_error is None else f'{100 * value_error:+.1f} %'} "
                f"| {'n/a' if held is None else 'yes' if held else 'no'} |"
            )
        right += said["saturated"] == real["saturated"]
        called = "SATURATED" if said["saturated"] else "not saturated"
        turn = ", may turn" if said["maybe"] else ""
        print(f"| {case} | verdict | {called}{turn} | | {real['verdict']} | | |")
    _print_baselines([found for name in forecasts if (found := _measured(place, f"{name}-{BASELINE}"))])
    return _verdicts(errors, inside, right, len(measured))


def _print_baselines(runs: Sequence[Mapping[str, Any]]) -> None:
    """How far runs of one load on one server lie apart."""
    told = []
    for name, (unit, factor, _) in MUST.items():
        values = [value for run in runs if (value := run["figures"].get(name)) is not None]
        if len(values) > 1:
            spread = np.std(values, ddof=1) / np.mean(values)
            low, high = _number(min(values), factor), _number(max(values), factor)
            told.append(f"{unit} {low} to {high} ({100 * spread:.1f} % sd)")
    if told:
        print(f"\nThe {len(runs)} baselines themselves: {'; '.join(told)}.")


def _verdicts(errors: Mapping[str, Sequence[float]], inside: Sequence[bool], right: int, count: int) -> int:
    """Whether each claim holds; the exit code."""
    good = True
    print()
    for name, (unit, _, bound) in MUST.items():
        if errors[name]:
            median = float(np.median(errors[name]))
            good &= median <= bound
            print(f"{_mark(median <= bound)} {unit.split(',')[0]}: median error {100 * median:.1f} %, "
                  f"at most {100 * bound:g} % wanted ({len(errors[name])} settings)")  # fmt: skip
    if inside:
        share = sum(inside) / len(inside)
        holds = COVERAGE[0] <= share <= COVERAGE[1]
        good &= holds
        print(f"{_mark(holds)} {100 * COVERED:.0f} % bands hold {100 * share:.0f} % of {len(inside)} figures "
              f"({100 * COVERAGE[0]:.0f} to {100 * COVERAGE[1]:.0f} % wanted)")  # fmt: skip
    holds = right >= math.floor(0.95 * count)
    good &= holds
    print(f"{_mark(holds)} SATURATED or not called right in {right} of {count}")
    return 0 if good and count == len(CASES) else 1


def _mark(holds: bool) -> str:
    return "holds:" if holds else "FAILS:"


def _number(value: float | None, factor: float) -> str:
    return (
        "n/a"
        if value is None
        else f"{value * factor:,.4g}"
        if value * factor < 1000
        else f"{value * factor:,.0f}"
    )
