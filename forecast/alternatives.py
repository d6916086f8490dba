"""What is to be forecast: a run's server with a variant's or other flags, another load, other hardware."""

import dataclasses
import math
import shlex
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from common.hardware import accelerators
from common.strictyaml import bare, check_model
from common.usage import UsageError
from forecast.calibration import Calibration
from forecast.engine_settings import EAGER, Settings, changed, refuse_unknowable, settings_of
from forecast.forecast import Setting
from forecast.step_times import Work
from loadgen.workload.schedule import Schedule
from reports.roofline import roofline
from reports.roofline.roofline import Hardware, UnknownModelError
from server import variants
from server.variants import Variant

GRAPHS = (
    "CUDA graphs: no step of the run shows them; between the hardware's bound and the run's own step times"
)


def own_command(calibration: Calibration) -> list[str]:
    """The server's command without what the run's own variant added: what other variants apply to."""
    command = list(calibration.command)
    if calibration.variant not in variants.names():
        return command
    added = {words[0] for words in map(variants.split, variants.read_variant(calibration.variant).add)}
    return [word for flag in _grouped(command) if flag[0] not in added for word in flag]


def with_variant(calibration: Calibration, name: str, schedule: Schedule) -> Setting:
    """Raises UsageError for a variant that does not fit, or whose effect the run cannot tell."""
    variant = variants.read_variant(name)
    return _setting(calibration, bare(name), own_command(calibration), variant, schedule)


def unchanged(calibration: Calibration, schedule: Schedule) -> Setting:
    """The run's own server under another load."""
    return Setting(calibration.variant, calibration.settings, schedule)


def with_flags(calibration: Calibration, flags: str, schedule: Schedule) -> Setting:
    """The run's own command with some flags set, as `--max-num-seqs 16`."""
    try:
        parts = [shlex.join(part) for part in _grouped(shlex.split(flags))]
    except ValueError as error:
        raise UsageError(f"--set {flags!r}: {error}") from None
    if not parts or any(not part.startswith("--") for part in parts):
        raise UsageError(f'--set {flags!r}: must be flags of the server, as in --set "--max-num-seqs 16"')
    content = {"changes": "flags of the command line", "expected": "see the forecast", "add": parts}
    variant = check_model(content, Variant, "--set")
    return _setting(calibration, flags, list(calibration.command), variant, schedule)


def on_hardware(calibration: Calibration, setting: Setting, name: str) -> Setting:
    """The setting on another GPU: step times moved by the roofline's bounds, with a band between "nothing of
    a step depends on the GPU" and "everything does". Raises UsageError for peaks or models not known."""
    known = accelerators()
    if name not in known:
        raise UsageError(f"--gpu {name!r} is not in hardware.yaml; it has {', '.join(known)}")
    here, there = _here(calibration), known[name]
    other = Hardware(name, there.peak_flops, there.peak_bytes_per_s, there.memory_bytes, there.source)
    times = setting.step_times or calibration.step_times
    own, new = _bound(calibration, here), _bound(calibration, other)
    fitted = times.coefficients
    host = np.maximum(fitted - own, 0.0)  # what the bound does not explain is taken to be the host's
    moved = host + np.where(own > 0, np.minimum(fitted, own) * new / np.maximum(own, 1e-30), 0.0)
    factors = np.where(fitted > 0, moved / np.maximum(fitted, 1e-30), 1.0)
    ratio = max(here.peak_bytes_per_s / other.peak_bytes_per_s, here.peak_flops / other.peak_flops)
    slowest, fastest = max(ratio, 1.0, *factors), min(ratio, 1.0, *factors)
    middle = float(np.exp(np.log(factors).mean()))
    return dataclasses.replace(
        setting,
        name=f"{setting.name} on {name}",
        step_times=times.times(factors),
        extra=(setting.extra[0] * fastest / middle, setting.extra[1] * slowest / middle),
        remarks=(*setting.remarks, f"{name}: scaled by the roofline from {here.name}, never measured"),
    )


def _setting(
    calibration: Calibration, name: str, base: Sequence[str], variant: Variant, schedule: Schedule
) -> Setting:
    lead = next((place for place, word in enumerate(base) if word.startswith("--")), len(base))
    flags = [shlex.join(part) for part in _grouped(base[lead:])]
    try:
        words = [word for part in variants.apply(flags, variant) for word in part]
    except ValueError as error:
        raise UsageError(f"{name}: the variant does not fit {calibration.run}: {error}") from None
    command = [*base[:lead], *words]
    differs = changed(calibration.command, command)
    remarks = refuse_unknowable(differs, calibration.run)
    settings = _settings(calibration, command)
    setting = Setting(name, settings, schedule, remarks=tuple(remarks))
    if EAGER in differs and not settings.eager:
        return _graphs(calibration, setting)
    if EAGER in differs:
        raise UsageError(
            f"{calibration.run} ran with CUDA graphs and cannot say what a step takes without them"
        )
    return setting


def _settings(calibration: Calibration, command: Sequence[str]) -> Settings:
    own = calibration.settings
    cpu = calibration.hardware.get("kind") == "cpu"
    cache = {"num_gpu_blocks": str(own.engine.blocks or ""), "block_size": str(own.engine.block_size)}
    memory = calibration.hardware.get("memory_bytes")
    found = settings_of(command, cpu, memory, calibration.log, cache)
    return dataclasses.replace(
        found,
        engine=dataclasses.replace(found.engine, lookahead=min(found.engine.lookahead, own.engine.lookahead)),
    )


def _graphs(calibration: Calibration, setting: Setting) -> Setting:
    """Without --enforce-eager most of the host's part of a step goes, which the run cannot tell apart."""
    try:
        bound = _bound(calibration, _here(calibration))
    except UsageError:
        return dataclasses.replace(
            setting, remarks=(*setting.remarks, f"{GRAPHS}; no bound is known"), extra=(0.2, 1.0)
        )
    own = calibration.step_times
    context = own.seen.context_high
    batch = max(own.seen.sequences_high / 2, 1.0)
    work = Work(1.0, batch, batch * context, 0.0, 0.0).columns()
    floor = float(work @ bound) / float(own.seconds(Work(1.0, batch, batch * context, 0.0, 0.0)))
    middle = math.sqrt(min(floor, 1.0))
    return dataclasses.replace(
        setting,
        step_times=own.times(middle),
        extra=(floor / middle, 1.0 / middle),
        remarks=(*setting.remarks, GRAPHS),
    )


def _here(calibration: Calibration) -> Hardware:
    found = calibration.hardware
    if not found.get("peak_flops") or not found.get("peak_bytes_per_s"):
        raise UsageError(
            f"{calibration.run} does not say the peaks of its hardware, so nothing can be scaled from it"
        )
    return Hardware(
        str(found.get("name")), found["peak_flops"], found["peak_bytes_per_s"], found.get("memory_bytes")
    )


def _bound(calibration: Calibration, hardware: Hardware) -> NDArray[np.float64]:
    """Least seconds that each term of step_times.TERMS takes on the hardware; shape (6,)."""
    if not calibration.model_config:
        raise UsageError(
            f"{calibration.run} does not hold the model's config, so nothing can be scaled from it"
        )
    try:
        model = roofline.model_of(calibration.model_config)
    except UnknownModelError as error:
        raise UsageError(f"{calibration.run}: {error}") from None
    flops = 2 * model.parameters / hardware.peak_flops
    return np.array(
        [
            model.step_weight_bytes / hardware.peak_bytes_per_s,
            flops,
            model.kv_bytes_per_token / hardware.peak_bytes_per_s,
            flops,
            0.0,
            0.0,
        ]
    )


def _grouped(words: Sequence[str]) -> list[list[str]]:
    """Words as flags with their values."""
    found: list[list[str]] = []
    for word in words:
        if word.startswith("-") and not word.lstrip("-")[:1].isdigit() or not found:
            found.append([word])
        else:
            found[-1].append(word)
    return found
