"""A stream with a known timetable, and a reader that says when each event came. Standard library alone.

serve PORT [--close] [--gap S] [--first S] [--events N]
    GET /stream: the headers at once, then N server-sent events, S seconds apart; framed in chunks, or by the
    end of the connection (--close). GET /metrics: a counter that is one higher with each request.
read URL
    One JSON line: status, headers, the first event's time and the gaps between events, in milliseconds.
"""

import argparse
import http.client
import json
import socketserver
import time
from http.server import BaseHTTPRequestHandler
from urllib.parse import urlsplit


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


def serve(asked: argparse.Namespace) -> None:
    counts = {"metrics": 0}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.0" if asked.close else "HTTP/1.1"

        def do_GET(self) -> None:
            if self.path.startswith("/metrics"):
                counts["metrics"] += 1
                body = f"requests_total {counts['metrics']}\n".encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
                return
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream; charset=utf-8")
            if not asked.close:
                self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            time.sleep(asked.first)
            for number in range(asked.events):
                if number:
                    time.sleep(asked.gap)
                event = b'data: {"token": "%06d"}\n\n' % number
                self.wfile.write(event if asked.close else b"%x\r\n%s\r\n" % (len(event), event))
            if not asked.close:
                self.wfile.write(b"0\r\n\r\n")

        def log_message(self, *_: object) -> None:
            pass

    with Server(("127.0.0.1", asked.port), Handler) as server:
        server.serve_forever()


def read(asked: argparse.Namespace) -> None:
    parts = urlsplit(asked.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=90)
    begun = time.perf_counter()
    connection.request("GET", parts.path)
    answer = connection.getresponse()
    came: list[float] = []
    cut = ""
    try:
        while line := answer.readline():
            if line.startswith(b"data:"):
                came.append(1000 * (time.perf_counter() - begun))
    except (http.client.IncompleteRead, ConnectionError) as error:
        cut = type(error).__name__
    gaps = [round(after - before, 1) for before, after in zip(came, came[1:], strict=False)]
    print(
        json.dumps(
            {
                "status": answer.status,
                "headers": dict(answer.getheaders()),
                "events": len(came),
                "cut": cut,
                "first_ms": round(came[0], 1) if came else None,
                "gaps_ms": gaps,
                "ended_ms": round(1000 * (time.perf_counter() - begun)),
            }
        )
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    verbs = parser.add_subparsers(required=True)
    server = verbs.add_parser("serve")
    server.add_argument("port", type=int)
    server.add_argument("--close", action="store_true")
    server.add_argument("--gap", type=float, default=0.02)
    server.add_argument("--first", type=float, default=0.08)
    server.add_argument("--events", type=int, default=50)
    server.set_defaults(run=serve)
    reader = verbs.add_parser("read")
    reader.add_argument("url")
    reader.set_defaults(run=read)
    asked = parser.parse_args()
    asked.run(asked)


if __name__ == "__main__":
    main()
