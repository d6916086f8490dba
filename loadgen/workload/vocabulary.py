"""Words that are one token each for the served model, so that a prompt of n words has n tokens.

Found and checked with the served model's own tokenizer before a run starts: either the server's
`/tokenize` or a local tokenizer file, behind the call-backs that are passed in.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from common.usage import UsageError
from common.words import english

OPENERS = ("Please", "The", "Text", "Read", "Tell", "Word")
BATCH = 400  # words in one request for tokens; short enough for a small context
COMMON = 1000  # words that are tried where each costs a question
ENOUGH = 64  # words without which prompts would hardly differ
SAMPLES = (16, 50, 150, 500, 1500)  # words in the prompts that the result is checked with
TRIES = 4  # prompts of each of these lengths

Messages = list[dict[str, str]]
CountTokens = Callable[[str | Messages], int]
TokenStrings = Callable[[str], Sequence[str]]


@dataclass(frozen=True)
class Vocabulary:
    """What is known about the served model's tokens. All of it can be written as JSON.

    `words`: each is one token after a space, in any order. `opener`: the word every text begins with.
    `text_overhead`, `chat_overhead`: tokens of a prompt beyond its words, `opener` counted as overhead: as
    plain text, as one user message with its template. `system_overhead`: what a system message adds beyond
    its words, opener included; None: the template takes no system message. `worst_error`: the largest
    difference, in tokens, between asked and counted in `checked` sample prompts; None when nothing was
    counted. `exact`: there was none.
    """

    words: tuple[str, ...]
    opener: str
    text_overhead: int
    chat_overhead: int | None
    system_overhead: int | None
    exact: bool
    how: str  # "tokenize" or "estimate"
    worst_error: int | None
    checked: int

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "Vocabulary":
        return cls(**{**data, "words": tuple(data["words"])})


def estimate_vocabulary() -> Vocabulary:
    """What to assume when nobody can be asked: common words, one token each, and a usual template.

    How far off that is shows only in the server's `usage`, which the records keep beside what was asked.
    """
    return Vocabulary(
        words=english()[:COMMON],
        opener=OPENERS[0],
        text_overhead=2,
        chat_overhead=10,
        system_overhead=5,
        exact=False,
        how="estimate",
        worst_error=None,
        checked=0,
    )


def build_vocabulary(
    count_tokens: CountTokens, tokenize_words: TokenStrings | None = None, chat: bool = True
) -> Vocabulary:
    """Find the words and the overheads, and check them on whole prompts.

    `count_tokens` takes a plain prompt (special tokens added as the server does) or chat messages (the
    template applied, generation prompt included) and gives the number of tokens. `tokenize_words`, optional
    and faster, gives a plain prompt's tokens as strings. `chat=False`: only plain prompts are counted; so
    do where a model has no chat template. Errors of the call-backs pass through, except that a system
    message may be refused. Raises UsageError when the tokenizer has too few one-token words.
    """
    likely = _seen_whole(english(), tokenize_words) if tokenize_words else ()
    words = tuple(_single(likely if len(likely) >= ENOUGH else english()[:COMMON], count_tokens))
    if len(words) < ENOUGH:
        raise UsageError(
            f"the model's tokenizer has only {len(words)} of our words as one token; "
            f"{ENOUGH} are needed to make prompts of an exact length"
        )
    filler = " ".join(words[:8])
    costs = {word: count_tokens(f"{word} {filler}") - 8 for word in OPENERS}
    opener = min(costs, key=lambda word: costs[word])
    text = f"{opener} {filler}"
    chat_overhead = system_overhead = None
    if chat:
        chat_overhead = count_tokens([{"role": "user", "content": text}]) - 8
        system_overhead = _system_overhead(count_tokens, text, chat_overhead)
    found = Vocabulary(
        words, opener, costs[opener], chat_overhead, system_overhead, False, "tokenize", None, 0
    )
    errors = _errors(found, count_tokens)
    worst = max(errors)
    return Vocabulary.from_dict(
        found.to_dict() | {"exact": worst == 0, "worst_error": worst, "checked": len(errors)}
    )


def _seen_whole(words: Sequence[str], tokenize: TokenStrings) -> tuple[str, ...]:
    """The words that come back as one token with its space: "Ġword", "▁word" or " word"."""
    whole: set[str] = set()
    for start in range(0, len(words), BATCH):
        tokens = tokenize(f"{OPENERS[0]} " + " ".join(words[start : start + BATCH]))
        whole.update(token[1:] for token in tokens if token[:1] in ("Ġ", "▁", " "))
    return tuple(word for word in words if word in whole)


def _single(words: Sequence[str], count_tokens: CountTokens) -> list[str]:
    """The words that add one token each, found by halving what adds more than it has words."""
    start = count_tokens(OPENERS[0])

    def keep(part: Sequence[str]) -> list[str]:
        if not part or count_tokens(f"{OPENERS[0]} {' '.join(part)}") - start == len(part):
            return list(part)
        if len(part) == 1:
            return []
        middle = len(part) // 2
        return keep(part[:middle]) + keep(part[middle:])

    return [word for first in range(0, len(words), BATCH) for word in keep(words[first : first + BATCH])]


def _system_overhead(count_tokens: CountTokens, text: str, chat_overhead: int) -> int | None:
    system = {"role": "system", "content": text}
    try:
        whole = count_tokens([system, {"role": "user", "content": text}])
    except Exception:  # the caller's own error: this template refuses system messages
        return None
    return whole - chat_overhead - 16


def _errors(vocabulary: Vocabulary, count_tokens: CountTokens) -> list[int]:
    """|asked − counted| of sample prompts, as plain text and as chat."""
    rng, errors = random.Random(0), []
    for length in SAMPLES * TRIES:
        text = f"{vocabulary.opener} {' '.join(rng.choices(vocabulary.words, k=length))}"
        errors.append(abs(count_tokens(text) - length - vocabulary.text_overhead))
        if vocabulary.chat_overhead is not None:
            counted = count_tokens([{"role": "user", "content": text}])
            errors.append(abs(counted - length - vocabulary.chat_overhead))
    return errors
