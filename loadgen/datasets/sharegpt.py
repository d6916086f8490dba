"""ShareGPT JSON: an array of {"conversations": [{"from": "human", "value": …}, {"from": "gpt", …}, …]}.

A row's request is its first question; the answer that follows gives the output length (estimated). A
system message before the question is kept. A row without a question and its answer says nothing about
a request and is passed over: the published files hold many such rows.
"""

from collections.abc import Iterator
from pathlib import Path

from common.usage import UsageError
from loadgen.datasets.jsonarray import elements
from loadgen.datasets.row import Row, dialogue, estimated_tokens, mapping

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


def rows(path: Path) -> Iterator[Row]:
    for where, value in elements(path):
        turns = mapping(where, value).get("conversations")
        if turns is None:
            raise UsageError(f"{where}: conversations is missing")
        said = dialogue(where, turns, "from", "value") if turns else ()
        roles = [ROLES.get(who, who) for who, _ in said]
        if "user" not in roles:
            continue
        asked = roles.index("user")
        if roles[asked + 1 : asked + 2] != ["assistant"] or not said[asked][1] or not said[asked + 1][1]:
            continue
        before = ("system", said[0][1]) if roles[0] == "system" else None
        prompt = (*([before] if before else []), ("user", said[asked][1]))
        yield Row(
            where,
            prompt_tokens=estimated_tokens(prompt),
            output_tokens=estimated_tokens((said[asked + 1],)),
            dialogue=prompt,
        )
