"""Whether a running server has what its variant asked for: by its log of arguments, and by its processes."""

import ast
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from server.targets import flag_name, split
from server.variants import Variant

State = Literal["in force", "not in force", "not known"]
ARGUMENTS = re.compile(r"non-default args: (\{.*\})")  # vLLM's own line, once it has parsed its command
API_SERVERS, RUST = "--api-server-count", "VLLM_USE_RUST_FRONTEND"
API_SERVER, RUST_PROGRAM = "APIServer", "vllm-rs"  # how their processes are called


@dataclass(frozen=True)
class Finding:
    """One thing that was asked for, whether the server has it, and what says so."""

    asked: str
    state: State
    evidence: str

    def as_dict(self) -> dict[str, str]:
        return asdict(self)


def look(variant: Variant, lines: Sequence[str], processes: Sequence[str]) -> list[Finding]:
    """`lines`: the server's log. `processes`: what those of the server call themselves."""
    given = _arguments(lines)
    found = [_added(split(flag), given, processes) for flag in variant.add]
    found += [_removed(flag_name(flag), given) for flag in variant.remove]
    if variant.environment.get(RUST, "0") not in ("0", ""):
        there = any(RUST_PROGRAM in name for name in processes)
        evidence = f"{'a' if there else 'no'} process {RUST_PROGRAM} runs"
        found.append(Finding(f"{RUST}=1", "in force" if there else "not in force", evidence))
    return found


def _arguments(lines: Sequence[str]) -> dict[str, Any] | None:
    """What the server says of its arguments that are no defaults; None where it does not, plainly."""
    for line in reversed(lines):
        if match := ARGUMENTS.search(line):
            try:
                said = ast.literal_eval(match[1])
            except (ValueError, SyntaxError, RecursionError, MemoryError):
                return None
            return said if isinstance(said, dict) else None
    return None


def _added(words: Sequence[str], given: dict[str, Any] | None, processes: Sequence[str]) -> Finding:
    name, value = flag_name(words[0]), " ".join(words[1:]) or words[0].partition("=")[2]
    asked = f"{name} {value}".strip()
    if name == API_SERVERS and value.isdigit() and int(value) > 1:
        running = sum(API_SERVER in each for each in processes)
        state: State = "in force" if running >= int(value) else "not in force"
        return Finding(
            asked, state, f"{running or 'no'} processes {API_SERVER}_… run; `vllm serve` starts them"
        )
    if given is None:
        return Finding(asked, "not known", "the server's log does not list its arguments")
    negated = name.startswith("--no-")
    key = name.removeprefix("--no-" if negated else "--").replace("-", "_")
    if key not in given:
        return Finding(asked, "not known", f"its log lists no {key} among what is not default")
    return Finding(asked, _same(value, given[key], negated), f"its log says {key} = {str(given[key])[:100]}")


def _removed(name: str, given: dict[str, Any] | None) -> Finding:
    asked, key = f"no {name}", name.removeprefix("--").replace("-", "_")
    if given is None:
        return Finding(asked, "not known", "the server's log does not list its arguments")
    if given.get(key) is True:
        return Finding(asked, "not in force", f"its log says {key} = True")
    return Finding(asked, "in force", f"its log lists no {key} among what is not default")


def _same(text: str, value: Any, negated: bool) -> State:
    """Numbers and switches are compared; what has names of many spellings is not called different."""
    if isinstance(value, bool):
        wanted = not negated if not text else text.lower() == "true"
        return "in force" if value is wanted else "not in force"
    if isinstance(value, int | float):
        try:
            return "in force" if float(text) == value else "not in force"
        except ValueError:  # 2k, auto
            return "not known"
    return "in force" if str(value).casefold() == text.casefold() else "not known"
