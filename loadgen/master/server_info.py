"""What the server under test says about itself, asked once before a run."""

import math
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeGuard

import requests
from requests.utils import get_environ_proxies, select_proxy

from common.usage import UsageError
from loadgen.client.errors import server_words, tidy
from loadgen.client.transport import joined
from loadgen.master import gateway
from loadgen.master.fetch import Fetched, Fetcher, NotFetchedError
from loadgen.workload.tokenizer import LocalTokenizer
from loadgen.workload.vocabulary import Messages, Vocabulary, build_vocabulary, estimate_vocabulary

VOCABULARY_WITHIN = 60.0  # s for all questions to /tokenize together; vLLM takes 1
METRICS_LARGEST = 16 * 2**20  # bytes of one /metrics; vLLM's have 100 KB
LONGEST_NAME = 256  # characters of a model's name or a version
NAMED = 10  # models that a message lists


class NoTokensError(UsageError):
    """What /tokenize answered is nothing that tokens can be counted by."""


@dataclass(frozen=True)
class Served:
    """The model that requests are for. `vllm_version` is None where the server is not vLLM; `unlisted` says
    what it lists in place of this model, where it does. `between`: what names itself as a gateway."""

    model: str
    vllm_version: str | None
    max_model_len: int | None
    unlisted: str = ""
    between: str | None = None
    listed: tuple[str, ...] = ()  # all that it serves, adapters among them


class Server:
    """A server's side doors: models, version, tokens, metrics. No proxy is used."""

    def __init__(
        self, url: str, headers: dict[str, str], verify: bool | str, metrics_hosts: Sequence[str] = ()
    ) -> None:
        """metrics_hosts: where /metrics of each engine is, if elsewhere; no header goes there."""
        self.url = url.rstrip("/")
        self._fetcher, self._has_key = Fetcher(headers, verify), bool(headers)
        self.metrics_at = [joined(each, "/metrics") for each in metrics_hosts or (self.url,)]
        self._metrics_fetcher = Fetcher({}, verify) if metrics_hosts else self._fetcher
        self._tokens_until = math.inf
        self.metrics_age: float | None = None  # s for which the last /metrics had lain in a cache

    def describe(self, wanted: str | None) -> Served:
        """Which model is served. Raises UsageError for a host that does not answer, or lacks the model."""
        answer = self._get("/v1/models")
        return replace(self._describe(answer, wanted), between=gateway.named(answer.headers))

    def _describe(self, answer: Fetched, wanted: str | None) -> Served:
        if wanted is not None and not _lists_models(answer):
            return Served(wanted, self._version(), None)
        if answer.status in (401, 403):
            had = "refuses our key" if self._has_key else "wants a key"
            said = tidy(server_words(answer.text.encode()), "")
            how = (
                "set OPENAI_API_KEY, or --header 'Name: value'; both go only to the host of the command line"
            )
            raise UsageError(f"{self.url}: {had} ({answer.status}{said and f': {said}'}); {how}")
        try:
            models = answer.json()["data"]
            names = [str(model["id"]) for model in models]
        except (ValueError, KeyError, TypeError):
            raise UsageError(
                f"{self.url}/v1/models: answers {answer.status}, not a list of models; "
                "is it an OpenAI-compatible server?"
            ) from None
        if wanted is None and len(names) != 1:
            raise UsageError(f"{self.url}: serves {_listed(names)}; choose one with --model")
        if wanted is not None and wanted not in names:  # a router may know it all the same
            return Served(
                wanted,
                self._version(),
                None,
                f"the server lists no model {wanted!r}; it serves {_listed(names)}",
            )
        model = wanted or names[0]
        if not model or len(model) > LONGEST_NAME or not model.isprintable():
            raise UsageError(f"{self.url}/v1/models: {ascii(model)[:60]} is no model's name")
        limit = models[names.index(model)].get("max_model_len")
        known = limit if is_count(limit) and limit else None
        return Served(model, self._version(), known, listed=tuple(names))

    def metrics(self, place: int = 0) -> tuple[str, bool] | None:
        """The text of /metrics at one of `metrics_at`, and whether it was cut; None: there is none."""
        try:
            answer = self._metrics_fetcher.get(self.metrics_at[place], METRICS_LARGEST, may_cut=True)
        except (requests.RequestException, NotFetchedError):
            return None
        self.metrics_age = gateway.age(answer.headers)
        return (answer.text, answer.cut) if answer.status == 200 else None

    def vocabulary(self, model: str, tokenizer: Path | None) -> Vocabulary:
        """The served tokenizer's words: from a local file, the server's /tokenize, or an estimate."""
        if tokenizer is not None:
            return LocalTokenizer(tokenizer).vocabulary()
        self._tokens_until = time.monotonic() + VOCABULARY_WITHIN
        if self._tokenize(model, "Please").status != 200:
            return estimate_vocabulary()
        chat = self._tokenize(model, [{"role": "user", "content": "Please"}]).status == 200
        try:
            strings = self._words(model, "Please")
            self._count(model, "Please")
        except NoTokensError:  # 200 and a page, behind some gateways
            return estimate_vocabulary()
        return build_vocabulary(
            lambda prompt: self._count(model, prompt),
            (lambda text: self._words(model, text) or []) if strings else None,
            chat,
        )

    def _count(self, model: str, prompt: str | Messages) -> int:
        count = self._tokens(model, prompt).get("count")
        if not is_count(count):
            raise NoTokensError(f"{self.url}/tokenize: its count is no number of tokens; --tokenizer DIR")
        return count

    def _words(self, model: str, text: str) -> list[str] | None:
        """The tokens as strings; None where the server does not say them."""
        strings = self._tokens(model, text, strings=True).get("token_strs")
        if strings is None:
            return None
        if not isinstance(strings, list) or not all(isinstance(each, str) for each in strings):
            raise NoTokensError(f"{self.url}/tokenize: its token_strs are no strings; --tokenizer DIR")
        return strings

    def _tokens(self, model: str, prompt: str | Messages, strings: bool = False) -> dict[str, Any]:
        answer = self._tokenize(model, prompt, strings)
        if answer.status != 200:
            raise UsageError(f"{self.url}/tokenize: answers {answer.status}: {answer.text[:200]}")
        try:
            found = answer.json()
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise NoTokensError(f"{self.url}/tokenize: does not answer with tokens; --tokenizer DIR")
        return found

    def _tokenize(self, model: str, prompt: str | Messages, strings: bool = False) -> Fetched:
        if time.monotonic() > self._tokens_until:
            raise UsageError(
                f"{self.url}/tokenize: its answers took {VOCABULARY_WITHIN:g} s together; --tokenizer DIR"
            )
        body: dict[str, Any] = {"model": model}
        body |= {"prompt": prompt} if isinstance(prompt, str) else {"messages": prompt}
        if strings:
            body["return_token_strs"] = True
        try:
            return self._fetcher.post(joined(self.url, "/tokenize"), body)
        except (requests.RequestException, NotFetchedError) as error:
            raise UsageError(f"{self.url}/tokenize: {_short(error)}") from None

    def _version(self) -> str | None:
        answer = self._get("/version")
        try:
            return str(answer.json()["version"])[:LONGEST_NAME] if answer.status == 200 else None
        except (ValueError, KeyError, TypeError):
            return None

    def _get(self, path: str) -> Fetched:
        try:
            return self._fetcher.get(joined(self.url, path))
        except NotFetchedError as error:
            raise UsageError(f"{self.url}{path}: {error}") from None
        except requests.RequestException as error:
            proxy = " (the environment's proxy is not used)" if names_proxy(self.url) else ""
            up = "" if isinstance(error, requests.exceptions.SSLError) else "; is the server up?"
            raise UsageError(f"{self.url}: does not answer ({_short(error)}){up}{proxy}") from None


def _lists_models(answer: Fetched) -> bool:
    """Whether it names any; many a gateway does not, and some servers list none of those that they serve."""
    if answer.status in (401, 403):
        return True  # refused, which is to be said
    try:
        found = answer.json()
        return bool(found["data"]) if answer.status == 200 else False
    except (ValueError, KeyError, TypeError):
        return False


def is_count(value: Any) -> TypeGuard[int]:
    """Whether it is a number of tokens that files have room for."""
    return type(value) is int and 0 <= value < 2**31


def _listed(names: list[str]) -> str:
    """The first few; of 10,000 nobody reads the rest."""
    shown = ", ".join(name[:LONGEST_NAME] for name in names[:NAMED]) or "no model"
    return f"{shown} and {len(names) - NAMED:,} more" if len(names) > NAMED else shown


def names_proxy(url: str) -> bool:
    """Whether the environment (HTTP_PROXY, …) has a proxy for it. We use none: it would be measured."""
    return select_proxy(url, get_environ_proxies(url, no_proxy=None)) is not None


def _short(error: Exception) -> str:
    """The cause without the layers around it."""
    if isinstance(error, requests.exceptions.SSLError):
        if "WRONG_VERSION_NUMBER" in str(error):
            return "it speaks no TLS there; http:// in place of https://?"
        if found := re.search(r"certificate verify failed: ([^(]*[^( ])", str(error)):
            return f"its certificate is not trusted: {found[1]}; --ca-file FILE, or --insecure"
        return f"TLS: {error}".split("(Caused by ")[-1].rstrip(")")[:200]
    text = str(error)
    for known in ("Connection refused", "Name or service not known", "No route to host", "Connection reset"):
        if known in text:
            return known.lower()
    return text[:200]
