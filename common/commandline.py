"""The command that a server was started by: its flags and their values."""

import math
import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

MAX_NUM_SEQS = "--max-num-seqs"
# Their numbers, multiplied, are the GPUs of a server.
SEVERAL_GPUS = ("--tensor-parallel-size", "--pipeline-parallel-size", "--data-parallel-size")
SHORT = {  # vLLM's own
    "-tp": "--tensor-parallel-size",
    "-pp": "--pipeline-parallel-size",
    "-dp": "--data-parallel-size",
    "-q": "--quantization",
    "-sc": "--speculative-config",
}


def words(server: Mapping[str, Any]) -> list[str]:
    """Of what the launcher wrote into server.json."""
    command = server.get("command")
    if isinstance(command, list):
        return [str(word) for word in command]
    return shlex.split(str(server.get("command_line") or ""))


def flag(command: Sequence[str], name: str) -> str | None:
    """The value of a flag, given as `--name value` or `--name=value`; the last one counts.

    --max_num_seqs and --max-num-seqs are the same flag to vLLM.
    """
    value = None
    for index, word in enumerate(command):
        given, equals, after = word.partition("=")
        given = given.replace("_", "-")
        if SHORT.get(given, given) != name:
            continue
        if equals:
            value = after
        elif index + 1 < len(command):
            value = command[index + 1]
    return value


def batch_limit(command: Sequence[str]) -> int | None:
    """The most sequences at a time; None where the command leaves it to the engine."""
    value = flag(command, MAX_NUM_SEQS)
    return int(value) if value and re.fullmatch(r"\d+", value) else None


def gpus(command: Sequence[str]) -> int:
    """How many GPUs the server takes; a number that cannot be read is for vLLM to refuse, and counts as 1."""
    values = [flag(command, name) or "" for name in SEVERAL_GPUS]
    return math.prod(int(value) if value.isdigit() else 1 for value in values)
