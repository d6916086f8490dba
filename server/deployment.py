"""What is to be launched: variant, target, command, and the server.json that describes it."""

import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from common.places import ROOT, short
from common.strictyaml import bare
from server import llama, model, peaks, shape
from server.command import Command, build
from server.installed import Vllm
from server.targets import CPU_TARGET, Target, read_target, resolve_name
from server.variants import Variant, read_variant


@dataclass(frozen=True)
class Deployment:
    """A variant on a target, by their names, and the port. `fit`: the CPU model's shape for this machine."""

    variant_name: str
    target_name: str
    variant: Variant
    target: Target
    port: int
    fit: shape.Fit | None = None

    @property
    def url(self) -> str:
        """Where the server answers. Raises NotApplicableError as `command` does."""
        return self.command().url

    def fitted(self, python: Path) -> "Deployment":
        """With the CPU model's shape for this machine, whose speed is measured by `python` once."""
        if self.target.model != CPU_TARGET:
            return self
        return replace(self, fit=shape.fit(peaks.pace(self.target, python)))

    def make_model(self) -> None:
        """Build the model, where the project builds it and it is not there. Raises UsageError where it cannot
        be written."""
        if self.target.model == llama.NAME:
            llama.ensure()
        elif self.fit:
            model.ensure(self.fit.layers)

    def command(self) -> Command:
        """The server's command. Raises NotApplicableError when the variant does not fit the target."""
        built = self._built()
        return build(self.target, self.variant, short(built) if built else self.target.model, self.port)

    def _built(self) -> Path | None:
        """The folder of the model where the project builds it."""
        if self.target.model == llama.NAME:
            return llama.folder()
        if self.target.model != CPU_TARGET:
            return None
        known = None if self.fit else peaks.known_pace(self.target)
        fit = self.fit or (shape.fit(known) if known else None)
        return model.folder(fit.layers if fit else shape.STANDARD)

    def describe(self, command: Command, vllm: Vllm) -> dict[str, Any]:
        """server.json, but for what is known only once the server is up."""
        return {
            "variant": self.variant_name,
            "target": self.target_name,
            "command": command.argv,
            "command_line": command.line,
            "environment": command.environment,
            "model": command.served_model,
            "model_config": None,
            "model_shape": self.fit.text if self.fit else None,
            "vllm_version": vllm.version,
            "vllm_distribution": vllm.distribution,
            "hardware": peaks.hardware_of(self.target, vllm.python),
            "started_at": None,
            "ready_after_s": None,
            "host": command.url,
            "changes": self.variant.changes,
            "expected": self.variant.expected,
        }

    def model_config(self) -> dict[str, Any] | None:
        """The model's config.json: ours, a local folder's, or the hub's as the server downloaded it."""
        name = self.command().model  # the target's, or that of a variant with a --model of its own
        return _read(ROOT / name / "config.json") or _read_downloaded(name)


def read_deployment(variant: str, target: str, port: int) -> Deployment:
    """Read both files. Raises UsageError for unknown names and bad files."""
    name = resolve_name(target)
    return Deployment(bare(variant), bare(name), read_variant(variant), read_target(name), port)


def _read(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def _read_downloaded(model_id: str) -> dict[str, Any] | None:
    """config.json in the Hugging Face cache: the revision that refs/main names."""
    home = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
    hub = Path(os.environ.get("HF_HUB_CACHE") or home / "hub") / f"models--{model_id.replace('/', '--')}"
    main = hub / "refs" / "main"
    if not main.is_file():
        return None
    return _read(hub / "snapshots" / main.read_text().strip() / "config.json")
