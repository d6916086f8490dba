"""ShareGPT, a JSON array of `conversations` with `from` and `value`: first questions, lengths of answers.

The answer that follows the question gives the output length (estimated). The array is read piece by piece. A
system message before the question is kept. A row without a question and its answer says nothing about
a request and is passed over, and so is one whose question no request can hold: the published files hold
many such rows. The turns that come later are not looked into.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from common.usage import UsageError
from loadgen.workload.datasets.formats import FORMATS
from loadgen.workload.datasets.jsonarray import elements
from loadgen.workload.datasets.row import Note, Row, estimated_tokens, half_character, mapping

UNANSWERED = "passed over: no question with its answer"
HALF = "passed over: half a character in the question, which no request can hold"

ROLES = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "assistant": "assistant",
    "system": "system",
}


@FORMATS.register("sharegpt")
def rows(path: Path) -> Iterator[Row | Note]:
    for where, value in elements(path):
        entry = mapping(where, value)
        if "conversations" not in entry:
            raise UsageError(f"{where}: conversations is missing")
        turns = entry["conversations"] or []
        if not isinstance(turns, list):
            raise UsageError(f"{where}: conversations must be a list")
        said = _opening(where, turns)
        if [role for role, text in said[-2:] if text] != ["user", "assistant"]:
            yield Note(UNANSWERED)
            continue
        *before, question, answer = said
        prompt = (*[each for each in before[:1] if each[0] == "system"], question)
        if any(half_character(text) for _, text in prompt):
            yield Note(HALF)
            continue
        yield Row(
            where,
            prompt_tokens=estimated_tokens(prompt),
            output_tokens=estimated_tokens((answer,)),
            dialogue=prompt,
        )


def _opening(where: str, turns: list[Any]) -> list[tuple[str, str]]:
    """(role, text) up to what follows the first question."""
    said: list[tuple[str, str]] = []
    for number, turn in enumerate(turns, 1):
        said.append(_said(f"{where}: message {number}", turn))
        if "user" in [role for role, _ in said[:-1]]:
            break
    return said


def _said(where: str, turn: Any) -> tuple[str, str]:
    """Who says what, in a request's words; nothing where the value is no text."""
    entry = mapping(where, turn)
    if not isinstance(entry.get("from"), str) or "value" not in entry:
        raise UsageError(f"{where}: needs from and value as text")
    text = entry["value"]
    return ROLES.get(entry["from"], entry["from"]), text if isinstance(text, str) else ""
