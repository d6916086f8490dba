"""The server's command line: target and variant, without I/O."""

import shlex
from dataclasses import dataclass

from common import commandline
from common.results import REFUSED
from common.usage import UsageError
from server import variants
from server.targets import Target, flag_name
from server.variants import Variant

# The first experiment's command, and `vllm serve`, which alone acts on these flags and settings: the former
# takes them without a word (vLLM 0.26 and 0.32, vllm/entrypoints/cli/serve.py).
API_SERVER = ("-m", "vllm.entrypoints.openai.api_server")
SERVE = ("-m", "vllm.entrypoints.cli.main", "serve")
OF_SERVE = {"--api-server-count", "-asc", "VLLM_USE_RUST_FRONTEND"}
DEFAULT_PORT = 8000
EVERYWHERE = ("", "0.0.0.0", "::", "localhost")  # values of --host with which it listens on 127.0.0.1, too


class NotApplicableError(UsageError):
    """A variant that cannot be served on this target; the text says why. Reports show it as N/A."""

    def __init__(self, reason: str, kind: str = REFUSED) -> None:
        super().__init__(reason)
        self.kind = kind  # REFUSED or START_FAILED


@dataclass(frozen=True)
class Command:
    """argv (argv[0] is "python": the server environment's), and the environment that is set on top."""

    argv: list[str]
    environment: dict[str, str]

    @property
    def line(self) -> str:
        """The command as one would type it, without the environment."""
        return shlex.join(self.argv)

    @property
    def line_with_environment(self) -> str:
        """The command as one would type it into a shell."""
        settings = [f"{name}={shlex.quote(value)}" for name, value in self.environment.items()]
        return " ".join([*settings, self.line])

    @property
    def model(self) -> str:
        """What is served: a hub id or a folder."""
        return self._value("--model") or ""

    @property
    def served_model(self) -> str:
        """The model's name in requests."""
        return self._value("--served-model-name") or self.model

    @property
    def url(self) -> str:
        """Where the server answers, as seen from this machine."""
        host = self._value("--host") or ""
        if host in EVERYWHERE:
            host = "127.0.0.1"
        return f"http://{f'[{host}]' if ':' in host else host}:{self._value('--port')}"

    @property
    def gpus(self) -> int:
        """How many GPUs it takes."""
        return commandline.gpus(self.argv)

    def _value(self, name: str) -> str | None:
        return commandline.flag(self.argv, name)

    @property
    def flags(self) -> list[str]:
        """The names of its flags."""
        return [flag_name(word) for word in self.argv if word.startswith("--")]


def build(target: Target, variant: Variant, model: str, port: int = DEFAULT_PORT) -> Command:
    """The command that serves `variant` on `target`. `model` is what --model gets.

    Raises NotApplicableError when the variant does not fit the target.
    """
    base = [f"--model {shlex.quote(model)}", *target.flags, f"--port {port}"]
    try:
        flags = variants.apply(base, variant)
    except ValueError as error:
        raise NotApplicableError(f"the variant does not fit this target: {error}") from None
    environment = {**target.environment, **variant.environment}
    asked = {*(flag_name(words[0]) for words in flags), *environment}
    program = API_SERVER if asked.isdisjoint(OF_SERVE) else SERVE
    return Command(["python", *program, *(word for words in flags for word in words)], environment)
