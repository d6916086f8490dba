"""What a kind of API is: where its requests go, what they hold, and how an answer reads."""

from collections.abc import Sequence
from typing import Any, ClassVar, Protocol

from common.registry import Registry
from common.usage import UsageError
from loadgen.client.chat_chunks import Reading
from loadgen.workload.arrival import Arrival
from loadgen.workload.prompts import PromptMaker
from loadgen.workload.scenario import Scenario
from loadgen.workload.vocabulary import Messages

EXTENSIONS = ("include_usage", "continuous_usage_stats", "ignore_eos", "cache_salt")
"""Fields that not every server takes; all but the first are vLLM's own."""


class Kind:
    """One kind; a subclass says what is its own. It has no state."""

    path: ClassVar[str]
    reading: ClassVar[type[Reading]] = Reading
    extensions: ClassVar[tuple[str, ...]] = ()  # of EXTENSIONS, those that its requests may have
    length_field: ClassVar[str | None] = "max_tokens"  # None: answers hold no tokens
    turns: ClassVar[bool] = False  # whether a request may hold the turns before
    pictures: ClassVar[bool] = False  # whether a request may hold images
    text_type: ClassVar[str] = "text"  # of a part of a message that is text, beside images
    exact: ClassVar[bool] = True  # whether a prompt has as many tokens as was asked for
    documents: ClassVar[bool] = False  # whether a request holds several

    def frame(self, extensions: Sequence[str], salt: str) -> dict[str, Any]:
        """The fields that do not depend on the prompt. The salt keeps this run's prompts from meeting an
        earlier run's in the prefix cache."""
        taken = [name for name in self.extensions if name in extensions]
        usage = {name: True for name in taken if "usage" in name}
        known = {"ignore_eos": True, "cache_salt": salt}
        whole: dict[str, Any] = {} if self.reading.whole else {"stream": True}
        whole |= {"stream_options": usage} if usage else {}
        return whole | {name: known[name] for name in known if name in taken}

    def body(
        self, prompts: PromptMaker, arrival: Arrival, history: Messages, scenario: Scenario
    ) -> dict[str, Any]:
        """What is asked: the prompt, and how long the answer may be. `history`: the turns before."""
        raise NotImplementedError

    def picture(self, url: str) -> dict[str, Any]:
        """The part of a message that is an image; of kinds with `pictures`."""
        raise NotImplementedError

    def illustrate(
        self, messages: list[dict[str, Any]], prompts: PromptMaker, arrival: Arrival, scenario: Scenario
    ) -> None:
        """Put the arrival's images before the text of the last message."""
        if arrival.images:
            text = {"type": self.text_type, "text": messages[-1]["content"]}
            shown = map(self.picture, prompts.images(arrival, scenario))
            messages[-1] = {**messages[-1], "content": [*shown, text]}


KINDS: Registry[type[Kind]] = Registry("kind of API")


class Client(Protocol):
    """What a user class says of its requests."""

    api: str
    makes_body: bool  # whether it does so itself, not by the kind


def path_of(client: Any, api: str | None, endpoint: str | None) -> str:
    """Where the requests of a user class go, by what a scenario may name."""
    name = api or str(getattr(client, "api", "chat"))
    return endpoint or getattr(client, "path", None) or KINDS[name].path


def choose(client: Client, scenario: Scenario) -> Kind:
    """The kind by scenario or user class. Raises UsageError for what would be without effect."""
    request = scenario.request
    name = request.api if request and request.api else client.api
    kind, who = KINDS[name](), type(client).__name__
    if client.makes_body and name != client.api:
        raise UsageError(f"{who} makes its own requests, for {client.api}: {name} takes another locustfile")
    if client.makes_body and scenario.images:
        raise UsageError(f"{who} makes its own requests: images of a scenario have no effect on them")
    wanted = {
        "conversation": (scenario.conversation is not None, kind.turns or client.makes_body),
        "images": (scenario.images is not None, kind.pictures),
    }
    if request is not None:
        limits = request.temperature, request.top_p, request.max_tokens_field
        sampled = not request.ignore_eos or any(each is not None for each in limits)
        wanted["temperature, top_p, ignore_eos or max_tokens_field"] = sampled, kind.length_field is not None
        wanted["documents"] = request.documents is not None, kind.documents
    for what, (given, taken) in wanted.items():
        if given and not taken:
            able = ", ".join(each for each in KINDS if _takes(KINDS[each], what))
            raise UsageError(f"{name} has no {what}; these have: {able}")
    return kind


def _takes(kind: type[Kind], what: str) -> bool:
    marks = {"conversation": kind.turns, "images": kind.pictures, "documents": kind.documents}
    return marks.get(what, kind.length_field is not None)
