"""What the server under test says about itself, asked once before a run."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from requests.utils import get_environ_proxies, select_proxy

from common.usage import UsageError
from loadgen.workload.tokenizer import LocalTokenizer
from loadgen.workload.vocabulary import Messages, Vocabulary, build_vocabulary, estimate_vocabulary

PATIENCE = 10.0  # seconds for one answer


@dataclass(frozen=True)
class Served:
    """The model that requests are for. `vllm_version` is None where the server is not vLLM."""

    model: str
    vllm_version: str | None
    max_model_len: int | None


class Server:
    """A server's side doors: models, version, tokens, metrics. No proxy is used."""

    def __init__(self, url: str, headers: dict[str, str], verify: bool | str) -> None:
        self.url = url.rstrip("/")
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.headers.update(headers)
        self._session.verify = verify

    def describe(self, wanted: str | None) -> Served:
        """Which model is served. Raises UsageError for a host that does not answer, or lacks the model."""
        answer = self._get("/v1/models")
        if answer.status_code in (401, 403):
            had = "refuses our key" if "Authorization" in self._session.headers else "wants a key"
            how = "set OPENAI_API_KEY; it is sent only to the host of the command line"
            raise UsageError(f"{self.url}: {had} ({answer.status_code}); {how}")
        try:
            models = answer.json()["data"]
            names = [str(model["id"]) for model in models]
        except (ValueError, KeyError, TypeError):
            raise UsageError(
                f"{self.url}/v1/models: answers {answer.status_code}, not a list of models; "
                "is it an OpenAI-compatible server?"
            ) from None
        if wanted is None and len(names) != 1:
            raise UsageError(f"{self.url}: serves {', '.join(names) or 'no model'}; choose one with --model")
        if wanted is not None and wanted not in names:
            raise UsageError(f"{self.url}: has no model {wanted!r}; it serves {', '.join(names)}")
        model = wanted or names[0]
        limit = models[names.index(model)].get("max_model_len")
        return Served(model, self._version(), int(limit) if limit else None)

    def metrics(self) -> str | None:
        """The text of /metrics; None where there is none."""
        try:
            answer = self._session.get(f"{self.url}/metrics", timeout=PATIENCE)
        except requests.RequestException:
            return None
        return answer.text if answer.status_code == 200 else None

    def vocabulary(self, model: str, tokenizer: Path | None) -> Vocabulary:
        """The served tokenizer's words: from a local file, the server's /tokenize, or an estimate."""
        if tokenizer is not None:
            local = LocalTokenizer(tokenizer)
            return build_vocabulary(local.count_tokens, local.tokenize_words, local.has_chat_template)
        if self._tokenize(model, "Please").status_code != 200:
            return estimate_vocabulary()
        chat = self._tokenize(model, [{"role": "user", "content": "Please"}]).status_code == 200
        try:
            strings = self._tokenize(model, "Please", strings=True).json().get("token_strs")
            self._tokens(model, "Please")["count"]
        except (ValueError, AttributeError, LookupError, TypeError):  # 200 and a page, behind some gateways
            return estimate_vocabulary()
        return build_vocabulary(
            lambda prompt: int(self._tokens(model, prompt)["count"]),
            (lambda text: list(self._tokens(model, text, strings=True)["token_strs"])) if strings else None,
            chat,
        )

    def _tokens(self, model: str, prompt: str | Messages, strings: bool = False) -> dict[str, Any]:
        answer = self._tokenize(model, prompt, strings)
        if answer.status_code != 200:
            raise UsageError(f"{self.url}/tokenize: answers {answer.status_code}: {answer.text[:200]}")
        found: dict[str, Any] = answer.json()
        return found

    def _tokenize(self, model: str, prompt: str | Messages, strings: bool = False) -> requests.Response:
        body: dict[str, Any] = {"model": model}
        body |= {"prompt": prompt} if isinstance(prompt, str) else {"messages": prompt}
        if strings:
            body["return_token_strs"] = True
        try:
            return self._session.post(f"{self.url}/tokenize", json=body, timeout=PATIENCE)
        except requests.RequestException as error:
            raise UsageError(f"{self.url}/tokenize: {_short(error)}") from None

    def _version(self) -> str | None:
        answer = self._get("/version")
        try:
            return str(answer.json()["version"]) if answer.status_code == 200 else None
        except (ValueError, KeyError, TypeError):
            return None

    def _get(self, path: str) -> requests.Response:
        try:
            return self._session.get(f"{self.url}{path}", timeout=PATIENCE)
        except requests.RequestException as error:
            proxy = " (the environment's proxy is not used)" if names_proxy(self.url) else ""
            up = "" if isinstance(error, requests.exceptions.SSLError) else "; is the server up?"
            raise UsageError(f"{self.url}: does not answer ({_short(error)}){up}{proxy}") from None


def names_proxy(url: str) -> bool:
    """Whether the environment (HTTP_PROXY, …) has a proxy for it. We use none: it would be measured."""
    return select_proxy(url, get_environ_proxies(url, no_proxy=None)) is not None


def _short(error: requests.RequestException) -> str:
    """The cause without the layers around it."""
    if isinstance(error, requests.exceptions.SSLError):
        if "WRONG_VERSION_NUMBER" in str(error):
            return "it speaks no TLS there; http:// in place of https://?"
        if found := re.search(r"certificate verify failed: ([^(]*[^( ])", str(error)):
            return f"its certificate is not trusted: {found[1]}; --ca-file FILE, or --insecure"
        return f"TLS: {error}".split("(Caused by ")[-1].rstrip(")")[:200]
    if isinstance(error, requests.Timeout):
        return f"no answer within {PATIENCE:g} s"
    text = str(error)
    for known in ("Connection refused", "Name or service not known", "No route to host", "Connection reset"):
        if known in text:
            return known.lower()
    return text[:200]
