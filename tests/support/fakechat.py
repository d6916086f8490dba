"""Chats with the fake server through the real client, for tests."""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from loadgen.client.client import Client
from loadgen.client.outcome import Reply
from loadgen.client.transport import Host
from tests.support.waiting import PATIENCE

PATH = "/v1/chat/completions"


@contextlib.contextmanager
def client_of(url: str, **options: Any) -> Iterator[Client]:
    client = Client(Host.resolve(url), **options)
    try:
        yield client
    finally:
        client.close()
        assert client.join(PATIENCE), "a request did not end when the client was closed"


@dataclass
class Chats:
    """Requests of one client, and what became of each, by request id; a second end is a failure."""

    client: Client
    replies: dict[str, Reply] = field(default_factory=dict)
    firsts: dict[str, list[float]] = field(default_factory=dict)
    sent: int = 0

    def send(self, tokens: int = 5, timeout: float = 100.0, keep_text: bool = True) -> str:
        name = f"r-{self.sent}"
        self.sent += 1
        self.firsts[name] = []

        def end(reply: Reply) -> None:
            assert name not in self.replies
            self.replies[name] = reply

        self.client.send(
            PATH,
            json.dumps({"model": "fake", "messages": [], "max_tokens": tokens, "stream": True}).encode(),
            request_id=name,
            timeout=timeout,
            on_end=end,
            on_first_token=lambda sent, stamp: self.firsts[name].append(stamp),
            keep_text=keep_text,
        )
        return name

    def wait(self, patience: float = PATIENCE) -> list[Reply]:
        """All replies so far, in the order of their sending."""
        assert self.client.join(patience), "a request did not end"
        assert len(self.replies) == self.sent
        return [self.replies[f"r-{number}"] for number in range(self.sent)]


def chat(url: str, timeout: float = 100.0, **options: Any) -> Reply:
    """One request and its reply."""
    with client_of(url, **options) as client:
        chats = Chats(client)
        chats.send(timeout=timeout)
        reply = chats.wait()[0]
        assert chats.firsts["r-0"] == ([] if reply.first_token is None else [reply.first_token])
        return reply
