"""Targets: what a variant runs on. One YAML file each in server/targets/."""

import json
import re
import shlex
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from common.places import ROOT
from common.strictyaml import ReservedError, Strict, find_file, read_model
from common.usage import UsageError
from server.gpu import gpu_name

FOLDER = ROOT / "server" / "targets"
AUTO = "auto"
TLS = (
    "the launcher and the load ask over plain HTTP; for TLS, start the server yourself and name it by --host"
)
RESERVED = {  # flags that no file may set: why
    "--port": "the launcher sets it (PORT= or --port)",
    "--api-key": "keys are kept out of files and records; put it in your environment as VLLM_API_KEY, and "
    "the same in OPENAI_API_KEY for the load",
    "--uds": "the load needs a port of the network",
    "--headless": "the load needs the server's API",
    "--ssl-keyfile": TLS,
    "--ssl-certfile": TLS,
    "--hf-token": "tokens are kept out of files and records; put HF_TOKEN in your environment",
}
SECRET = re.compile(  # at the end of a name
    r"(?:(?:^|_)(?:KEYS?|TOK|PWD)|APIKEYS?|TOKEN|SECRETS?|PASSWORDS?|PASSWD|PASSPHRASE|CREDENTIALS?)$",
    re.IGNORECASE,
)
JSON_FLAG = re.compile(r"(--?[A-Za-z][\w.-]*)(?:(=)|\s+)([{\[].*)", re.DOTALL)
CPU_TARGET = "cpu-tiny"


def one_flag(text: str) -> str:
    """Check that `text` is one flag, with its value if it takes one: "--max-num-seqs 8"."""
    if "\0" in text:
        raise ValueError("holds a NUL, which no command line can")
    words = split(text)
    if not words or not re.fullmatch(r"--?[A-Za-z][\w.-]*(=.*)?", words[0]):
        raise ValueError("must be one flag with its value, like '--max-num-seqs 8'")
    if any(re.match(r"--[A-Za-z]", word) for word in words[1:]):
        raise ValueError("holds more than one flag; give each a line of its own")
    name = flag_name(words[0])
    if name in RESERVED:
        raise ReservedError(f"{name} has no place here: {RESERVED[name]}")
    return text


def split(flag: str) -> list[str]:
    """A flag's words, as a shell would split them; but JSON is one word and keeps its quotes.

    Raises ValueError for what cannot be split.
    """
    found = JSON_FLAG.fullmatch(flag.strip())
    if not found:
        return shlex.split(flag)
    name, equals, value = found.groups()
    try:
        json.loads(value)
    except json.JSONDecodeError as error:
        raise ValueError(f"its value begins like JSON and is none: {error.msg}") from None
    return [f"{name}={value}"] if equals else [name, value]


def flag_name(word: str) -> str:
    """--max_num_seqs=8 and --max-num-seqs are the same flag to vLLM."""
    return word.partition("=")[0].replace("_", "-")


def settable(settings: dict[str, str]) -> dict[str, str]:
    """Check the names and values; no name may be a secret's, since all that a file sets is recorded."""
    for name, value in settings.items():
        if not name or "=" in name or "\0" in name + value:
            raise ValueError(f"{name!r} and its value cannot be set: no name, or a '=' or a NUL in it")
        if SECRET.search(name):
            raise ValueError(
                f"{name} looks like a secret, which would be recorded; set it in your environment"
            )
    return settings


Flag = Annotated[str, AfterValidator(one_flag)]
Environment = Annotated[dict[str, str], AfterValidator(settable)]


class Target(Strict):
    """One target file."""

    purpose: str
    kind: Literal["cpu", "gpu"]
    model: str = Field(min_length=1)  # what --model gets: a hub id or a path; cpu-tiny: we build it
    flags: list[Flag]  # of every variant's command, between --model and --port
    environment: Environment = {}
    hardware: str  # a name in hardware.yaml; "measure" (CPU) or "detect" (GPU, by nvidia-smi)
    dtype: Literal["float32", "float16", "bfloat16"]  # what the server computes in; for the CPU's peak
    start_within_s: float = Field(gt=0)  # a server that is not healthy by then is stopped
    suits: re.Pattern[str] | None = None  # GPU names that TARGET=auto runs on this target
    auto_order: int = 100  # of those that suit, the lowest is taken


def names() -> list[str]:
    """The targets there are."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def resolve_name(name: str) -> str:
    """Turn "auto" into a target's name: cpu-tiny without an NVIDIA GPU, else the best that suits it."""
    if name != AUTO:
        return name
    gpu = gpu_name()
    return CPU_TARGET if gpu is None else target_for(gpu)


def target_for(gpu: str) -> str:
    """The target for a GPU of this name. Raises UsageError when none suits."""
    suited = []
    for name in names():
        target = read_target(name)
        if target.suits and re.search(target.suits, gpu):
            suited.append((target.auto_order, name))
    if not suited:
        raise UsageError(f"no target suits the GPU {gpu!r}; choose one of {', '.join(names())} by TARGET=")
    return min(suited)[1]


def read_target(name: str) -> Target:
    """Read a target by its name, or by the path of a YAML file of your own."""
    return read_model(find_file(FOLDER, name, "target"), Target)
