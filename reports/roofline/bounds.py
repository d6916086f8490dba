"""The roofline of the served model on its hardware, beside what was measured."""

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from common.commandline import SEVERAL_GPUS, flag, words
from common.hardware import accelerators
from loadgen.records.record import LOST
from reports.document.roofline import Bounds, Operation, Roofline, WhatIf
from reports.document.run import ServerSide
from reports.roofline import roofline
from reports.roofline.roofline import Hardware, Model, UnknownModelError
from reports.runs.runs import Run

BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_DTYPES = {"half": "float16", "float": "float32"}  # vLLM's other names


def describe(runs: Sequence[Run], server: Mapping[str, ServerSide]) -> Roofline:
    """The roofline of a report's runs; `server` is by run name.

    Of each variant the first run is placed on it, unless its server ran on something else, or on what is not
    known. `missing` says why where it cannot be made.
    """
    known = next((run for run in runs if run.manifest.server), None)
    if known is None:
        return Roofline(
            missing="the launcher did not start the server, so its model and hardware are unknown"
        )
    try:
        model, hardware = served_model(known), served_hardware(known)
        prompt, context = lengths(known)
    except UnknownModelError as error:
        return Roofline(missing=str(error))
    first = {run.manifest.variant: run for run in reversed(runs)}
    ordered = [run for run in runs if first[run.manifest.variant] is run and _ran_on(run, hardware)]
    operations = [_operation(run, server[run.name], hardware) for run in ordered]
    batch = max((place.batch_mean or 1.0 for place in operations), default=1.0)
    return Roofline(
        parameters=model.parameters,
        weight_bytes=model.weight_bytes,
        quantization=model.quantization,
        kv_bytes_per_token=model.kv_bytes_per_token,
        hardware=hardware.name,
        hardware_source=hardware.source,
        peak_flops=hardware.peak_flops,
        peak_bytes_per_s=hardware.peak_bytes_per_s,
        ridge=hardware.ridge,
        by_batch=[bounds(model, hardware, size, context, prompt) for size in BATCHES],
        operations=operations,
        what_if=_what_if(model, hardware, max(batch, 1.0), context, prompt),
    )


def served_model(run: Run) -> Model:
    """The model as the server ran it: its config.json, with --dtype and --kv-cache-dtype of the command."""
    server = run.manifest.server or {}
    config = server.get("model_config")
    if not isinstance(config, dict):
        raise UnknownModelError("the model's config.json was not at hand when the server was started")
    command = words(server)
    if any((flag(command, name) or "1") != "1" for name in SEVERAL_GPUS):
        raise UnknownModelError(
            "the server spread the model over several GPUs, which the formulas do not cover"
        )
    if flag(command, "--speculative-config"):
        raise UnknownModelError(
            "a step of speculative decoding gives several tokens, which the formulas do not cover"
        )
    method = flag(command, "--quantization")
    if method and not config.get("quantization_config"):
        raise UnknownModelError(f"how wide --quantization {method} made the weights is not in config.json")
    config = config | {"torch_dtype": _served_dtype(config, command)}
    try:
        return roofline.model_of(config, flag(command, "--kv-cache-dtype") or "auto")
    except UnknownModelError:
        raise
    except (AttributeError, TypeError, ValueError) as error:
        raise UnknownModelError(f"config.json holds what cannot be read: {error}") from None


def _served_dtype(config: Mapping[str, Any], command: Sequence[str]) -> str:
    """Of weights that are not quantised: --dtype, else the model's own. Without one asked for, vLLM serves
    a model of 32 bits in 16."""
    asked = flag(command, "--dtype")
    if asked and asked != "auto":
        return _DTYPES.get(asked, asked)
    own = str(config.get("torch_dtype") or config.get("dtype") or "float16").removeprefix("torch.")
    return "float16" if own == "float32" else own


def served_hardware(run: Run) -> Hardware:
    """The peaks that the launcher wrote into server.json. Raises UnknownModelError when it knew none."""
    found = (run.manifest.server or {}).get("hardware") or {}
    flops, moved = found.get("peak_flops"), found.get("peak_bytes_per_s")
    if not flops or not moved:
        raise UnknownModelError(f"the peaks of {found.get('name') or 'the hardware'} are not known")
    return Hardware(
        str(found.get("name")),
        float(flops),
        float(moved),
        found.get("memory_bytes"),
        str(found.get("source") or ""),
    )


def _ran_on(run: Run, hardware: Hardware) -> bool:
    with contextlib.suppress(UnknownModelError):
        return served_hardware(run) == hardware
    return False


def lengths(run: Run) -> tuple[float, float]:
    """(mean prompt, mean context of a decoded token) in tokens, of all arrivals as the schedule asked.

    A request with prompt p and output n decodes at contexts p + 1 … p + n - 1; the mean is over tokens.
    """
    here = ~run.records.status_is(LOST)
    asked, output = run.records.numbers("prompt_asked")[here], run.records.numbers("output_asked")[here]
    prompts = np.where(np.isnan(asked), run.records.numbers("prompt_tokens")[here], asked)
    known = ~np.isnan(prompts) & ~np.isnan(output)
    if not known.any():
        raise UnknownModelError("the records hold no prompt or output lengths")
    prompts, output = prompts[known], output[known]
    decoded = np.maximum(output - 1, 0)
    if not decoded.sum():
        return float(prompts.mean()), float(prompts.mean())
    context = float((decoded * (prompts + output / 2)).sum() / decoded.sum())
    return float(prompts.mean()), context


def bounds(model: Model, hardware: Hardware, batch: float, context: float, prompt: float) -> Bounds:
    """Every bound at one batch and context."""
    decode, prefill = roofline.decode(model, batch, context), roofline.prefill(model, 1, prompt)
    return Bounds(
        batch=batch,
        context=context,
        prompt=prompt,
        decode_intensity=decode.intensity,
        decode_attainable=roofline.attainable(hardware, decode.intensity),
        decode_memory_bound=roofline.memory_bound(hardware, decode),
        prefill_intensity=prefill.intensity,
        prefill_attainable=roofline.attainable(hardware, prefill.intensity),
        tpot=roofline.shortest(hardware, decode),
        ttft=roofline.ttft_bound(model, hardware, prompt),
        output_token_throughput=roofline.throughput_bound(model, hardware, batch, context),
    )


def _operation(run: Run, server: ServerSide, hardware: Hardware) -> Operation:
    """Where the run worked. FLOPs and bytes are the engine's own estimates of what it scheduled."""
    batch = server.running_mean
    place = None
    if batch:
        with contextlib.suppress(UnknownModelError):  # this run's server is not known, another's is
            prompt, context = lengths(run)
            place = bounds(served_model(run), hardware, max(batch, 1.0), context, prompt)
    seconds = run.manifest.drained_at - run.window[0]
    moved = None
    if server.read_bytes is not None and server.write_bytes is not None:
        moved = server.read_bytes + server.write_bytes
    rate = None if server.flops is None else server.flops / seconds
    intensity = server.flops_per_byte
    return Operation(
        variant=run.manifest.variant,
        run=run.name,
        bounds=place,
        batch_mean=batch,
        batch_max=server.running_max,
        intensity=intensity,
        flops_per_s=rate,
        bytes_per_s=None if moved is None else moved / seconds,
        share_of_attainable=rate / roofline.attainable(hardware, intensity) if rate and intensity else None,
    )


def _what_if(model: Model, here: Hardware, batch: float, context: float, prompt: float) -> list[WhatIf]:
    listed = [here] + [other for other in known_hardware() if other.name != here.name]
    return [_what_if_on(model, hardware, hardware is here, batch, context, prompt) for hardware in listed]


def _what_if_on(
    model: Model, hardware: Hardware, measured_here: bool, batch: float, context: float, prompt: float
) -> WhatIf:
    largest = roofline.largest_batch(model, hardware, context)
    fits = None if largest is None else largest >= batch
    return WhatIf(
        hardware=hardware.name,
        measured_here=measured_here,
        peak_flops=hardware.peak_flops,
        peak_bytes_per_s=hardware.peak_bytes_per_s,
        ridge=hardware.ridge,
        fits=fits,
        largest_batch=largest,
        bounds=None if fits is False else bounds(model, hardware, batch, context, prompt),
        source=hardware.source,
    )


def known_hardware() -> list[Hardware]:
    """The accelerators of server/hardware.yaml, in its order."""
    return [
        Hardware(name, each.peak_flops, each.peak_bytes_per_s, each.memory_bytes, each.source)
        for name, each in accelerators().items()
    ]
