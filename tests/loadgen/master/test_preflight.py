"""One request before the run: what a server refuses is named with what cures it, or done without."""

import contextlib
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.usage import UsageError
from loadgen.api import KINDS, Kind
from loadgen.api.kind import EXTENSIONS
from loadgen.client.client import Client
from loadgen.client.transport import Host
from loadgen.master import preflight as module
from loadgen.master.preflight import MEANS, Preflight, preflight, shortened
from loadgen.workload.request import Request

Answer = Callable[[dict[str, Any]], tuple[int, str, str]]  # a body: status, type, text


def stream(tokens: int, each: bool = True, end: bool = True) -> tuple[int, str, str]:
    events = []
    for number in range(tokens):
        event: dict[str, Any] = {"choices": [{"index": 0, "delta": {"content": "a"}}]}
        if each:
            event["usage"] = {"prompt_tokens": 3, "completion_tokens": number + 1}
        events.append(event)
    events.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "length"}]})
    if end:
        events.append({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": tokens}})
    text = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"
    return 200, "text/event-stream", text


def refusing(*fields: str, named: bool = True) -> Answer:
    """A server that refuses these, one after the other or all without a name."""

    def answer(body: dict[str, Any]) -> tuple[int, str, str]:
        usage = body.get("stream_options", {})
        found = [field for field in fields if field in body or field in usage]
        if found:
            said = f"Unexpected field: {found[0]}" if named else "bad request"
            return 422, "application/json", json.dumps({"error": {"message": said}})
        return stream(4, each="continuous_usage_stats" in usage, end="include_usage" in usage)

    return answer


@contextlib.contextmanager
def serving(answer: Answer) -> Iterator[tuple[Client, list[dict[str, Any]]]]:
    """A client of a server that answers so, and the bodies that come to it."""
    bodies: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            status, kind, text = answer(bodies[-1])
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        client = Client(Host.resolve(f"http://127.0.0.1:{server.server_address[1]}"))
        try:
            yield client, bodies
        finally:
            client.close()
            server.shutdown()


def body(extensions: Sequence[str]) -> tuple[Kind, str, bytes]:
    kind = KINDS["chat"]()
    return kind, kind.path, json.dumps({"max_tokens": 500, **kind.frame(extensions, "x")}).encode()


def tried(answer: Answer, request: Request | None = None) -> Preflight:
    with serving(answer) as (client, _):
        return preflight(client, body, request)


def test_a_server_that_takes_all_is_asked_once_and_for_few_tokens() -> None:
    with serving(refusing()) as (client, bodies):
        found = preflight(client, body, None)
    assert found == Preflight(list(EXTENSIONS), [], "each chunk")
    assert [each["max_tokens"] for each in bodies] == [module.TOKENS]


@pytest.mark.parametrize("refused", [[each] for each in EXTENSIONS] + [list(EXTENSIONS)])
@pytest.mark.parametrize("named", [True, False])
def test_a_field_that_is_refused_is_left_out_and_said(refused: list[str], named: bool) -> None:
    found = tried(refusing(*refused, named=named))
    usage = [] if "include_usage" in refused else ["include_usage"]
    left = [each for each in EXTENSIONS if each not in refused and (usage or "usage" not in each)]
    assert found.extensions == (left if named else usage)
    for each in refused:
        if usage or each != "continuous_usage_stats":  # a part of the other
            assert f"the server refuses {each}: {MEANS[each]}" in found.remarks


def test_a_server_without_stream_options_is_loaded_without() -> None:
    found = tried(refusing("stream_options"))
    assert found.extensions == ["ignore_eos", "cache_salt"] and found.usage == "none"
    assert found.remarks == ["the server refuses include_usage: each chunk is taken as one token"]


def test_an_answer_that_comes_whole_is_said_to() -> None:
    kind = KINDS["embeddings"]()
    with serving(lambda _: (200, "application/json", '{"data": [1]}')) as (client, bodies):
        found = preflight(client, lambda extensions: (kind, kind.path, b"{}"), None)
    assert found.usage == "whole" and found.extensions == ["cache_salt"] and len(bodies) == 1
    assert "output_tokens and a bound on TPOT have no effect" in found.remarks[0]


@pytest.mark.parametrize(
    ("answer", "usage", "said"),
    [
        (stream(4, each=False), "at the end", "counts tokens only at an answer's end"),
        (stream(4, each=False, end=False), "none", "counts no tokens"),
        (stream(0), "at the end", "held no text"),
    ],
)
def test_what_an_answer_lacks_is_said(answer: tuple[int, str, str], usage: str, said: str) -> None:
    found = tried(lambda _: answer)
    assert found.usage == usage and any(said in remark for remark in found.remarks)


@pytest.mark.parametrize(
    ("status", "kind", "text", "said"),
    [
        (401, "application/json", '{"error": {"message": "no key"}}', "HTTP 401: no key; set OPENAI_API_KEY"),
        (404, "application/json", '{"detail": "Not Found"}', "HTTP 404: Not Found; is the path right"),
        (400, "application/json", '{"error": {"message": "max_tokens is no more"}}', "--max-tokens-field"),
        (400, "application/json", '{"error": {"message": "temperature must be 1"}}', "another --temperature"),
        (400, "application/json", '{"error": {"message": "min_p: extra"}}', "take min_p out of --extra-body"),
        (500, "text/html", "<h1>Bad luck</h1>", "HTTP 500: Bad luck; --keep-going"),
        (200, "text/html", "<h1>Welcome</h1>", "text/html came in place of a stream: Welcome"),
        (200, "application/json", '{"choices": []}', "JSON came in place of a stream: a whole completion"),
        (200, "text/event-stream", 'data: {"error": {"message": "dead"}}\n\n', "error in the stream: dead"),
    ],
)
def test_a_refusal_is_told_in_the_servers_words_with_what_cures_it(
    status: int, kind: str, text: str, said: str
) -> None:
    with pytest.raises(UsageError) as caught:
        tried(lambda _: (status, kind, text), Request(extra_body={"min_p": 0.1}))
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_a_server_that_does_not_answer_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WITHIN", 0.3)
    stop = threading.Event()

    def silent(_: dict[str, Any]) -> tuple[int, str, str]:
        stop.wait(20)
        return stream(1)

    with serving(silent) as (client, _), pytest.raises(UsageError, match="timed out after 0.3 s"):
        try:
            preflight(client, body, None)
        finally:
            stop.set()


@given(
    st.dictionaries(
        st.sampled_from(["max_tokens", "min_tokens", "my_max_tokens", "n"]), st.integers(0, 10**6)
    )
)
def test_only_lengths_are_shortened(whole: dict[str, int]) -> None:
    found = json.loads(shortened(json.dumps(whole).encode()))
    assert found.get("n") == whole.get("n") and found.keys() == whole.keys()
    assert all(found[name] == min(whole[name], module.TOKENS) for name in whole if name != "n")
