"""An OpenAI-like chat server whose streams keep a known timetable. Standard library alone.

serve PORT [--log FILE]
    POST …/chat/completions and …/completions. The answer holds `max_tokens` tokens, the first after 80 ms,
    then one each 20 ms. The model's name picks one trait: `cut` ends the connection after 10 tokens, `fail`
    sends an error event there, `role` sends the role chunk at once, `four` has 4 tokens a chunk, `ten` a
    first chunk of 10, `counted` has usage on each chunk. GET answers with the list of models; any other
    POST is 404. FILE gets a JSON line for each POST: path, headers, body.
ask URL MODEL [--tokens N] [--body JSON]
    One streamed chat, JSON added to its body. One JSON line: status, each event and its time in milliseconds.
"""

import argparse
import http.client
import json
import socketserver
import threading
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

FIRST, GAP = 0.08, 0.02
TRAITS = ("plain", "cut", "fail", "role", "four", "ten", "counted")


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128


def sizes(model: str, tokens: int) -> list[int]:
    """Tokens of each chunk."""
    if model == "four":
        return [4] * (tokens // 4)
    if model == "ten":
        return [10] + [1] * (tokens - 10)
    return [1] * tokens


def handler(log: Path | None) -> type[BaseHTTPRequestHandler]:
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def whole(self, body: dict[str, Any]) -> None:
            raw = json.dumps(body).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def do_GET(self) -> None:
            self.whole({"object": "list", "data": [{"id": name, "object": "model"} for name in TRAITS]})

        def event(self, text: str) -> None:
            raw = f"data: {text}\n\n".encode()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(raw), raw))

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if log is not None:
                with lock, log.open("a") as file:
                    line = {"path": self.path, "headers": dict(self.headers), "body": body}
                    file.write(json.dumps(line) + "\n")
            if not self.path.endswith("/completions"):
                self.send_response(404)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            model = body.get("model", "plain").rpartition("/")[2]
            tokens = body.get("max_tokens") or body.get("max_completion_tokens") or 40
            usage = {"prompt_tokens": 20, "completion_tokens": tokens, "total_tokens": 20 + tokens}
            chat = "chat" in self.path
            base = {"id": "one", "created": 1, "model": model}
            base["object"] = "chat.completion.chunk" if chat else "text_completion"
            if not body.get("stream"):
                message = {"role": "assistant", "content": "word " * tokens}
                only = {
                    "index": 0,
                    "finish_reason": "length",
                    "message": message,
                    "text": message["content"],
                }
                self.whole({**base, "object": "chat.completion", "choices": [only], "usage": usage})
                return
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream; charset=utf-8")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()

            def choice(text: str | None, end: str | None = None, role: bool = False) -> str:
                delta: dict[str, Any] = {"role": "assistant"} if role else {}
                if text is not None:
                    delta["content"] = text
                part = {"delta": delta} if chat else {"text": text or ""}
                event = {**base, "choices": [{"index": 0, "finish_reason": end, **part}]}
                if model == "counted":
                    event["usage"] = {**usage, "completion_tokens": sent}
                return json.dumps(event)

            sent = 0
            if chat and model == "role":
                self.event(choice("", role=True))
            time.sleep(FIRST)
            if chat and model != "role":
                self.event(choice("", role=True))
            for number, size in enumerate(sizes(model, tokens)):
                if number:
                    time.sleep(GAP * size)
                sent += size
                self.event(choice("word " * size))
                if sent == 10 and model == "cut":
                    self.close_connection = True
                    return
                if sent == 10 and model == "fail":
                    self.event(
                        json.dumps({"error": {"message": "engine died", "type": "server", "code": 500}})
                    )
                    self.event("[DONE]")
                    self.wfile.write(b"0\r\n\r\n")
                    return
            self.event(choice(None, end="length"))
            if (body.get("stream_options") or {}).get("include_usage"):
                self.event(json.dumps({**base, "choices": [], "usage": usage}))
            self.event("[DONE]")
            self.wfile.write(b"0\r\n\r\n")

        def log_message(self, *_: object) -> None:
            pass

    return Handler


def serve(asked: argparse.Namespace) -> None:
    with Server(("127.0.0.1", asked.port), handler(asked.log)) as server:
        server.serve_forever()


def ask(asked: argparse.Namespace) -> None:
    parts = urlsplit(asked.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    body = {"model": asked.model, "stream": True, "max_tokens": asked.tokens, **json.loads(asked.body)}
    body["messages"] = [{"role": "user", "content": "hello"}]
    begun = time.perf_counter()
    connection.request("POST", parts.path, json.dumps(body), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    events = []
    while line := answer.readline():
        if line.startswith(b"data:"):
            events.append([round(1000 * (time.perf_counter() - begun), 1), line[5:].decode().strip()])
    print(json.dumps({"status": answer.status, "events": events}))


def main() -> None:
    parser = argparse.ArgumentParser()
    verbs = parser.add_subparsers(required=True)
    server = verbs.add_parser("serve")
    server.add_argument("port", type=int)
    server.add_argument("--log", type=Path)
    server.set_defaults(run=serve)
    asker = verbs.add_parser("ask")
    asker.add_argument("url")
    asker.add_argument("model", choices=TRAITS)
    asker.add_argument("--tokens", type=int, default=14)
    asker.add_argument("--body", default="{}")
    asker.set_defaults(run=ask)
    asked = parser.parse_args()
    asked.run(asked)


if __name__ == "__main__":
    main()
