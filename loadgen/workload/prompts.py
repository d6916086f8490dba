"""Prompts of the asked number of tokens, each unlike every other from its first words on.

A text is the opener, then a few words that spell the arrival's number (so that no two prompts can share a
block of the server's prefix cache), then words at random. What is shared on purpose (a group's prefix, a
system prompt, a trace's blocks) spells the group's number instead and is the same for the whole group.
A prompt depends on vocabulary, seed, scenario and arrival alone, not on who makes it or when.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.usage import UsageError
from loadgen.workload.arrival import Arrival
from loadgen.workload.arrivals.closed_loop import ClosedLoop
from loadgen.workload.arrivals.trace import Trace
from loadgen.workload.pictures import picture
from loadgen.workload.scenario import Scenario
from loadgen.workload.vocabulary import Messages, Vocabulary

OWN, GROUP, BLOCKS, DOCUMENT, PICTURE = range(5)  # kinds of text, each with random streams of its own
_HALF = np.uint64(32)  # bits: of a number that is drawn, the upper ones
FASTEST_ANSWER = 0.001  # s; a closed loop's client is not expected to ask more often


class PromptMaker:
    """Makes the prompts of one run. `shortest` is the fewest tokens of a chat prompt that is still unique."""

    def __init__(self, vocabulary: Vocabulary, seed: int, scenario: Scenario) -> None:
        """Raises UsageError when the vocabulary has fewer than three words."""
        if len(vocabulary.words) < 3:
            raise UsageError(f"{len(vocabulary.words)} words are too few to make prompts that differ")
        self.vocabulary = vocabulary
        self._words = np.array(vocabulary.words, dtype=object)
        self._size = np.uint64(len(vocabulary.words))
        self._seed = seed % 2**64
        self._bits = np.random.Philox(key=self._seed)  # made once: it asks the system for entropy each time
        self._state: Any = self._bits.state
        size, wanted = len(vocabulary.words), _most_numbers(scenario)
        self._digits = 1 + max(0, math.ceil(math.log(wanted / (size - 1), size)))
        self._codes = (size - 1) * size ** (self._digits - 1)
        first, second = np.random.Philox(key=self._seed).random_raw(2).tolist()
        self._shift = first % self._codes
        self._step = next(step for step in _upward(second % self._codes) if math.gcd(step, self._codes) == 1)
        self.shortest = (vocabulary.chat_overhead or 0) + self._digits

    def messages(self, arrival: Arrival, history: Sequence[dict[str, str]] = ()) -> Messages:
        """OpenAI chat messages. `history`: all messages of the turns before, the answers included."""
        overhead = self.vocabulary.chat_overhead
        if arrival.dialogue:
            return [{"role": role, "content": content} for role, content in arrival.dialogue]
        if overhead is None:
            raise UsageError("the model has no chat template that was measured; use /v1/completions")
        if history:
            words = self._own(arrival, arrival.prompt_tokens - 1)  # the opener is one more
            return [*history, {"role": "user", "content": self._text(words)}]
        own = self._own(arrival, arrival.prompt_tokens - overhead)
        system_overhead = self.vocabulary.system_overhead
        if arrival.system and system_overhead is not None:
            system = self._shared(arrival.prefix_group or 0, arrival.prefix_tokens - system_overhead)
            return [
                {"role": "system", "content": self._text(system)},
                {"role": "user", "content": self._text(own)},
            ]
        return [{"role": "user", "content": self._text(self._prefix(arrival) + own)}]

    def text(self, arrival: Arrival) -> str:
        """The prompt for /v1/completions."""
        if arrival.dialogue:
            return "\n\n".join(content for _, content in arrival.dialogue)
        own = self._own(arrival, arrival.prompt_tokens - self.vocabulary.text_overhead)
        return self._text(self._prefix(arrival) + own)

    def ranked(self, arrival: Arrival, query: int, count: int) -> tuple[str, list[str]]:
        """A query of so many words, and `count` documents; each with the query is as long as was asked."""
        left = max(1, arrival.prompt_tokens - self.vocabulary.text_overhead - query)
        documents = [
            " ".join(self._sentence(DOCUMENT, arrival.number * count + place, left)[:left])
            for place in range(count)
        ]
        return self._text(self._own(arrival, query)), documents

    def images(self, arrival: Arrival, scenario: Scenario) -> list[str]:
        """The arrival's pictures, as data URLs."""
        assert scenario.images is not None
        bits = np.random.Philox(counter=[0, 0, 0, PICTURE], key=[self._seed, arrival.number])
        rng = np.random.Generator(bits)
        size = scenario.images.width, scenario.images.height
        return [picture(*size, rng) for _ in range(arrival.images)]

    def _text(self, words: list[str]) -> str:
        return " ".join([self.vocabulary.opener, *words])

    def _prefix(self, arrival: Arrival) -> list[str]:
        if arrival.prefix_group is None:
            return []
        return self._shared(arrival.prefix_group, arrival.prefix_tokens)

    def _shared(self, group: int, count: int) -> list[str]:
        return self._sentence(GROUP, group, count)[: max(count, 0)]

    def _own(self, arrival: Arrival, count: int) -> list[str]:
        """At least as many words as spell the arrival's number; a trace's blocks before them."""
        blocks: list[str] = []
        for block in arrival.blocks:
            if len(blocks) >= count:
                break
            blocks += self._sentence(BLOCKS, block, arrival.block_tokens)
        if len(blocks) >= count and blocks:
            return blocks[: max(count, self._digits)]
        return blocks + self._sentence(OWN, arrival.number, count - len(blocks))

    def _sentence(self, kind: int, number: int, count: int) -> list[str]:
        """`count` words (more if the number's own are more): those that spell `number`, then random ones."""
        head = self._spell(number)
        rest = count - len(head)
        if rest <= 0:
            return head
        places = (self._drawn(kind, number, rest) >> _HALF) * self._size >> _HALF
        return head + self._words[places.view(np.int64)].tolist()

    def _drawn(self, kind: int, number: int, count: int) -> NDArray[np.uint64]:
        """The first numbers of a text's own stream: Philox(counter=[0, 0, 0, kind], key=[seed, number])."""
        inner = self._state["state"]
        inner["counter"][:], inner["key"][:] = (0, 0, 0, kind), (self._seed, number)
        self._bits.state = self._state
        return self._bits.random_raw(count)

    def _spell(self, number: int) -> list[str]:
        """`number` as words, no spelling the beginning of another.

        The digits, in base of the number of words, of (step · number + shift) modulo the number of codes;
        the last word is never a first digit, and in front stands for "one round of codes further".
        """
        rounds, number = divmod(number, self._codes)
        code, size = (self._step * number + self._shift) % self._codes, len(self._words)
        spelled = [self._words[-1]] * rounds
        for place in range(self._digits - 1, -1, -1):
            digit, code = divmod(code, size**place)
            spelled.append(self._words[digit])
        return spelled


def _most_numbers(scenario: Scenario) -> int:
    """More arrival numbers than the run is likely to have; beyond it spellings get longer, no more."""
    seconds = scenario.warmup + scenario.duration
    if isinstance(scenario.arrivals, ClosedLoop):
        return int(scenario.arrivals.concurrency * seconds / FASTEST_ANSWER) + 1
    if isinstance(scenario.arrivals, Trace):
        return 1_000_000  # hash ids are counted up to the trace's last
    turns = scenario.conversation.turns.most if scenario.conversation else 1
    return int(2 * (scenario.mean_rate or 1) * seconds * math.ceil(turns)) + 1000


def _upward(start: int) -> Iterator[int]:
    number = max(start, 1)
    while True:
        yield number
        number += 1
