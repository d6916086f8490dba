"""One request before the run: whether it is taken, with which fields of vLLM's, and what is counted."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import gevent
from gevent.event import AsyncResult

from common.usage import UsageError
from loadgen.api.kind import EXTENSIONS, Kind
from loadgen.client.client import Client
from loadgen.client.outcome import Reply
from loadgen.records.record import COMPLETED, EMPTY
from loadgen.workload.request import Request

NAME = "preflight"  # begins its request's id
WITHIN = 60.0  # s for one answer; the first of a server that compiles takes long
TOKENS = 8  # asked for at most
TRIES = len(EXTENSIONS) + 1
LENGTHS = ("max_tokens", "max_completion_tokens", "max_output_tokens", "min_tokens")
MEANS = {
    "include_usage": "each chunk is taken as one token",
    "continuous_usage_stats": "chunks are taken as one token each, or share the answer's count",
    "ignore_eos": "answers may end before the length that was asked for",
    "cache_salt": "prompts may meet those of an earlier run in the prefix cache",
}

Make = Callable[[Sequence[str]], tuple[Kind, str, bytes]]  # extensions: kind, where it goes, and its body


@dataclass(frozen=True)
class Preflight:
    """extensions: those of EXTENSIONS that requests may have. remarks: what that means for the figures."""

    extensions: list[str]
    remarks: list[str]
    usage: str  # "each chunk", "at the end", "none", or "whole": answers come whole


def preflight(client: Client, make: Make, request: Request | None) -> Preflight:
    """Try with all extensions, then without what is refused. Raises UsageError in the server's words."""
    extensions = list(EXTENSIONS)
    for number in range(TRIES):
        kind, path, body = make(extensions)
        extensions = [each for each in extensions if each in kind.extensions]
        reply = _ask(client, path, shortened(body), number, kind)
        if reply.status in (COMPLETED, EMPTY):
            return _found(reply, extensions, kind)
        if reply.http_status not in (400, 422) or not extensions:
            break
        usage = [each for each in EXTENSIONS[1::-1] if each in extensions]  # vLLM's own goes first
        said = (reply.error or "").replace("stream_options", usage[0] if usage else "")
        named = [each for each in extensions if each in said]
        extensions = _without(extensions, named)
    raise UsageError(_refused(reply, path, request))


def _without(extensions: list[str], refused: list[str]) -> list[str]:
    """What is left to be tried; where nothing is named, the one that is OpenAI's own, and then nothing."""
    usage = EXTENSIONS[0]
    if not refused:
        return [usage] if usage in extensions and len(extensions) > 1 else []
    left = [each for each in extensions if each not in refused]
    return left if usage in left else [each for each in left if each != EXTENSIONS[1]]  # is a part of it


def shortened(body: bytes) -> bytes:
    """The body with a few tokens asked for."""
    whole = json.loads(body)
    for name in whole:
        if (name in LENGTHS or name.endswith("max_tokens")) and isinstance(whole[name], int):
            whole[name] = min(whole[name], TOKENS)
    return json.dumps(whole).encode()


def _ask(client: Client, path: str, body: bytes, number: int, kind: Kind) -> Reply:
    answer: AsyncResult = AsyncResult()
    client.send(
        path,
        body,
        request_id=f"{NAME}-{number}",
        timeout=WITHIN,
        on_end=answer.set,
        reading=kind.reading,
    )
    with gevent.Timeout(WITHIN + 10):  # the client's own limit comes first
        reply: Reply = answer.get()
    return reply


def _found(reply: Reply, extensions: list[str], kind: Kind) -> Preflight:
    refused = [each for each in kind.extensions if each not in extensions]
    if "include_usage" in refused:  # the other is a part of it
        refused = [each for each in refused if each != "continuous_usage_stats"]
    remarks = [f"the server refuses {each}: {MEANS[each]}" for each in refused]
    if kind.length_field is None:
        remarks.append(f"answers of {kind.path} come whole: output_tokens and a bound on TPOT have no effect")
        return Preflight(extensions, remarks, "whole")
    if "ignore_eos" not in kind.extensions:
        remarks.append(f"{kind.path} has no ignore_eos: {MEANS['ignore_eos']}")
    usage = "none" if reply.tokens_from != "usage" else "at the end"
    if reply.chunk_tokens is not None:
        usage = "each chunk"
    if usage == "none" and "include_usage" not in refused:
        remarks.append("the server counts no tokens (no usage): each chunk is taken as one token")
    elif usage == "at the end" and "continuous_usage_stats" not in refused and len(reply.chunk_times) > 1:
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
