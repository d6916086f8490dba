"""What a server's command line says of its scheduler, and what its flags leave to vLLM. Pure.

The defaults are vLLM's own (`vllm/engine/arg_utils.py`, `get_batch_defaults`; 0.26 and 0.32 agree).
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from common.commandline import flag
from common.usage import UsageError
from forecast.scheduler import FCFS, PRIORITY, Engine

GIB = 2**30
CHUNK_LOG = re.compile(r"max_num_batched_tokens=(\d+)")  # "Chunked prefill is enabled with ..."
SEQUENCES, TOKENS = "--max-num-seqs", "--max-num-batched-tokens"
# What changes a step's time in a way that a run without it cannot show.
UNKNOWABLE = (
    "--model", "--dtype", "--quantization", "--kv-cache-dtype", "--attention-backend", "--compilation-config",
    "--tensor-parallel-size", "--pipeline-parallel-size", "--data-parallel-size", "--speculative-config",
)  # fmt: skip
EAGER = "--enforce-eager"
MODELLED = (
    SEQUENCES, TOKENS, "--scheduling-policy", "--block-size", "--num-gpu-blocks-override",
    "--gpu-memory-utilization", "--enable-chunked-prefill", "--no-enable-chunked-prefill",
    "--enable-prefix-caching", "--no-enable-prefix-caching", "--async-scheduling", "--no-async-scheduling",
)  # fmt: skip
HARMLESS = (
    "--port", "--host", "--served-model-name", "--enable-mfu-metrics", "--max-model-len", "--api-key",
    "--load-format", "--seed", "--uvicorn-log-level", "--disable-log-requests", "--chat-template",
)  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """The scheduler, and whether equal beginnings of prompts are computed once. `eager`: no CUDA graphs."""

    engine: Engine
    prefix_caching: bool
    eager: bool


def settings_of(
    command: Sequence[str], cpu: bool, memory: float | None, log: str, cache: Mapping[str, Any]
) -> Settings:
    """`cpu`: the CPU backend. `memory`: of the accelerator, bytes. `log`: the server's, its beginning.
    `cache`: labels of vllm:cache_config_info. Raises UsageError for a value that is no number."""
    sequences, tokens = _defaults(cpu, memory)
    logged = CHUNK_LOG.search(log)
    if flag(command, TOKENS) is None and logged:
        tokens = int(logged[1])
    policy = flag(command, "--scheduling-policy") or FCFS
    names = {word.partition("=")[0].replace("_", "-") for word in command}
    lookahead = 0 if cpu or "--no-async-scheduling" in names else 1
    blocks = _whole(command, "--num-gpu-blocks-override", 0) or _int(cache.get("num_gpu_blocks"))
    engine = Engine(
        _whole(command, SEQUENCES, sequences),
        _whole(command, TOKENS, tokens),
        PRIORITY if policy == PRIORITY else FCFS,
        blocks,
        _whole(command, "--block-size", 0) or _int(cache.get("block_size")) or (128 if cpu else 16),
        lookahead,
        "--no-enable-chunked-prefill" not in names,
    )
    return Settings(engine, "--no-enable-prefix-caching" not in names, EAGER in names)


def changed(before: Sequence[str], after: Sequence[str]) -> dict[str, str]:
    """Flags that differ between two commands, and the value after ("" where it went, or has none)."""
    one, other = _flags(before), _flags(after)
    return {name: other.get(name, "") for name in sorted({*one, *other}) if one.get(name) != other.get(name)}


def refuse_unknowable(flags: Mapping[str, str], run: str) -> list[str]:
    """Remarks on flags that the model does not know. Raises UsageError for those of which no run can tell."""
    hopeless = [name for name in flags if name in UNKNOWABLE]
    if hopeless:
        raise UsageError(
            f"{run} cannot say what {hopeless[0]} does: it changes the time of a step, and the run was made "
            "without; a run with it would serve"
        )
    unknown = [name for name in flags if name not in (*MODELLED, *HARMLESS, EAGER)]
    return [f"not modelled, taken to change nothing: {', '.join(unknown)}"] if unknown else []


def _flags(command: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for index, word in enumerate(command):
        if not word.startswith("--"):
            continue
        name, equals, value = word.partition("=")
        following = command[index + 1] if index + 1 < len(command) else "--"
        found[name.replace("_", "-")] = value if equals else "" if following.startswith("--") else following
    return found


def _defaults(cpu: bool, memory: float | None) -> tuple[int, int]:
    """(max_num_seqs, max_num_batched_tokens) of an OpenAI server."""
    if cpu:
        return 128, 2048
    if memory is not None and memory >= 160 * GIB:
        return 1024, 16384
    return (1024, 8192) if memory is not None and memory >= 70 * GIB else (256, 2048)


def _whole(command: Sequence[str], name: str, default: int) -> int:
    text = flag(command, name)
    if text is None:
        return default
    found = _int(text)
    if not found or found < 1:
        raise UsageError(f"{name} must be a whole number from 1 on, is {text!r}")
    return found


def _int(value: object) -> int | None:
    try:
        number = float(str(value))
    except ValueError:
        return None
    return int(number) if math.isfinite(number) else None
