"""One request before the run: whether it is taken, with which fields of vLLM's, and what is counted."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import gevent
from gevent.event import AsyncResult

from common.usage import UsageError
from loadgen.client.client import Client
from loadgen.client.outcome import Reply
from loadgen.protocol.messages import EXTENSIONS
from loadgen.records.record import COMPLETED, EMPTY
from loadgen.workload.request import Request

NAME = "preflight"  # begins its request's id
WITHIN = 60.0  # s for one answer; the first of a server that compiles takes long
TOKENS = 8  # asked for at most
TRIES = len(EXTENSIONS) + 1
LENGTHS = ("max_tokens", "max_completion_tokens", "min_tokens")
MEANS = {
    "continuous_usage_stats": "chunks are taken as one token each, or share the answer's count",
    "ignore_eos": "answers may end before the length that was asked for",
    "cache_salt": "prompts may meet those of an earlier run in the prefix cache",
}

Make = Callable[[Sequence[str]], tuple[str, bytes]]  # extensions: where a request goes, and its body


@dataclass(frozen=True)
class Preflight:
    """extensions: those of EXTENSIONS that requests may have. remarks: what that means for the figures."""

    extensions: list[str]
    remarks: list[str]
    usage: str  # "each chunk", "at the end" or "none"


def preflight(client: Client, make: Make, request: Request | None) -> Preflight:
    """Try with all extensions, then without what is refused. Raises UsageError in the server's words."""
    extensions = list(EXTENSIONS)
    for number in range(TRIES):
        path, body = make(extensions)
        reply = _ask(client, path, shortened(body), number)
        if reply.status in (COMPLETED, EMPTY):
            return _found(reply, extensions)
        if reply.http_status not in (400, 422) or not extensions:
            break
        said = (reply.error or "").replace("stream_options", EXTENSIONS[0])  # what it holds of vLLM's
        named = [each for each in extensions if each in said]
        extensions = [each for each in extensions if each not in named] if named else []
    raise UsageError(_refused(reply, path, request))


def shortened(body: bytes) -> bytes:
    """The body with a few tokens asked for."""
    whole = json.loads(body)
    for name in whole:
        if (name in LENGTHS or name.endswith("max_tokens")) and isinstance(whole[name], int):
            whole[name] = min(whole[name], TOKENS)
    return json.dumps(whole).encode()


def _ask(client: Client, path: str, body: bytes, number: int) -> Reply:
    answer: AsyncResult = AsyncResult()
    client.send(path, body, request_id=f"{NAME}-{number}", timeout=WITHIN, on_end=answer.set)
    with gevent.Timeout(WITHIN + 10):  # the client's own limit comes first
        reply: Reply = answer.get()
    return reply


def _found(reply: Reply, extensions: list[str]) -> Preflight:
    remarks = [f"the server refuses {each}: {MEANS[each]}" for each in EXTENSIONS if each not in extensions]
    usage = "none" if reply.tokens_from != "usage" else "at the end"
    if reply.chunk_tokens is not None:
        usage = "each chunk"
    if usage == "none":
        remarks.append("the server counts no tokens (no usage): each chunk is taken as one token")
    elif usage == "at the end" and "continuous_usage_stats" in extensions and len(reply.chunk_times) > 1:
        remarks.append(f"the server counts tokens only at an answer's end: {MEANS['continuous_usage_stats']}")
    if reply.first_token is None:
        remarks.append("the server's answer held no text")
    return Preflight(extensions, remarks, usage)


def _refused(reply: Reply, path: str, request: Request | None) -> str:
    """What was answered, and the option that cures it."""
    said, status = reply.error or "no answer", reply.http_status
    text = f"the server does not take the load's request: {path}: {said}"
    if status in (401, 403):
        return f"{text}; set OPENAI_API_KEY, or --header 'Name: value'"
    if status in (404, 405):
        return f"{text}; is the path right? --endpoint PATH, --model NAME"
    if status in (400, 422):
        return f"{text}{_cure(said, request)}"
    if status == 200 and "in place of a stream" in said:
        return f"{text}; is the path right? --endpoint PATH"
    return f"{text}; --keep-going starts the run all the same"


def _cure(said: str, request: Request | None) -> str:
    if "max_tokens" in said and not (request and request.max_tokens_field):
        return "; --max-tokens-field max_completion_tokens"
    for name in ("temperature", "top_p"):
        if re.search(rf"\b{name}\b", said):
            return f"; give another --{name.replace('_', '-')}"
    for name in request.extra_body if request else {}:
        if name in said:
            return f"; take {name} out of --extra-body"
    return "; --keep-going starts the run all the same"
