"""A server that speaks vLLM's HTTP API on a known timetable, and logs what it really did.

    tokenswarm bench metronome --port 8000 --ttft 0.08 --tpot 0.02 [--slots N | --capacity R] [--log FILE]

A stream starts when its request has been read (or, under `--slots` and `--capacity`, when its turn
comes). Token i is due at start + ttft + i * tpot, unless a trait of `bench.timetable` is asked for. One
thread and one epoll; since all streams share one tpot, three queues in order of due time take the place of
a heap.
"""

import argparse
import contextlib
import ctypes
import dataclasses
import gc
import os
import resource
import select
import signal
import socket
import sys
import time
import zlib
from array import array
from collections import deque
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import orjson

from bench import wire
from bench.connection import Connection, Request
from bench.gauges import Gauges
from bench.service import Paced, Service, Slots
from bench.timetable import Timetable
from bench.truth import Answer, Truth
from common.usage import UsageError

MAX_MODEL_LEN = 32_768
_PREFLIGHT = "preflight-"  # begins the id of a request that is tried before a run: none of the load
_VERSION = "0.32.0+metronome"
_AT_ONCE = 32  # tokens sent before sockets are looked at again, so that requests are read on time
_PR_SET_TIMERSLACK = 29


class Stream:
    """One answer under way."""

    __slots__ = (
        "answer",
        "chunks",
        "connection",
        "count",
        "cut_at",
        "due",
        "frames",
        "index",
        "late",
        "sent",
    )

    def __init__(
        self, connection: Connection, frames: wire.Frames, count: int, answer: Answer, cut_at: int | None
    ) -> None:
        self.connection = connection
        self.frames = frames
        self.count = count
        self.cut_at = cut_at
        self.answer = answer
        self.sent = answer.sent
        self.index = 0  # of the next token
        self.chunks = 0  # sent
        self.late = 0.0  # seconds, after the stall
        self.due = 0.0


class Metronome:
    """The server. `serve` runs until a signal's handler calls `stop`."""

    def __init__(
        self,
        address: tuple[str, int],
        timetable: Timetable,
        service: Service[Stream],
        tokens: int | None = None,
        model: str = "metronome",
        as_vllm: bool = False,
        shared: bool = False,
        cold: float = 0.0,
    ) -> None:
        self._timetable, self._tokens = timetable, tokens
        self._gap = timetable.chunk * timetable.tpot  # seconds between two chunks
        self._stopping = False
        self._cold, self._warm_at = cold, 0.0  # s from the load's first request on; time.perf_counter()
        self._model, self._as_vllm = model, as_vllm
        self._service = service
        self._answers: list[Answer] = []
        self._streams: dict[Connection, Stream] = {}
        self._firsts: deque[Stream] = deque()  # next to send: the first token; in order of due time
        self._nexts: deque[Stream] = deque()  # a later one
        self._stalled: deque[Stream] = deque()  # the first one after the stall
        self._gauges = Gauges(model, self._running, lambda: service.waiting(time.perf_counter()))
        self._connections: dict[int, Connection] = {}
        self._epoll = select.epoll()
        self._listener = socket.create_server(address, backlog=4096, reuse_port=shared)
        self._listener.setblocking(False)
        self._epoll.register(self._listener.fileno(), select.EPOLLIN)
        self._routes: dict[tuple[str, str], Callable[[Connection, Request], None]] = {
            ("POST", "/v1/chat/completions"): self._complete,
            ("POST", "/v1/completions"): self._complete,
            ("POST", "/tokenize"): self._tokenize,
            ("GET", "/health"): lambda to, request: to.send(wire.answer(200, b"")),
            ("GET", "/ping"): lambda to, request: to.send(wire.answer(200, b"")),
            ("GET", "/v1/models"): self._models,
            ("GET", "/metrics"): self._metrics,
            ("GET", "/truth"): self._send_truth,
        }
        if shared:  # one process's counters would pass for those of all
            del self._routes["GET", "/metrics"]
        if as_vllm:
            version = orjson.dumps({"version": _VERSION})
            self._routes["GET", "/version"] = lambda to, request: to.send(wire.answer(200, version))

    @property
    def port(self) -> int:
        return self._listener.getsockname()[1]

    def truth(self) -> Truth:
        return Truth.of(self._answers, self._timetable)

    def serve(self) -> None:
        epoll, descriptor, clock = self._epoll, (self._epoll.fileno(),), time.perf_counter
        while not self._stopping:
            self._send_due(clock())
            due = self._next_due()
            wait = None if due is None else max(0.0, due - clock())
            # epoll's own timeout is rounded up to a whole millisecond; select's is not.
            if wait != 0.0 and not select.select(descriptor, (), (), wait)[0]:
                continue
            for fd, events in epoll.poll(0):
                connection = self._connections.get(fd)
                if connection is not None:
                    connection.ready(events)
                elif fd == self._listener.fileno():
                    self._accept()

    def stop(self, number: int, frame: FrameType | None) -> None:
        """End `serve`. The exception ends a wait; the parser swallows one that comes while it calls us."""
        self._stopping = True
        raise KeyboardInterrupt

    def _next_due(self) -> float | None:
        heads = [queue[0].due for queue in (self._firsts, self._nexts, self._stalled) if queue]
        return min(heads, default=None)

    def _send_due(self, now: float) -> None:
        queues = (self._firsts, self._nexts, self._stalled)
        for _ in range(_AT_ONCE):
            queue = min((each for each in queues if each), key=_head_due, default=None)
            if queue is None or queue[0].due > now:
                return
            self._send_chunk(queue.popleft())

    def _send_chunk(self, stream: Stream) -> None:
        connection = stream.connection
        if connection.closed:
            return
        index = stream.index
        size = self._timetable.size(index, stream.count)
        frame = stream.frames.chunk(index, size)
        now = time.perf_counter()  # before the call, in which a reader may already wake
        stream.sent.extend([now] * size)
        if frame:
            connection.send(frame)
        self._gauges.generation_tokens += size
        stream.index = index = index + size
        if stream.cut_at is not None and index >= stream.cut_at:
            connection.close()
        elif index < stream.count:
            self._wait(stream)
        else:
            self._finish(stream)

    def _wait(self, stream: Stream) -> None:
        """Put it into the queue of its next chunk. Due times count from the start, so they do not drift."""
        timetable = self._timetable
        queue = self._nexts
        if timetable.stall and not stream.late and stream.index * 2 >= stream.count:
            stream.late, queue = timetable.stall, self._stalled
        stream.chunks = number = stream.chunks + 1
        stream.due = stream.answer.start + timetable.ttft + number * self._gap + stream.late
        queue.append(stream)

    def _finish(self, stream: Stream) -> None:
        answer = stream.answer
        self._streams.pop(stream.connection, None)
        self._gauges.complete(answer.read, answer.start, np.frombuffer(answer.sent))
        self._pass_on(stream)

    def _pass_on(self, stream: Stream) -> None:
        successor = self._service.leave(stream)
        if successor is not None:
            self._begin(successor, time.perf_counter())

    def _begin(self, stream: Stream, start: float) -> None:
        stream.answer.start = start
        stream.due = start + self._timetable.ttft
        self._firsts.append(stream)

    def _running(self) -> int:
        return len(self._streams) - self._service.waiting(time.perf_counter())

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:  # nothing more there, or no descriptor left: the client waits
                return
            connection = Connection(sock, self._epoll, self._route, self._closed)
            self._connections[connection.fd] = connection

    def _closed(self, connection: Connection) -> None:
        self._connections.pop(connection.fd, None)
        stream = self._streams.pop(connection, None)
        if stream is not None:
            self._gauges.finished["abort"] += 1
            self._pass_on(stream)

    def _route(self, connection: Connection, request: Request) -> None:
        handler = self._routes.get((request.method, request.path))
        if handler is not None:
            handler(connection, request)
        elif any(path == request.path for _, path in self._routes):
            connection.send(wire.answer(405, b'{"detail":"Method Not Allowed"}'))
        else:
            connection.send(wire.answer(404, b'{"detail":"Not Found"}'))

    def _complete(self, connection: Connection, request: Request) -> None:
        read = time.perf_counter()
        if connection in self._streams:  # pipelining, which no client of ours does
            connection.close()
            return
        try:
            body = _read_body(request.body)
            words = _prompt_words(body)
            ask = self._ask(request, body, len(words))
        except ValueError as error:
            connection.send(wire.error(400, "BadRequestError", str(error)))
            return
        if ask.model != self._model:
            text = f"The model `{ask.model}` does not exist. Valid aliases: {self._model}."
            connection.send(wire.error(404, "NotFoundError", text))
            return
        number = len(self._answers)
        given = _given_ident(request, body)
        answer = Answer(given, " ".join(words[:8])[:80], read, float("nan"), ask.tokens, array("d"))
        tried = given.startswith(_PREFLIGHT)
        if not tried:
            self._answers.append(answer)
        if self._timetable.fails(number) and not tried:
            connection.send(wire.error(500, "InternalServerError", "refused, as the timetable says"))
            return
        frames = wire.Frames(ask, self._timetable.role_first)
        self._gauges.prompt_tokens += len(words)
        if ask.stream and self._timetable.is_empty(number) and not tried:
            connection.send(wire.STREAM_HEAD + frames.nothing())
            return
        cut_at = None if tried else self._timetable.cut_at(number, ask.tokens)
        stream = self._streams[connection] = Stream(connection, frames, ask.tokens, answer, cut_at)
        if ask.stream:
            connection.send(wire.STREAM_HEAD)
            if self._timetable.role_first:
                connection.send(frames.role())
        start = self._service.arrive(stream, read)
        if start is not None:
            self._begin(stream, start if tried else self._warm(start))

    def _warm(self, start: float) -> float:
        """When the first requests of the load start: none before the server is warm."""
        self._warm_at = self._warm_at or start + self._cold
        return max(start, self._warm_at)

    def _ask(self, request: Request, body: dict[str, Any], prompt_tokens: int) -> wire.Ask:
        chat = request.path == "/v1/chat/completions"
        tokens = self._tokens or body.get("max_completion_tokens") or body.get("max_tokens") or 16
        if not isinstance(tokens, int) or tokens < 1:
            raise ValueError(f"max_tokens must be at least 1, got {tokens!r}.")
        if prompt_tokens + tokens > MAX_MODEL_LEN:
            raise ValueError(
                f"This model's maximum context length is {MAX_MODEL_LEN} tokens. However, your request has "
                f"{prompt_tokens} input tokens and asks for {tokens} output tokens."
            )
        options = body.get("stream_options") or {}
        usage = bool(options.get("include_usage"))
        ident = _given_ident(request, body) or f"{len(self._answers):016x}"
        return wire.Ask(
            ident=("chatcmpl-" if chat else "cmpl-") + ident,
            model=str(body.get("model") or self._model),
            created=int(time.time()),
            chat=chat,
            prompt_tokens=prompt_tokens,
            tokens=tokens,
            stream=bool(body.get("stream")),
            usage=usage,
            continuous_usage=usage and self._as_vllm and bool(options.get("continuous_usage_stats")),
        )

    def _tokenize(self, connection: Connection, request: Request) -> None:
        try:
            words = _prompt_words(_read_body(request.body))
        except ValueError as error:
            connection.send(wire.error(400, "BadRequestError", str(error)))
            return
        body = {
            "count": len(words),
            "max_model_len": MAX_MODEL_LEN,
            "tokens": [zlib.crc32(word.encode()) >> 1 for word in words],
            "token_strs": None,
        }
        connection.send(wire.answer(200, orjson.dumps(body)))

    def _models(self, connection: Connection, request: Request) -> None:
        card = {"id": self._model, "object": "model", "created": int(time.time()), "owned_by": "metronome"}
        card |= {"root": self._model, "parent": None, "max_model_len": MAX_MODEL_LEN, "permission": []}
        connection.send(wire.answer(200, orjson.dumps({"object": "list", "data": [card]})))

    def _metrics(self, connection: Connection, request: Request) -> None:
        content_type = "text/plain; version=0.0.4; charset=utf-8"
        connection.send(wire.answer(200, self._gauges.text(), content_type))

    def _send_truth(self, connection: Connection, request: Request) -> None:
        connection.send(wire.answer(200, self.truth().to_bytes(), "application/octet-stream"))


def _head_due(queue: deque[Stream]) -> float:
    return queue[0].due


def _given_ident(request: Request, body: dict[str, Any]) -> str:
    return str(request.headers.get("x-request-id") or body.get("request_id") or "")


def _read_body(data: bytes) -> dict[str, Any]:
    body = orjson.loads(data)
    if not isinstance(body, dict):
        raise ValueError("the body must be a JSON object")
    return body


def _prompt_words(body: dict[str, Any]) -> list[str]:
    """The prompt's tokens, which here are its words (or the token ids, where it has these)."""
    if "messages" in body:
        return [word for message in body["messages"] for word in _content_words(message)]
    prompt = body.get("prompt")
    if isinstance(prompt, str):
        return prompt.split()
    if isinstance(prompt, list) and all(isinstance(token, int) for token in prompt):
        return [str(token) for token in prompt]
    raise ValueError("the body needs messages, or a prompt that is a text or a list of token ids")


def _content_words(message: Any) -> list[str]:
    content = message.get("content") if isinstance(message, dict) else None
    if isinstance(content, list):
        content = " ".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return content.split() if isinstance(content, str) else []


def _prepare_process() -> None:
    """Let the kernel wake us on time, open files for many streams, and no pauses for the collector."""
    ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0)  # 1 ns in place of 50 us
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    gc.freeze()
    gc.disable()  # nothing here leaves cycles behind


def _summary(truth: Truth) -> str:
    count = len(truth.sent)
    head = f"metronome: {count} tokens sent for {len(truth.read)} requests"
    if not count:
        return head
    late = np.percentile(truth.lateness(), [50, 99, 100]) * 1000
    return f"{head}; late by p50 {late[0]:.3f}, p99 {late[1]:.3f}, max {late[2]:.3f} ms"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000, help="0 picks a free one")
    parser.add_argument("--ttft", type=float, default=0.08, help="seconds to the first token")
    parser.add_argument("--tpot", type=float, default=0.02, help="seconds between tokens")
    parser.add_argument("--tokens", type=int, help="tokens of every answer (default: what is asked for)")
    parser.add_argument("--chunk", type=int, default=1, help="tokens of every chunk after the first")
    parser.add_argument(
        "--first-chunk", type=int, metavar="N", help="tokens of the first chunk (default: as --chunk)"
    )
    parser.add_argument("--stall", type=float, default=0.0, help="seconds that each second half comes late")
    parser.add_argument("--fail", type=float, default=0.0, help="share of the requests that get HTTP 500")
    parser.add_argument("--empty", type=float, default=0.0, help="share of the answers that hold no token")
    parser.add_argument("--cold", type=float, default=0.0, help="seconds that the load's first requests wait")
    parser.add_argument("--cut", type=float, default=0.0, help="share of the answers that are cut in half")
    parser.add_argument("--role-first", action="store_true", help="the role chunk leaves at once, alone")
    limit = parser.add_mutually_exclusive_group()
    limit.add_argument("--slots", type=int, help="answers at a time; further requests queue")
    limit.add_argument("--capacity", type=float, help="requests per second that start; the rest queue")
    parser.add_argument("--model", default="metronome")
    parser.add_argument("--as-vllm", action="store_true", help="answer /version, as vLLM does")
    parser.add_argument("--share-port", action="store_true", help="let others listen there too; no /metrics")
    parser.add_argument("--log", type=Path, help="write what was really done here (.npz) when stopped")


def _check(args: argparse.Namespace) -> None:
    args.first_chunk = args.chunk if args.first_chunk is None else args.first_chunk
    for name in ("tpot", "ttft", "stall", "cold"):
        if getattr(args, name) < 0:
            raise UsageError(f"--{name}: must be 0 or more seconds, is {getattr(args, name)}")
    for name in ("fail", "empty", "cut"):
        if not 0 <= getattr(args, name) <= 1:
            raise UsageError(f"--{name}: must be a share from 0 to 1, is {getattr(args, name)}")
    for name in ("tokens", "slots", "capacity", "chunk", "first_chunk"):
        if getattr(args, name) is not None and getattr(args, name) <= 0:
            raise UsageError(f"--{name}: must be more than 0, is {getattr(args, name)}")
    if args.log is not None and not (args.log.parent.is_dir() and os.access(args.log.parent, os.W_OK)):
        raise UsageError(f"--log {args.log}: its folder does not exist or cannot be written to")


def run(args: argparse.Namespace) -> int:
    """Serve until a signal."""
    _check(args)
    service: Service[Stream] = Slots(args.slots) if args.slots else Paced(args.capacity or float("inf"))
    address = (args.host, args.port)
    names = [field.name for field in dataclasses.fields(Timetable)]
    timetable = Timetable(**{name: getattr(args, name) for name in names})
    try:
        server = Metronome(
            address,
            timetable,
            service,
            args.tokens,
            args.model,
            as_vllm=args.as_vllm,
            shared=args.share_port,
            cold=args.cold,
        )
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else str(error)
        raise UsageError(f"--port {args.port}: cannot listen on {args.host}: {why}") from None
    _prepare_process()
    signal.signal(signal.SIGTERM, server.stop)
    signal.signal(signal.SIGINT, server.stop)
    print(f"metronome: http://{args.host}:{server.port}", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        server.serve()
    truth = server.truth()
    if args.log is not None:
        truth.save(args.log)
    print(_summary(truth), file=sys.stderr)
    return 0
