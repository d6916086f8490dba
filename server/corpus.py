"""The text that the CPU model's tokenizer is trained on: made here, the same on every machine.

Common English words come first and most often; made-up, pronounceable words follow, enough of them to fill
the vocabulary. Only integers are used, so no machine can round differently.
"""

from collections.abc import Iterator
from itertools import islice, product

from common.words import english

COMMON = 1053  # words of common/words.txt that the tokenizer is trained on
# Two that prompts leave out, and the places at which the tokenizer has always had them.
BESIDE = ((836, "gun"), (971, "slave"))
INVENTED = 4000
ONSETS = (*"bcdfghklmnprstvw", "st", "tr", "pl", "gr", "br", "cl", "dr", "fl", "sh", "ch", "th")
VOWELS = (*"aeiou", "ai", "ea", "ou")
CODAS = ("", *"nrstlm", "nd", "st", "ck")
PUNCTUATION = (
    ". ",
    ", ",
    "? ",
    "! ",
    ": ",
    "; ",
    "\n",
    "\n\n",
    ' "',
    '" ',
    " (",
    ") ",
    " - ",
    "...",
    "'s ",
    "'t ",
)


def common_words() -> list[str]:
    """The English words, the most common first, each once."""
    words = list(english()[:COMMON])
    for place, word in BESIDE:
        words.insert(place, word)
    return words


def invented_words(count: int) -> list[str]:
    """`count` different words of two syllables, spread evenly over all that the syllables can make."""
    syllables = ["".join(parts) for parts in product(ONSETS, VOWELS, CODAS)]
    taken = dict.fromkeys(common_words())
    stride, step = 7919, len(syllables)  # a prime that shares no factor with the number of syllables
    pairs = ((index * stride) % (step * step) for index in range(step * step))
    words = (syllables[pair // step] + syllables[pair % step] for pair in pairs)
    return list(islice((word for word in words if word not in taken), count))


def lines() -> Iterator[str]:
    """The text, line by line: word number r stands in it about 24,000 / (r + 10) times.

    Common words stand in it at least 40 times, so that each ends up as one token; so do their plural
    and their capitalised form, inside a sentence and at the start of a text.
    """
    english = common_words()
    for rank, word in enumerate([*english, *invented_words(INVENTED)]):
        yield f" {word}" * max(2, 24_000 // (rank + 10))
    for word in english:
        capital = word.capitalize()
        yield f" {word}" * 40 + f" {word}s" * 20 + f" {capital}" * 20
        yield f"{capital}\n" * 20
    for mark in PUNCTUATION:
        yield f"a{mark}" * 400
    for number in range(1000):
        yield f" {number}"
