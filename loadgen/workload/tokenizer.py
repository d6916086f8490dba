"""The served model's tokenizer from local files, for servers without `/tokenize`."""

import json
from pathlib import Path
from typing import Any

from jinja2 import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import Tokenizer

from common.usage import UsageError
from loadgen.workload.vocabulary import Messages, Vocabulary, build_vocabulary


class LocalTokenizer:
    """Counts tokens as the server would. `folder` holds tokenizer.json and, for chat, a chat template in
    tokenizer_config.json or chat_template.jinja. Raises UsageError when they cannot be read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        except Exception as error:  # the library raises bare Exception for a missing or broken file
            raise UsageError(f"{folder / 'tokenizer.json'}: cannot be read: {error}") from None
        self._special, source = self._config()
        environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
        environment.globals["raise_exception"] = _refuse
        self._template = environment.from_string(source) if source else None

    def vocabulary(self) -> Vocabulary:
        """Its words, for prompts of exact length."""
        return build_vocabulary(self.count_tokens, self.tokenize_words, self.has_chat_template)

    @property
    def has_chat_template(self) -> bool:
        return self._template is not None

    def count_tokens(self, prompt: str | Messages) -> int:
        """Tokens of a plain prompt, its special tokens included, or of chat messages in their template."""
        if isinstance(prompt, str):
            return len(self._tokenizer.encode(prompt).ids)
        if self._template is None:
            raise UsageError(f"{self.folder}: has no chat template")
        text = self._template.render(messages=prompt, add_generation_prompt=True, **self._special)
        return len(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def tokenize_words(self, text: str) -> list[str]:
        """The tokens of a plain prompt as strings."""
        return list(self._tokenizer.encode(text).tokens)

    def _config(self) -> tuple[dict[str, str], str | None]:
        """The special tokens that templates name, and the template."""
        path = self.folder / "tokenizer_config.json"
        try:
            config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        except ValueError as error:
            raise UsageError(f"{path}: not valid JSON: {error}") from None
        special = {}
        for name in ("bos_token", "eos_token", "unk_token", "pad_token"):
            value = config.get(name)
            value = value.get("content") if isinstance(value, dict) else value
            if value is not None:
                special[name] = value
        beside = self.folder / "chat_template.jinja"
        source = beside.read_text(encoding="utf-8") if beside.is_file() else config.get("chat_template")
        if isinstance(source, list):  # several by name
            source = next((each["template"] for each in source if each.get("name") == "default"), None)
        return special, source


def _refuse(message: str) -> None:
    """What templates call for messages that they do not take."""
    raise TemplateError(message)
