"""Answers that come whole, as one JSON object: of them the latency is measured, and nothing else."""

from typing import Any, ClassVar

import orjson

from loadgen.client.chat_chunks import Reading

MOST = 32 * 2**20  # bytes of one answer; 1,000 embeddings of 1,024 numbers as text take 20 MB


class WholeAnswer(Reading):
    """The body as it comes, read at its end. Its first and last token are its last byte.

    key: the list without which it is no answer.
    """

    __slots__ = ("_parts", "_size")

    whole = True
    key: ClassVar[str]

    def __init__(self, keep_text: bool) -> None:
        super().__init__(keep_text)
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, piece: bytes, stamp: float) -> None:
        self._size += len(piece)
        if self._size > MOST:
            self._parts.clear()
            self._give_up(f"an answer of more than {MOST >> 20} MiB")
        elif not self.done:
            self._parts.append(piece)

    def finish(self, stamp: float) -> None:
        body, self._parts = b"".join(self._parts), []
        if not body or self.done:
            return
        try:
            found = orjson.loads(body)
        except ValueError:
            self.malformed += 1
            return
        if not isinstance(found, dict):
            return
        self.error = found.get("error")
        if isinstance(found.get(self.key), list) and found[self.key]:
            self.started = self.done = True
            self._came(stamp)
            self._count(found.get("usage"))

    def _count(self, usage: Any) -> None:
        if isinstance(usage, dict):
            prompt = usage.get("prompt_tokens", usage.get("total_tokens"))
            self._read_usage({"prompt_tokens": prompt}, False, whole=True)
