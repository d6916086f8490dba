"""OpenTelemetry GenAI spans, OTLP JSON lines of the Collector: times, lengths, prefixes, sessions, pauses.

Each span of a model's call (gen_ai.operation.name chat, text_completion or generate_content) with its
tokens is a request. Calls of one gen_ai.conversation.id, or else of one trace, are one session: an agent's.
The time between the end of a call and the next one's start is when tools ran, or a user thought. A session's
prompts begin alike, as a history that grows does.
Source: https://opentelemetry.io/docs/specs/semconv/gen-ai/.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from common.usage import UsageError
from loadgen.workload.datasets.formats import FORMATS
from loadgen.workload.datasets.row import NO_TOKENS, Note, Row, json_lines, lengths, mapping

CALLS = ("chat", "text_completion", "generate_content")
OTHER = "passed over: spans that are no call of a model"
INPUT, OUTPUT = "gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"
NANO = 1e-9


class Call(NamedTuple):
    """One span; times in nanoseconds."""

    start: int
    end: int
    session: str
    where: str
    prompt: int
    output: int


@FORMATS.register("otel")
def rows(path: Path) -> Iterator[Row | Note]:
    calls: list[Call] = []
    for where, span in _spans(path):
        found = _call(where, span)
        if isinstance(found, Note):
            yield found
        else:
            calls.append(found)
    calls.sort()  # a file has them in the order in which they ended
    first = calls[0].start if calls else 0
    texts: dict[str, int] = {}  # a number for the text that a session's prompts begin with
    ended: dict[str, list[tuple[int, str]]] = {}  # of a session: when each of its chains ended, and its name
    for call in calls:
        text = texts.setdefault(call.session, len(texts))
        chains = ended.setdefault(call.session, [])
        free = [number for number, (end, _) in enumerate(chains) if end <= call.start]
        if free:  # the chain that ended last goes on; a call beside others begins one of its own
            number = max(free, key=lambda each: chains[each][0])
            end, name = chains[number]
            chains[number], pause = (call.end, name), (call.start - end) * NANO
        else:
            name, pause = f"{call.session} {len(chains)}", None
            chains.append((call.end, name))
        yield Row(
            call.where,
            call.prompt,
            call.output,
            time=(call.start - first) * NANO,
            blocks=(text,),
            block_tokens=call.prompt,
            session=name,
            pause=pause,
        )


def _spans(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(file and row, span) of each."""
    for where, value in json_lines(path):
        for resource in _list(where, mapping(where, value), "resourceSpans"):
            for scope in _list(where, mapping(where, resource), "scopeSpans"):
                for span in _list(where, mapping(where, scope), "spans"):
                    yield where, mapping(where, span)


def _list(where: str, values: dict[str, Any], key: str) -> list[Any]:
    found = values.get(key, [])
    if not isinstance(found, list):
        raise UsageError(f"{where}: {key} must be a list")
    return found


def _call(where: str, span: dict[str, Any]) -> Call | Note:
    known: dict[str, Any] = {}
    for each in _list(where, span, "attributes"):
        entry = mapping(where, each)
        value = mapping(where, entry.get("value"))
        known[str(entry.get("key"))] = next(iter(value.values()), None)
    if known.get("gen_ai.operation.name") not in CALLS:
        return Note(OTHER)
    asked = lengths(where, known, INPUT, OUTPUT)
    if asked is None:
        return Note(NO_TOKENS)
    try:
        start, end = int(span["startTimeUnixNano"]), int(span["endTimeUnixNano"])
    except (KeyError, TypeError, ValueError):
        raise UsageError(f"{where}: a span lacks its startTimeUnixNano or endTimeUnixNano") from None
    session = known.get("gen_ai.conversation.id") or span.get("traceId")
    return Call(start, max(start, end), str(session), where, *asked)
